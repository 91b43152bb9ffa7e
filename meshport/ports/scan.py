"""Reading a bounded stretch of a topic's history, with no group and nothing committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from meshport.errors import BrokerUnavailable
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer, ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition

STUCK_S: Final = 30.0
"""A broker that gives nothing for this long, with events known to be there, is not merely slow; seconds."""
_LIMIT: Final = 5000


@dataclass
class Stretch:
    """What is read of one topic: per partition from an offset up to, not including, another. Both are fixed at the start.

    Attributes:
        topic: the topic.
        begin: first offset of each partition.
        end: the offset to stop before, of each partition.
        done: how far each partition has been read: the next offset.
    """

    topic: str
    begin: dict[int, int]
    end: dict[int, int]
    done: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.done = {partition: min(offset, self.end[partition]) for partition, offset in self.begin.items()}

    @property
    def total(self) -> int:
        """How many offsets the stretch spans; compaction and transactions may have left fewer events."""
        return sum(max(0, self.end[partition] - offset) for partition, offset in self.begin.items())

    @property
    def read(self) -> int:
        """How many of these offsets are behind us."""
        return sum(self.done[partition] - min(offset, self.end[partition]) for partition, offset in self.begin.items())


def scan(
    consumer: Consumer, stretch: Stretch, *, progress: Callable[[int, int], None] | None = None, limit: int = _LIMIT
) -> Iterator[list[ReceivedMessage]]:
    """Read a stretch in batches of up to `limit` messages, each partition in its order.

    Args:
        consumer: one of `history_reader`; its assignment is taken over.
        stretch: what to read; `stretch.done` moves on when a batch is asked for after the one that covers it.
        progress: called with (offsets read, offsets in all) after each batch.
        limit: the size of a batch.

    Raises:
        BrokerUnavailable: nothing came for half a minute though events were to come.
    """
    waiting = {partition for partition, offset in stretch.done.items() if offset < stretch.end[partition]}
    consumer.assign({TopicPartition(stretch.topic, partition): stretch.done[partition] for partition in waiting})
    heard = time.monotonic()
    while waiting:
        messages = consumer.read(limit, 0.2)
        wanted = [each for each in messages if each.offset() < stretch.end[each.partition()]]
        if wanted:
            yield wanted
        for each in messages:
            partition = each.partition()
            stretch.done[partition] = min(each.offset() + 1, stretch.end[partition])
        # Compaction and transaction markers leave offsets that no message has; the end of the log tells that they are behind us.
        for (_, partition), offset in consumer.ends.items():
            if partition in waiting and offset >= stretch.end[partition]:
                stretch.done[partition] = stretch.end[partition]
        for partition in [each for each in waiting if stretch.done[each] >= stretch.end[each]]:
            waiting.discard(partition)
            consumer.pause(stretch.topic, partition)
        if messages and progress is not None:
            progress(stretch.read, stretch.total)
        if messages:
            heard = time.monotonic()
        elif waiting and time.monotonic() - heard > STUCK_S:
            raise stuck(stretch.topic, waiting)
    if progress is not None:
        progress(stretch.read, stretch.total)


class Follower:
    """Reads topics whole, and whatever came since each time it is asked again.

    It keeps its assignment: assigning anew costs librdkafka a second before the first message.

    Args:
        kafka: the connection to the cluster.
        topics: what is followed.

    Raises:
        TopicError: one of the topics is missing.
        BrokerUnavailable: no broker answers.
    """

    def __init__(self, kafka: KafkaConfig, *topics: str) -> None:
        self._topics = topics
        self._consumer = history_reader(kafka)
        # Asked by the consumer that reads, each partition's end waits behind a fetch that the broker holds open: 180 ms and
        # more for four partitions with nothing new, where this one takes some milliseconds.
        self._asking = history_reader(kafka)
        self._places = {
            TopicPartition(topic, partition): offset
            for topic in topics
            for partition, offset in self._asking.begin_offsets(topic).items()
        }
        self._consumer.assign(self._places)

    def catch_up(self) -> Iterator[list[ReceivedMessage]]:
        """Everything up to the ends that the topics have now, and maybe a little more, that was not given before.

        Raises:
            BrokerUnavailable: nothing came for half a minute though events were to come.
        """
        ends = {
            TopicPartition(topic, partition): end
            for topic in self._topics
            for partition, end in self._asking.end_offsets(topic).items()
        }
        heard = time.monotonic()
        while behind := [place for place, end in ends.items() if self._places[place] < end]:
            messages = self._consumer.read(_LIMIT, 0.2)
            newest = {(each.topic(), each.partition()): each for each in messages}
            for (topic, partition), message in newest.items():
                self._places[TopicPartition(topic, partition)] = message.offset() + 1
            for place, offset in self._consumer.ends.items():
                self._places[place] = max(self._places[place], offset)
            if messages:
                heard = time.monotonic()
                yield messages
            elif time.monotonic() - heard > STUCK_S:
                topic = behind[0][0]
                raise stuck(topic, [partition for each, partition in behind if each == topic])

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()
        self._asking.close()


def history_reader(kafka: KafkaConfig, *, group: str | None = None) -> Consumer:
    """A consumer for `scan`: one that tells when a partition's end is reached."""
    return Consumer(kafka, group=group, settings={"enable.partition.eof": True})


def stuck(topic: str, partitions: Iterable[int]) -> BrokerUnavailable:
    """The error of who has read nothing for `STUCK_S`, though these partitions have more."""
    return BrokerUnavailable(
        f"nothing was read of {topic} for {STUCK_S:g} s, though partitions {sorted(partitions)} are to give more"
    )
