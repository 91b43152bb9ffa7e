"""The rows of a joined compacted port, looked up as of an event's time.

Of a compacted topic Kafka keeps the newest *offset* of each key. So the row with the higher offset replaces the one before it
whatever its time, here as in an aggregate over a compacted port: it holds from its own time on, and rows of that time or a later
one no longer count. An event is joined with the row that holds at its time. A row with a time in the future (terms that hold
from tomorrow) is not found before its time.

Rows of each key thus rise in offset and in time, and the last of them is the one that compaction keeps. An event that is not
older than the last row is joined with it by the live processor, after a restart, in a rebuild and in a recount, however much
compaction has removed. An older event finds the earlier row while the topic still has it, else none.

(Kafka Streams' versioned stores order rows by time instead, KIP-889 and KIP-914, and have to keep a changelog of their own that
is not compacted before the history ends: the row that is newest by time may be the one that compaction removes.)
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final

from meshport.binding import Binding
from meshport.event import UNREADABLE, EventReader
from meshport.event.record import record_key
from meshport.event.stored import equal_value
from meshport.process.logic.counted_warning import CountedWarning
from meshport.process.logic.event_time import to_datetime, to_micros
from meshport.process.logic.operators import Record
from meshport.process.wire.calendar_reader import CalendarReader
from meshport.process.wire.input import InputMessage
from meshport.process.wire.partitioner import partition_of
from meshport.schema import parse_schema

_log: Final = logging.getLogger(__name__)

_OUT_OF_ORDER: Final = (
    "%s: the row of %s with the key %r is of %s and replaces a row of %s; it counts from its own time on, as the one that "
    "compaction keeps"
)
_IN_TWO_PARTITIONS: Final = (
    "%s has rows of the key %r in the partitions %d and %d, written with different partitioners; those in partition %d count "
    "(murmur2 puts the key into partition %d). Found at %s"
)


class _Versions:
    """The rows of one key, by time: when each begins to hold, and the row."""

    __slots__ = ("partition", "rows", "times")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.times: list[int] = []
        self.rows: list[Record | None] = []

    def add(self, time: int, row: Record | None) -> int | None:
        """Add the row with the highest offset so far; return the newest time among those that it replaces, if it is older."""
        at = bisect_left(self.times, time)
        replaced = self.times[-1] if self.times and self.times[-1] > time else None
        self.times[at:], self.rows[at:] = [time], [row]
        return replaced

    def at(self, time: int) -> Record | None:
        """Return the row that holds at a time; None before the first."""
        index = bisect_right(self.times, time)
        return self.rows[index - 1] if index else None


class TableRows:
    """All rows of one compacted port, by record key.

    Args:
        binding: of the port.
        reader: decodes its rows.
    """

    def __init__(self, binding: Binding, reader: EventReader | CalendarReader) -> None:
        self._binding = binding
        self._read = reader.read
        self._key = record_key(("value",))
        schema = parse_schema(binding.schema_text, source=f"the schema of {binding.address}")
        self._equal = equal_value(binding.key[0], schema)
        self._versions: dict[bytes, _Versions] = {}
        self._out_of_order = CountedWarning(_log, _OUT_OF_ORDER)
        self._in_two = CountedWarning(_log, _IN_TWO_PARTITIONS)

    def add(self, messages: Iterable[InputMessage]) -> None:
        """Add rows, those of each partition in the order of their offsets.

        A row that cannot be read is logged and left out, so that the row before it stays in force. A row that is older than the
        one that it replaces is logged. Where a key has rows in two partitions, those in the partition of the key count (else
        those in the lower partition), and the others are logged and left out: offsets of two partitions have no order.
        """
        for message in messages:
            try:
                event = self._read(*message.parts)
            except UNREADABLE as error:
                _log.warning(
                    "%s is no row of %s: %s",
                    _where(message),
                    self._binding.address,
                    error.message,
                    extra={"facts": {"topic": message.topic, "partition": message.partition, "offset": message.offset}},
                )
                continue
            if message.key is None:
                continue
            versions = self._versions.get(message.key)
            if versions is None or (versions.partition != message.partition and self._wins(message, versions)):
                versions = self._versions[message.key] = _Versions(message.partition)
            if versions.partition == message.partition:
                time = to_micros(event.time)
                replaced = versions.add(time, event.data)
                if replaced is not None:
                    self._warn_out_of_order(message, time, replaced)

    def _wins(self, message: InputMessage, known: _Versions) -> bool:
        """Return whether the rows of a key count that are in a message's partition, rather than the ones that are known."""
        key = message.key or b""
        own = partition_of(key, self._binding.partitions)
        first, second = sorted((known.partition, message.partition), key=lambda each: (each != own, each))
        self._in_two.due(self._binding.address, key, first, second, first, own, _where(message))
        return message.partition == first

    def _warn_out_of_order(self, message: InputMessage, time: int, replaced: int) -> None:
        times = to_datetime(time).isoformat(), to_datetime(replaced).isoformat()
        self._out_of_order.due(_where(message), self._binding.address, message.key, *times)

    def row(self, value: Any, time: int) -> Record | None:
        """Return the row whose key is `value`, as of `time` (microseconds); None where there is none."""
        versions = self._versions.get(self._key_of(value))
        return None if versions is None else versions.at(time)

    def _key_of(self, value: Any) -> bytes:
        return self._key({"value": value if self._equal is None else self._equal(value)}) or b""

    def rows_at(self, values: Sequence[Any], times: Sequence[int]) -> list[Record | None]:
        """Return the rows of many values, each as of its time; a value that occurs again is looked up once."""
        known: dict[Any, _Versions | None] = {}
        found: list[Record | None] = []
        for value, time in zip(values, times, strict=True):
            if value in known:
                versions = known[value]
            else:
                versions = None if value is None else self._versions.get(self._key_of(value))
                known[value] = versions
            if versions is None:
                found.append(None)
            elif len(versions.times) == 1:
                found.append(versions.rows[0] if versions.times[0] <= time else None)
            else:
                found.append(versions.at(time))
        return found

    def __len__(self) -> int:
        return len(self._versions)


def _where(message: InputMessage) -> str:
    return f"{message.topic} [{message.partition}] offset {message.offset}"
