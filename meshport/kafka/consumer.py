"""The consumer, with the settings that the mesh relies on.

Settings that differ from librdkafka's defaults, and why:

- `enable.auto.commit=false`: a place is recorded after the work, never before.
- `auto.offset.reset=error`: a place that retention has taken is told, never jumped over.
- `fetch.queue.backoff.ms=10`: the default pauses a partition for a second whenever its queue is full and costs four
  fifths of the reading speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import methodcaller
from typing import Any, Final, Protocol, Self, TypeVar, cast

from confluent_kafka import OFFSET_BEGINNING, KafkaException
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import Message as ClientMessage
from confluent_kafka import TopicPartition as ClientPartition

from meshport.errors import KafkaError
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error
from meshport.kafka.in_memory import is_in_memory
from meshport.kafka.topic_partition import TopicPartition

__all__ = ["BEGINNING", "Consumer", "ReceivedMessage"]

_Answer = TypeVar("_Answer")

_METADATA_S: Final = 10.0
_PAUSE_S: Final = 0.05
_error_of: Final = methodcaller("error")
_NOT_YET: Final = frozenset(
    {
        ClientError.NOT_LEADER_FOR_PARTITION,
        ClientError.LEADER_NOT_AVAILABLE,
        ClientError.NOT_COORDINATOR,
        ClientError.COORDINATOR_NOT_AVAILABLE,
        ClientError.COORDINATOR_LOAD_IN_PROGRESS,
        ClientError.OFFSET_NOT_AVAILABLE,  # of a leader that was just elected (KIP-207)
        ClientError._UNKNOWN_PARTITION,  # noqa: SLF001 - of one that was just listed: its leader is not known yet
        # librdkafka lets go of a broker that died and left the metadata, with all that it was being asked.
        ClientError._DESTROY_BROKER,  # noqa: SLF001 - public under this spelling only
    }
)
_OTHER_MEMBERSHIP: Final = frozenset(
    {ClientError.REBALANCE_IN_PROGRESS, ClientError.ILLEGAL_GENERATION, ClientError.UNKNOWN_MEMBER_ID}
)


class ReceivedMessage(Protocol):
    """A message as the client gives it; what `Consumer.read` returns carries no error, so all of this is there."""

    def topic(self) -> str: ...  # noqa: D102 - as Kafka has it
    def partition(self) -> int: ...  # noqa: D102 - as Kafka has it
    def offset(self) -> int: ...  # noqa: D102 - as Kafka has it
    def key(self) -> bytes | None: ...  # noqa: D102 - as Kafka has it
    def value(self) -> bytes | None: ...  # noqa: D102 - None is a tombstone
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...  # noqa: D102 - as Kafka has it
    def timestamp(self) -> tuple[int, int]:
        """(type, Unix time in ms)."""
        ...


class Consumer:
    """A consumer that commits only what it is told to.

    Args:
        kafka: the connection to the cluster.
        group: the consumer group; None for a reader that has no place of its own to keep.
        settings: librdkafka properties that the reading needs, whatever `kafka` has.
    """

    def __init__(
        self, kafka: KafkaConfig, *, group: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        self._bootstrap_servers = kafka.bootstrap_servers
        self._owed: KafkaError | None = None
        self.ends: dict[TopicPartition, int] = {}
        """The end offset of each (topic, partition) that was read to its end; kept with `enable.partition.eof` only."""
        self._client = new_client(
            ClientConsumer,
            kafka,
            {
                # librdkafka asks for a group even where none is joined; nothing is ever committed under this name.
                "group.id": group or "meshport-without-group",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                # A place that retention has taken is an error to be told, never a silent jump.
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "fetch.queue.backoff.ms": 10,
                "queued.min.messages": 20_000,
                "queued.max.messages.kbytes": 16_384,
                "fetch.wait.max.ms": 50,
                "partition.assignment.strategy": "range",
                "log_level": 0,
            },
            settings,
        )

    def subscribe(
        self,
        topic: str,
        *,
        on_assign: Callable[[Sequence[int]], Mapping[int, int]],
        on_revoke: Callable[[Sequence[int]], None],
        on_lost: Callable[[Sequence[int]], None] | None = None,
    ) -> None:
        """Join the group for one topic; called again with another, leave the one before for it.

        Args:
            topic: what is read.
            on_assign: gets the partitions that come, gives the offset from which each is to be read.
            on_revoke: gets the partitions that go, before another member can have them.
            on_lost: gets those that another member may have already, so that no place can be recorded; `on_revoke` by default.
        """

        def ours(partitions: list[ClientPartition]) -> list[int]:
            return [each.partition for each in partitions if each.topic == topic]

        def assigned(client: ClientConsumer, partitions: list[ClientPartition]) -> None:
            places = on_assign(ours(partitions))
            client.assign([ClientPartition(topic, partition, offset) for partition, offset in places.items()])

        def revoked(_: ClientConsumer, partitions: list[ClientPartition]) -> None:
            on_revoke(ours(partitions))

        def lost(_: ClientConsumer, partitions: list[ClientPartition]) -> None:
            (on_lost or on_revoke)(ours(partitions))

        self._client.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def assign(self, places: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets, without a group."""
        self.ends.clear()
        assigned = [ClientPartition(topic, partition, offset) for (topic, partition), offset in places.items()]
        self._client.assign(assigned)
        # librdkafka keeps a partition paused that was paused in an earlier assignment; it would never give anything again.
        self._client.resume(assigned)

    def pause(self, topic: str, partition: int) -> None:
        """Read no more of one assigned partition until it is assigned anew."""
        self._client.pause([ClientPartition(topic, partition)])

    def read(self, limit: int, timeout_s: float) -> list[ReceivedMessage]:
        """Up to `limit` messages: as soon as one is there, what comes within 5 ms of it; none after `timeout_s` seconds.

        Raises:
            KafkaError: the broker reported an error for a partition. Messages that came with it are given first.
        """
        if (error := self._owed) is not None:
            self._owed = None
            raise error
        first = self._client.poll(timeout_s)
        if first is None:
            return []
        messages = [first, *self._client.consume(limit - 1, 0.005)] if limit > 1 else [first]
        # One bad message is rare; looking for it at C speed keeps the usual batch free of a Python loop.
        if any(map(_error_of, messages)):
            messages = self._without_errors(messages)
        return cast("list[ReceivedMessage]", messages)

    def stay(self) -> list[ReceivedMessage]:
        """Tell the group that this member is at work, without reading on; call it while messages take long to handle.

        Returns:
            What was on its way already, most often nothing.
        """
        assigned = self._client.assignment()
        self._client.pause(assigned)
        message = self._client.poll(0)
        kept = self._client.assignment()
        self._client.resume([each for each in assigned if each in kept])
        return [] if message is None else cast("list[ReceivedMessage]", self._without_errors([message]))

    def _without_errors(self, messages: list[ClientMessage]) -> list[ClientMessage]:
        good = [message for message in messages if message.error() is None]
        for message in messages:
            error = message.error()
            # A member that was out for too long joins again by itself; its partitions were lost, as `on_lost` is told.
            if error is None or error.code() == ClientError._MAX_POLL_EXCEEDED:  # noqa: SLF001 - public under this spelling only
                continue
            place = TopicPartition(message.topic() or "", message.partition() or 0)
            if error.code() == ClientError._PARTITION_EOF:  # noqa: SLF001 - as above
                self.ends[place] = message.offset() or 0
            elif self._owed is None:
                self._owed = client_error(error, f"cannot read {place}")
        if self._owed is not None and not good:
            error_now, self._owed = self._owed, None
            raise error_now
        return good

    def partitions(self, topic: str) -> list[int]:
        """The partitions of a topic.

        Raises:
            TopicError: there is no such topic.
            BrokerUnavailable: no broker answered.
        """
        what = f"cannot see the topic {topic} at {self._bootstrap_servers}"
        try:
            found = self._client.list_topics(topic, timeout=_METADATA_S).topics[topic]
        except KafkaException as error:
            raise client_error(error, what) from error
        if found.error is not None:
            raise client_error(found.error, what)
        return sorted(found.partitions)

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """(first offset, end offset) of each partition; the end is the offset that the next event will have."""
        return {
            partition: _once_ready(
                partial(self._client.get_watermark_offsets, ClientPartition(topic, partition), timeout=_METADATA_S),
                f"cannot see the offsets of {topic} [{partition}]",
            )
            for partition in self.partitions(topic)
        }

    def begin_offsets(self, topic: str) -> dict[int, int]:
        """The first offset that each partition still holds."""
        return {partition: begin for partition, (begin, _) in self.bounds(topic).items()}

    def end_offsets(self, topic: str) -> dict[int, int]:
        """The offset that the next event of each partition will have."""
        return {partition: end for partition, (_, end) in self.bounds(topic).items()}

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """The first offset of each partition with a Kafka timestamp not before `timestamp_ms`, else its end.

        librdkafka's in-memory cluster finds nothing by time; there it is the first of all.
        """
        if is_in_memory(self._client.list_topics(topic, timeout=_METADATA_S).cluster_id):
            return self.begin_offsets(topic)
        ends = self.end_offsets(topic)
        asked = [ClientPartition(topic, partition, timestamp_ms) for partition in ends]
        found = _once_ready(
            partial(self._client.offsets_for_times, asked, timeout=_METADATA_S),
            f"cannot look up the offsets of {topic} by time",
        )
        return {each.partition: each.offset if each.offset >= 0 else ends[each.partition] for each in found}

    def commit(self, topic: str, offsets: Mapping[int, int]) -> bool:
        """Record the group's place: the next offset to read, per partition.

        Returns:
            False where the group is sharing its partitions anew, or has put this member out: nothing was recorded, and
            `on_revoke` or `on_lost` is told with the next `read`.

        Raises:
            KafkaError: the place was not recorded.
        """
        if not offsets:
            return True
        places = [ClientPartition(topic, partition, offset) for partition, offset in offsets.items()]
        try:
            done = self._client.commit(offsets=places, asynchronous=False) or ()
        except KafkaException as error:
            if error.args[0].code() in _OTHER_MEMBERSHIP:
                return False
            raise client_error(error, f"cannot commit the group's place in {topic}") from error
        if any(each.error is not None and each.error.code() in _OTHER_MEMBERSHIP for each in done):
            return False
        for each in done:
            if each.error is not None:
                raise client_error(each.error, f"cannot commit the group's place in {topic} [{each.partition}]")
        return True

    def committed(self, topic: str) -> dict[int, int]:
        """The group's recorded place per partition; partitions without one are left out."""
        asked = [ClientPartition(topic, partition) for partition in self.partitions(topic)]
        what = f"cannot see the group's place in {topic}"
        found = _once_ready(partial(self._client.committed, asked, timeout=_METADATA_S), what)
        for each in found:
            if each.error is not None:
                raise client_error(each.error, f"{what} [{each.partition}]")
        return {each.partition: each.offset for each in found if each.offset >= 0}

    def close(self) -> None:
        """Leave the group and let go of the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _once_ready(ask: Callable[[], _Answer], what: str) -> _Answer:
    """The answer of a leader or coordinator; a topic or group that is new, or lost a broker, has none for some time."""
    deadline = time.monotonic() + _METADATA_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET or time.monotonic() > deadline:
                raise client_error(error, what) from error
        time.sleep(_PAUSE_S)


BEGINNING: Final[int] = OFFSET_BEGINNING
"""The offset that means a partition's first, for `Consumer.assign`."""
