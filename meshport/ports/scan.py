"""Reading a bounded range of a topic's history, with no group and nothing committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

from meshport.archive.reader import LogReader
from meshport.binding import Binding
from meshport.errors import BrokerUnavailable
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import WATCHED, Consumer
from meshport.kafka.received import ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition

STALL_S: Final = 30.0
"""A read is given up after so many seconds in which its consumer did not move on, though more is known to be there."""
MOST_MESSAGES: Final = 5000
"""The messages of a batch, by default."""
# A follower that received nothing for so long though there is more looks at whether its consumer moves on.
_SILENCE_S: Final = 5.0


class Watched(Protocol):
    """A consumer that reports what it fetches."""

    @property
    def fetched(self) -> Mapping[TopicPartition, int]:
        """See `Consumer.fetched`."""


class ReadProgress:
    """Watches whether a consumer that has more to read moves on.

    Its position counts, not its messages: of a long stretch of aborted records the client fetches every offset, and returns
    none (librdkafka#2993).

    Args:
        consumer: the consumer.
    """

    def __init__(self, consumer: Watched) -> None:
        self._consumer = consumer
        self._fetched: Mapping[TopicPartition, int] = {}
        self._moved = time.monotonic()

    def received(self) -> None:
        """Note that messages came."""
        self._moved = time.monotonic()

    def nothing(self, unread: Iterable[TopicPartition]) -> None:
        """Note that a read returned nothing.

        Args:
            unread: the partitions that have more.

        Raises:
            BrokerUnavailable: the consumer has not moved on for `STALL_S` seconds.
        """
        before, fetched = self._fetched, self._consumer.fetched
        self._fetched = fetched
        if fetched is not before and any(offset > before.get(each, -1) for each, offset in fetched.items()):
            self._moved = time.monotonic()
        elif time.monotonic() - self._moved > STALL_S:
            raise _stalled(sorted(unread), fetched)


def _stalled(unread: Sequence[TopicPartition], fetched: Mapping[TopicPartition, int]) -> BrokerUnavailable:
    at = ", ".join(f"{each} at offset {fetched[each]}" if each in fetched else str(each) for each in unread)
    return BrokerUnavailable(f"nothing was read for {STALL_S:g} s, though there is more: {at}")


@dataclass
class TopicRange:
    """A range of offsets in each partition of a topic, and how far it has been read.

    Attributes:
        topic: the topic.
        begins: by partition, the first offset of the range.
        ends: by partition, the offset after the last of the range.
        positions: by partition, the next offset to read.
    """

    topic: str
    begins: dict[int, int]
    ends: dict[int, int]
    positions: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        """Begin at the first offset of each partition, or at its end where that is earlier."""
        self.positions = {partition: min(offset, self.ends[partition]) for partition, offset in self.begins.items()}

    @classmethod
    def within(
        cls,
        topic: str,
        bounds: Mapping[int, tuple[int, int]],
        *,
        begins: Mapping[int, int] | None = None,
        ends: Mapping[int, int] | None = None,
    ) -> Self:
        """Return the range of a topic's partitions that is retained.

        Args:
            topic: the topic.
            bounds: (first offset, end offset) of each partition, as of `Consumer.bounds`.
            begins: the first offsets of the range, where they are later than those of `bounds`.
            ends: the ends of the range; those of `bounds` by default.
        """
        return cls(
            topic,
            {partition: max(low, (begins or {}).get(partition, low)) for partition, (low, _) in bounds.items()},
            {partition: (ends or {}).get(partition, high) for partition, (_, high) in bounds.items()},
        )

    @property
    def total(self) -> int:
        """How many offsets the range spans; compaction and transactions may have left fewer events."""
        return sum(max(0, self.ends[partition] - offset) for partition, offset in self.begins.items())

    @property
    def read(self) -> int:
        """How many of these offsets were read."""
        return sum(
            self.positions[partition] - min(offset, self.ends[partition]) for partition, offset in self.begins.items()
        )


def read_range(
    consumer: Consumer,
    wanted: TopicRange,
    *,
    progress: Callable[[int, int], None] | None = None,
    limit: int = MOST_MESSAGES,
) -> Iterator[list[ReceivedMessage]]:
    """Yield the messages of a range in batches of up to `limit`, those of each partition in order.

    Args:
        consumer: one of `history_reader`; its assignment is replaced.
        wanted: the range. Its positions advance when the next batch is asked for. Its ends may be lowered meanwhile.
        progress: called with (offsets read, offsets in all) after each batch and at the end.
        limit: the size of a batch.

    Raises:
        BrokerUnavailable: the consumer did not move on for `STALL_S` seconds though there was more to read.
    """
    positions, ends = wanted.positions, wanted.ends
    unread = {partition for partition, offset in positions.items() if offset < ends[partition]}
    consumer.assign({TopicPartition(wanted.topic, partition): positions[partition] for partition in unread})
    moved = ReadProgress(consumer)
    while unread:
        messages = consumer.read(limit, 0.2)
        within = [each for each in messages if each.offset() < ends[each.partition()]]
        if within:
            yield within
        for each in messages:
            partition = each.partition()
            positions[partition] = min(each.offset() + 1, ends[partition])
        # Compaction and transaction markers leave offsets that no message has; the consumer reports the end of the log.
        for (_, partition), offset in consumer.ends.items():
            if partition in unread and offset >= ends[partition]:
                positions[partition] = ends[partition]
        for partition in [each for each in unread if positions[each] >= ends[each]]:
            unread.discard(partition)
            consumer.pause(wanted.topic, partition)
        if messages and progress is not None:
            progress(wanted.read, wanted.total)
        if messages:
            moved.received()
        elif unread:
            moved.nothing(TopicPartition(wanted.topic, each) for each in unread)
    if progress is not None:
        progress(wanted.read, wanted.total)


def read_topic(
    kafka: KafkaConfig,
    topic: str,
    *,
    begins: Mapping[int, int] | None = None,
    ends: Mapping[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[list[ReceivedMessage]]:
    """Yield the messages of a topic in batches, read by a consumer of its own.

    Args:
        kafka: the connection to the cluster.
        topic: the topic.
        begins: by partition, the offset to begin at; the first that is retained by default.
        ends: by partition, the offset to stop before; the end that the partition has now by default.
        progress: called with (offsets read, offsets in all) after each batch and at the end.

    Raises:
        TopicError: there is no such topic.
        BrokerUnavailable: no broker answered, or the consumer did not move on for `STALL_S` seconds though there was more.
    """
    with history_reader(kafka) as consumer:
        wanted = TopicRange.within(topic, consumer.bounds(topic), begins=begins, ends=ends)
        yield from read_range(consumer, wanted, progress=progress)


class TopicFollower:
    """Reads topics whole, and at each further call what was written since.

    It keeps its assignment: after a new one, librdkafka takes a second to return the first message.

    Args:
        kafka: the connection to the cluster.
        topics: the topics to read.
        ports: whose archives are read where a topic of theirs begins later.

    Raises:
        TopicError: one of the topics is missing.
        BrokerUnavailable: no broker answers.
    """

    def __init__(self, kafka: KafkaConfig, *topics: str, ports: Collection[Binding] = ()) -> None:
        self._topics = topics
        self._kafka = kafka
        self._ports = ports
        self._consumer = LogReader(kafka, ports, settings={"enable.partition.eof": True})
        self._rereader: Consumer | None = None
        # The consumer that reads would answer a question for a partition's end only after a fetch that the broker holds open:
        # 180 ms and more for four partitions with nothing new, where this one takes some milliseconds.
        self._end_consumer = LogReader(kafka, ports)
        self._positions = {
            TopicPartition(topic, partition): offset
            for topic in topics
            for partition, offset in self._end_consumer.begin_offsets(topic).items()
        }
        self._consumer.assign(self._positions)

    @property
    def fetched(self) -> Mapping[TopicPartition, int]:
        """The next offsets to fetch of a read that takes long; see `Consumer.fetched`."""
        return {} if self._rereader is None else self._rereader.fetched

    def catch_up(self) -> Iterator[list[ReceivedMessage]]:
        """Yield everything that was not yielded before, up to the ends that the topics have now, and maybe a little more.

        Raises:
            BrokerUnavailable: the consumer did not move on for `STALL_S` seconds though there was more to read.
        """
        ends = {
            TopicPartition(topic, partition): end
            for topic in self._topics
            for partition, end in self._end_consumer.end_offsets(topic).items()
        }
        self._take_up_partitions(ends)
        received = time.monotonic()
        while unread := [each for each, end in ends.items() if self._positions[each] < end]:
            messages = self._consumer.read(MOST_MESSAGES, 0.2)
            newest = {(each.topic(), each.partition()): each for each in messages}
            for (topic, partition), message in newest.items():
                self._positions[TopicPartition(topic, partition)] = message.offset() + 1
            for each, offset in self._consumer.ends.items():
                self._positions[each] = max(self._positions[each], offset)
            if messages:
                yield messages
                received = time.monotonic()
            elif time.monotonic() - received > _SILENCE_S:
                yield from self._read_again({each: ends[each] for each in unread})
                received = time.monotonic()

    def _read_again(self, ends: Mapping[TopicPartition, int]) -> Iterator[list[ReceivedMessage]]:
        """Yield what is unread with another consumer, which reports whether it moves on: this one is not always read."""
        for topic in dict.fromkeys(each.topic for each in ends):
            wanted = TopicRange(
                topic,
                {each.partition: self._positions[each] for each in ends if each.topic == topic},
                {each.partition: end for each, end in ends.items() if each.topic == topic},
            )
            with history_reader(self._kafka, self._ports) as self._rereader:
                yield from read_range(self._rereader, wanted)
            self._positions |= {TopicPartition(topic, each): offset for each, offset in wanted.positions.items()}
        self._rereader = None
        self._consumer.assign(self._positions)

    def _take_up_partitions(self, ends: Iterable[TopicPartition]) -> None:
        """Read partitions that were added to a topic from their first offset."""
        added = {
            each: self._end_consumer.begin_offsets(each.topic)[each.partition]
            for each in ends
            if each not in self._positions
        }
        if added:
            self._consumer.assign_more(added)
            self._positions |= added

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
        self._end_consumer.close()


def history_reader(kafka: KafkaConfig, ports: Collection[Binding] = (), *, group: str | None = None) -> LogReader:
    """Return a consumer for `read_range`: it reports the ends of partitions in `Consumer.ends`, and what it fetches.

    Args:
        kafka: the connection to the cluster.
        ports: whose archives are read where a topic of theirs begins later.
        group: the consumer group; None for a consumer that commits nothing.
    """
    return LogReader(kafka, ports, group=group, settings={"enable.partition.eof": True, **WATCHED})
