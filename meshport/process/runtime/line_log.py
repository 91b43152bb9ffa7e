"""An input and the earlier lines of its port as one log, whose offsets in earlier lines are negative.

The last offset of the line before is -1. So a state that begins there has one growing offset in each partition, goes on where it
stood after an interruption, and is in the input itself once its offset is not negative.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from meshport.binding import Binding
from meshport.errors import ProcessError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.received import Headers, ReceivedMessage, headers_of
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports.earlier_lines import EarlierLine
from meshport.ports.history import Missing
from meshport.ports.line_history import line_range
from meshport.ports.scan import history_reader
from meshport.process.runtime.kafka_log import GO_ON

__all__ = ["LineLog"]


@dataclass(frozen=True, slots=True)
class _Span:
    """A partition of an earlier line.

    Attributes:
        line: the line.
        begin: the offset, of this log, of the line's first offset 0.
        end: the offset in the line's topic after its last event that counts.
    """

    line: EarlierLine
    begin: int
    end: int

    @property
    def topic(self) -> str:
        return self.line.binding.topic


class _Placed:
    """A message at an offset of this log."""

    __slots__ = ("_message", "_offset", "_topic")

    def __init__(self, message: ReceivedMessage, topic: str, offset: int) -> None:
        self._message, self._topic, self._offset = message, topic, offset

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._message.partition()

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._message.key()

    def value(self) -> bytes | None:
        return self._message.value()

    def headers(self) -> Headers | None:
        return headers_of(self._message)

    def timestamp(self) -> tuple[int, int]:
        return self._message.timestamp()


class LineLog:
    """Reads an input, and its port's earlier lines before it.

    Args:
        kafka: the connection to the cluster.
        source: the input.
        ports: whose archives are read where a topic of theirs begins later.
        lines: the earlier lines of the input, oldest first.
        missing: whether events of earlier lines may be missing.

    Raises:
        ProcessError: a line is not over yet, or has another number of partitions.
        HistoryMissing: events of an earlier line are removed, and `missing` does not allow it.
        KafkaError: the cluster did not answer.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        source: Binding,
        ports: Collection[Binding] = (),
        lines: Sequence[EarlierLine] = (),
        missing: Missing = Missing.REFUSE,
    ) -> None:
        self._topic = source.topic
        self._reader = history_reader(kafka, [*ports, *(each.binding for each in lines)])
        self._spans: dict[int, list[_Span]] = {}
        self._at: dict[int, _Span | None] = {}
        self._reached: dict[int, int] = {}
        for line in reversed(lines):
            _refuse_unfit(line, source)
            for partition, end in line_range(line, kafka, self._reader, missing, GO_ON).ends.items():
                known = self._spans.setdefault(partition, [])
                known.insert(0, _Span(line, (known[0].begin if known else 0) - end, end))

    def first(self, partition: int) -> int:
        """Return the first offset of a partition."""
        spans = self._spans.get(partition)
        return spans[0].begin if spans else 0

    @property
    def ends(self) -> Mapping[TopicPartition, int]:
        """The end of each partition where it was met; of one that is read in an earlier line, how far it was read."""
        reached = {
            TopicPartition(self._topic, each): self._reached[each]
            for each, span in self._at.items()
            if span is not None
        }
        return {**self._reader.ends, **reached} if reached else self._reader.ends

    @property
    def fetched(self) -> Mapping[TopicPartition, int]:
        """See `Consumer.fetched`."""
        return self._reader.fetched

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions, each from its offset."""
        begins: dict[TopicPartition, int] = {}
        for (_, partition), offset in offsets.items():
            span = next((each for each in self._spans.get(partition, ()) if offset < each.begin + each.end), None)
            self._at[partition], self._reached[partition] = span, offset
            begins[self._place(partition)] = offset - (0 if span is None else span.begin)
        self._reader.assign(begins)

    def _place(self, partition: int) -> TopicPartition:
        span = self._at.get(partition)
        return TopicPartition(self._topic if span is None else span.topic, partition)

    def read(self, limit: int, timeout_s: float) -> list[ReceivedMessage]:
        """Return up to `limit` messages; raises as `Consumer.read`."""
        messages = self._reader.read(limit, timeout_s)
        if not any(self._at.values()):
            return messages
        found: list[ReceivedMessage] = []
        for each in messages:
            partition = each.partition()
            span = self._at.get(partition)
            if span is None:
                found.append(each)
            elif each.topic() == span.topic and each.offset() < span.end:
                offset = span.begin + each.offset()
                found += [_Placed(one, self._topic, offset) for one in span.line.read([each])]
                self._reached[partition] = offset + 1
        for partition, span in self._at.items():
            if span is not None:
                self._go_on(partition, span)
        return found

    def _go_on(self, partition: int, span: _Span) -> None:
        """Read the next line of a partition where this one is read."""
        place = TopicPartition(span.topic, partition)
        seen = span.begin + self._reader.ends.get(place, 0)
        end = span.begin + span.end
        if max(self._reached[partition], seen) < end:
            return
        self._reader.pause(*place)
        following = [each for each in self._spans[partition] if each.begin >= end and each.end]
        self._at[partition] = following[0] if following else None
        self._reached[partition] = end
        self._reader.assign_more({self._place(partition): 0})

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()


def _refuse_unfit(line: EarlierLine, source: Binding) -> None:
    if not line.is_over:
        raise ProcessError(
            f"{line.binding.address} has events of {source.address} up to {line.until.isoformat()}, and has all of them "
            "five minutes later at the latest",
            address=str(line.binding.address),
            hint="rebuild after that",
        )
    if line.binding.partitions != source.partitions:
        raise ProcessError(
            f"{line.binding.address} has {line.binding.partitions} partitions, and {source.address} has {source.partitions}: the "
            "events of one key are in different ones",
            address=str(line.binding.address),
            hint="a processor over both lines needs as many partitions in each",
        )
