"""What a client asks of a cluster about the partitions of a topic: which there are, and their offsets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import ClusterMetadata

from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error
from meshport.kafka.in_memory import is_in_memory
from meshport.kafka.unreachable import metadata

_Answer = TypeVar("_Answer")

METADATA_S: Final = 10.0
"""Seconds to wait for one answer."""

# An election on a busy broker took more than 10 s.
READY_S: Final = 30.0
"""Seconds of patience for a leader or coordinator."""
_PAUSE_S: Final = 0.05
_NOT_YET: Final = frozenset(
    {
        ClientError.NOT_LEADER_FOR_PARTITION,
        ClientError.LEADER_NOT_AVAILABLE,
        ClientError.NOT_COORDINATOR,
        ClientError.COORDINATOR_NOT_AVAILABLE,
        ClientError.COORDINATOR_LOAD_IN_PROGRESS,
        ClientError.OFFSET_NOT_AVAILABLE,  # of a leader that was just elected (KIP-207)
        ClientError._UNKNOWN_PARTITION,  # noqa: SLF001 - of a partition that was just listed: its leader is not known yet
        # librdkafka drops a broker that died and left the metadata, with every request in flight to it.
        ClientError._DESTROY_BROKER,  # noqa: SLF001 - public under this spelling only
    }
)


class TopicOffsets:
    """Asks for the partitions of topics and their offsets; waits for a leader that is being elected.

    Args:
        client: the client to ask with.
        kafka: the connection of the client.
    """

    def __init__(self, client: Consumer, kafka: KafkaConfig) -> None:
        self._client = client
        self._kafka = kafka

    def _look_up(self, topic: str, what: str, timeout_s: float) -> ClusterMetadata:
        return metadata(self._client, self._kafka, what, timeout_s=timeout_s, topic=topic)

    def partitions(self, topic: str, *, timeout_s: float = METADATA_S) -> list[int]:
        """Return the numbers of a topic's partitions.

        Raises:
            TopicError: there is no such topic.
            BrokerUnavailable: no broker answered.
        """
        what = f"cannot see the topic {topic} at {self._kafka.bootstrap_servers}"
        found = self._look_up(topic, what, timeout_s).topics[topic]
        if found.error is not None:
            raise client_error(found.error, what)
        return sorted(found.partitions)

    def bounds(
        self, topic: str, partitions: Iterable[int] | None = None, *, patience_s: float = READY_S
    ) -> dict[int, tuple[int, int]]:
        """Return (first offset, end offset) of each partition; the end is the offset of the next event to be written.

        Args:
            topic: the topic.
            partitions: to ask for; None for all of the topic.
            patience_s: seconds to wait for the leader of a partition.
        """
        timeout_s = min(METADATA_S, patience_s)
        return {
            partition: once_ready(
                partial(self._client.get_watermark_offsets, ClientPartition(topic, partition), timeout=timeout_s),
                f"cannot see the offsets of {topic} [{partition}]",
                patience_s,
            )
            for partition in (self.partitions(topic, timeout_s=timeout_s) if partitions is None else partitions)
        }

    def begin_offsets(self, topic: str) -> dict[int, int]:
        """Return the first offset that is retained of each partition."""
        return {partition: begin for partition, (begin, _) in self.bounds(topic).items()}

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Return the end offset of each partition: that of the next event to be written."""
        return {partition: end for partition, (_, end) in self.bounds(topic).items()}

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """Return the first offset of each partition with a Kafka timestamp not before `timestamp_ms`, else its end offset.

        librdkafka's in-memory cluster finds nothing by time; there it is the first offset of the partition.
        """
        cluster = self._look_up(topic, f"cannot look up the cluster of {topic}", METADATA_S)
        if is_in_memory(cluster.cluster_id):
            return self.begin_offsets(topic)
        ends = self.end_offsets(topic)
        asked = [ClientPartition(topic, partition, timestamp_ms) for partition in ends]
        found = once_ready(
            partial(self._client.offsets_for_times, asked, timeout=METADATA_S),
            f"cannot look up the offsets of {topic} by time",
        )
        return {each.partition: each.offset if each.offset >= 0 else ends[each.partition] for each in found}


def once_ready(ask: Callable[[], _Answer], what: str, patience_s: float = READY_S) -> _Answer:
    """Return the answer of a leader or coordinator, which a new topic or group, or one that lost a broker, lacks for a time."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET or time.monotonic() > deadline:
                raise client_error(error, what) from error
        time.sleep(_PAUSE_S)
