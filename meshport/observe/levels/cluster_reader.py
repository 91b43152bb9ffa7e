"""Bounded reads of many topics of one cluster at a time, without a group and with nothing committed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Final, Self

from meshport.errors import BrokerUnavailable, KafkaError, TopicError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.groups import ClusterGroups
from meshport.kafka.received import ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition

__all__ = ["Bounds", "ClusterReader"]

Bounds = Mapping[TopicPartition, tuple[int, int]]
"""(first offset, end offset) by partition."""

_BATCH: Final = 1000
_PATIENCE_S: Final = 20.0
_KNOWN_S: Final = 5.0  # a list of all topics is not asked for more often
# It fetches little beyond what a look wants.
_LITTLE: Final = {
    "enable.partition.eof": True,
    "queued.min.messages": _BATCH,
    "queued.max.messages.kbytes": 4_096,
    "fetch.message.max.bytes": 262_144,
}


class ClusterReader:
    """Reads ranges of offsets, and asks for the bounds of many partitions at once.

    Args:
        kafka: the connection to the cluster.

    Attributes:
        unread: the partitions that the last `read` did not read to the end.

    Raises:
        BrokerUnavailable: no broker answers.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        with ExitStack() as opened:
            self._consumer = opened.enter_context(Consumer(kafka, settings=_LITTLE))
            # The consumer that reads answers a question only after a fetch that the broker holds open.
            self._asker = opened.enter_context(Consumer(kafka))
            self._groups = _groups(kafka)
            self._close = opened.pop_all()
        self._known: dict[str, int] = {}
        self._known_until = 0.0
        self.unread: set[TopicPartition] = set()

    def bounds(self, topics: Mapping[str, int]) -> dict[TopicPartition, tuple[int, int]]:
        """Return the bounds of the partitions of topics; those of a topic that is missing are left out.

        Args:
            topics: the number of partitions by topic.

        Raises:
            KafkaError: a leader did not answer.
        """
        if self._groups is not None:
            self._look_up(self._groups, topics)
            return self._groups.bounds(
                TopicPartition(topic, each)
                for topic, count in topics.items()
                for each in range(min(count, self._known.get(topic, 0)))
            )
        found = {}
        for topic in topics:
            try:
                bounds = self._asker.bounds(topic)
            except BrokerUnavailable:
                raise
            except KafkaError:
                continue
            found.update({TopicPartition(topic, each): bound for each, bound in bounds.items()})
        return found

    def _look_up(self, groups: ClusterGroups, topics: Mapping[str, int]) -> None:
        """Learn of topics and partitions that were made since, from time to time.

        Only those that exist are asked about: librdkafka 2.x keeps that a topic is missing for as long as a client goes on
        asking for its offsets, though it was made meanwhile.
        """
        now = time.monotonic()
        if now >= self._known_until and any(self._known.get(topic, 0) < count for topic, count in topics.items()):
            self._known = groups.partitions()
            self._known_until = now + _KNOWN_S

    def refuses(self, topic: str) -> bool:
        """Return whether the cluster has a topic that this login may not see.

        Raises:
            BrokerUnavailable: no broker answered.
        """
        try:
            self._asker.partitions(topic)
        except BrokerUnavailable:
            raise
        except TopicError:
            return False
        except KafkaError:
            return True
        return False

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """Return the first offset of each partition that was recorded then or later, else its end offset."""
        return self._asker.offsets_at(topic, timestamp_ms)

    def read(self, begins: Mapping[TopicPartition, int], bounds: Bounds) -> Iterator[list[ReceivedMessage]]:
        """Yield the messages from an offset of each partition to the end that it had, in batches.

        What could not be read within 20 seconds is left out: `unread` names these partitions.

        Args:
            begins: the offsets to begin at.
            bounds: the bounds of these partitions.
        """
        positions = {each: max(offset, bounds[each][0]) for each, offset in begins.items() if each in bounds}
        self.unread = {each for each, offset in positions.items() if offset < bounds[each][1]}
        if not self.unread:
            return
        self._consumer.assign({each: positions[each] for each in self.unread})
        until = time.monotonic() + _PATIENCE_S
        try:
            while self.unread and time.monotonic() < until:
                found = []
                for message in self._consumer.read(_BATCH, 0.2):
                    each = TopicPartition(message.topic(), message.partition())
                    if each in self.unread and message.offset() < bounds[each][1]:
                        found.append(message)
                    if each in positions:
                        positions[each] = message.offset() + 1
                if found:
                    yield found
                self._note_ends(positions, bounds)
        finally:
            self._consumer.assign({})

    def _note_ends(self, positions: dict[TopicPartition, int], bounds: Bounds) -> None:
        # Markers of transactions and compaction leave offsets without a message; the consumer reports the end of the log.
        for each, offset in self._consumer.ends.items():
            if each in positions:
                positions[each] = max(positions[each], offset)
        for each in [each for each in self.unread if positions[each] >= bounds[each][1]]:
            self.unread.discard(each)
            self._consumer.pause(*each)

    def close(self) -> None:
        """Close the connections."""
        self._close.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _groups(kafka: KafkaConfig) -> ClusterGroups | None:
    """Return who answers for many partitions at once; None for an in-memory cluster, which does not."""
    try:
        return ClusterGroups(kafka)
    except BrokerUnavailable:
        raise
    except KafkaError:
        return None
