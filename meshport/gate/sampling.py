"""Which of a topic's stored events are read: all of them, or a bounded sample of each partition.

A sample consists of slices: the partition's first events, its last events, and between them half of the slices at even
offsets and half at even times. A version that wrote little for a long time is found by time, a version that wrote much in an
hour by offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from meshport.kafka.consumer import Consumer
from meshport.kafka.received import ReceivedMessage
from meshport.ports.scan import TopicRange, read_range

Progress = Callable[[int, int], None]
"""Called with (done, total): offsets if everything is read, events for a sample."""

_FEWEST: Final = 2  # the first and the last
# A slice is short: librdkafka's default prefetch would be larger than the sample.
_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Sample:
    """How much of each partition is read.

    Attributes:
        events: the maximum number of events of each partition, at least 2; None for all. A partition with no more is read
            whole.
        slices: the number of slices of a partition, at least 2.
    """

    events: int | None = None
    slices: int = 20

    def __post_init__(self) -> None:
        if self.events is not None and self.events < _FEWEST:
            raise ValueError(f"a sample of {self.events} events has no first and last: {_FEWEST} or more")
        if self.slices < _FEWEST:
            raise ValueError(f"{self.slices} slices have no first and last: {_FEWEST} or more")


EVERYTHING: Final = Sample()
"""All events, without sampling."""


class _Slice(NamedTuple):
    """At most `most` messages from offset `begin`, all before offset `end`."""

    begin: int
    end: int
    most: int


class TopicHistory:
    """The stored events of a topic; its bounds are fixed when it is constructed.

    Args:
        consumer: a consumer of `meshport.ports.scan.history_reader`, whose assignment is replaced.
        topic: the topic.
        sample: how much of it is read.

    Attributes:
        span: the number of offsets from the first to the last event; compaction and transactions may have left fewer events.
        sampled: whether some events are left out.
        removed: the number of offsets before the first event, which are removed from the log.

    Raises:
        TopicError: there is no such topic.
        BrokerUnavailable: no broker answered.
    """

    def __init__(self, consumer: Consumer, topic: str, sample: Sample = EVERYTHING) -> None:
        self._consumer = consumer
        self._topic = topic
        self._bounds: Final = consumer.bounds(topic)
        self.span: Final = sum(high - low for low, high in self._bounds.values())
        self.removed: Final = sum(low for low, _ in self._bounds.values())
        most = sample.events
        self._cut: Final = {
            partition for partition, (low, high) in self._bounds.items() if most is not None and high - low > most
        }
        self.sampled: Final = bool(self._cut)
        self._slices = min(sample.slices, most or sample.slices)
        self._each = (most or 0) // self._slices
        self._planned = sum(
            self._each * self._slices if partition in self._cut else high - low
            for partition, (low, high) in self._bounds.items()
        )
        self._read = 0

    def messages(self, progress: Progress | None = None) -> Iterator[list[ReceivedMessage]]:
        """Yield the messages in batches, each message once.

        Args:
            progress: called after each batch and at the end.

        Raises:
            BrokerUnavailable: reading stalled.
            HistoryMissing: events that were to be read were removed meanwhile.
            KafkaError: the broker reported an error.
        """
        if not self.sampled:
            first = {partition: low for partition, (low, _) in self._bounds.items()}
            last = {partition: high for partition, (_, high) in self._bounds.items()}
            yield from read_range(self._consumer, TopicRange(self._topic, first, last), progress=progress)
            return
        self._read = 0
        for messages in self._sampled_messages():
            yield messages
            self._read += len(messages)
            if progress is not None:
                progress(self._read, self._planned)
        if progress is not None:
            progress(self._planned, self._planned)

    def _sampled_messages(self) -> Iterator[list[ReceivedMessage]]:
        tails = {partition: self._bounds[partition][1] - self._each for partition in self._cut}
        heads = {
            partition: _Slice(low, tails.get(partition, high), self._each if partition in self._cut else high - low)
            for partition, (low, high) in self._bounds.items()
        }
        floors: dict[int, int] = {}
        recorded: list[int] = []
        for slices in (
            heads,
            {partition: _Slice(low, low + self._each, self._each) for partition, low in tails.items()},
        ):
            for messages in self._take(slices):
                yield messages
                for each in messages:
                    if each.partition() in self._cut:
                        recorded.append(each.timestamp()[1])
                        if slices is heads:
                            floors[each.partition()] = each.offset() + 1
            recorded = [min(recorded), max(recorded)] if recorded else []
        starts = self._starts(recorded)
        between = {
            partition: _between(starts[partition], floors.get(partition, self._bounds[partition][0]), tail, self._each)
            for partition, tail in tails.items()
        }
        for number in range(max(map(len, between.values()))):
            yield from self._take(
                {partition: slices[number] for partition, slices in between.items() if number < len(slices)}
            )

    def _starts(self, recorded: list[int]) -> dict[int, list[int]]:
        """Return where the slices between the first and the last begin, for each sampled partition: by offset, by time."""
        inner = self._slices - _FEWEST
        by_time = inner // 2 if recorded and recorded[0] >= 0 else 0
        by_offset = inner - by_time
        found: dict[int, list[int]] = {}
        for partition in self._cut:
            low, high = self._bounds[partition]
            found[partition] = [
                low + (high - self._each - low) * number // (by_offset + 1) for number in range(1, by_offset + 1)
            ]
        for number in range(1, by_time + 1):
            instant = recorded[0] + (recorded[1] - recorded[0]) * number // (by_time + 1)
            for partition, offset in self._consumer.offsets_at(self._topic, instant).items():
                if partition in found:
                    found[partition].append(offset)
        return found

    def _take(self, slices: Mapping[int, _Slice]) -> Iterator[list[ReceivedMessage]]:
        wanted = TopicRange(
            self._topic,
            {partition: each.begin for partition, each in slices.items()},
            {partition: each.end for partition, each in slices.items()},
        )
        left = {partition: each.most for partition, each in slices.items()}
        for messages in read_range(self._consumer, wanted, limit=_BATCH):
            taken = []
            for each in messages:
                partition = each.partition()
                if left[partition]:
                    taken.append(each)
                    left[partition] -= 1
                    if not left[partition]:
                        wanted.ends[partition] = each.offset() + 1  # `read_range` stops at the end that it finds here
            if taken:
                yield taken


def _between(starts: list[int], floor: int, tail: int, most: int) -> list[_Slice]:
    """Return slices from these offsets, between those at the beginning and the end; none overlap."""
    begins = sorted({max(start, floor) for start in starts if start < tail})
    begins = [begin for begin in begins if begin < tail]
    return [_Slice(begin, end, most) for begin, end in zip(begins, [*begins[1:], tail][: len(begins)], strict=True)]
