"""The rows of a joined compacted port, looked up as of an event's time.

An event is joined with the newest row that is not newer than the event, so that a recount from the log joins each event with
the same row as the live processor did. A row with a time in the future (terms that hold from tomorrow) is not found before its
time. Compaction deletes old versions of a row: an event from before the oldest version that is left finds none.
"""

from __future__ import annotations

import logging
from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from typing import Any, Final

from meshport.binding import Binding
from meshport.errors import CodecError, EventError, NotRegistered, SchemaError
from meshport.event import EventReader
from meshport.event.record import record_key
from meshport.process.logic.event_time import to_micros
from meshport.process.logic.pipeline import Record
from meshport.process.wire.input import InputMessage

_log: Final = logging.getLogger(__name__)


class Table:
    """All rows of one compacted port, by record key, with the versions of each by event time.

    Args:
        binding: of the port.
        reader: decodes its rows.
    """

    def __init__(self, binding: Binding, reader: EventReader) -> None:
        self._binding = binding
        self._read = reader.read
        self._key = record_key(("value",))
        # Of two versions of one time the later offset is the newer one; the rows of a key are in one partition.
        self._versions: dict[bytes, list[tuple[int, int, Record | None]]] = {}

    def add(self, messages: Iterable[InputMessage]) -> None:
        """Add rows. One that cannot be read is logged and left out, so that the version before it stays in force."""
        for message in messages:
            try:
                event = self._read(*message.parts)
            except (CodecError, EventError, NotRegistered, SchemaError) as error:
                _log.warning(
                    "%s [%d] offset %d is no row of %s: %s",
                    message.topic,
                    message.partition,
                    message.offset,
                    self._binding.address,
                    error.message,
                )
                continue
            if message.key is not None:
                versions = self._versions.setdefault(message.key, [])
                insort(versions, (to_micros(event.time), message.offset, event.data), key=lambda version: version[:2])

    def row(self, value: Any, time: int) -> Record | None:
        """Return the row whose key is `value`, as of `time` (microseconds); None where there is none."""
        versions = self._versions.get(self._key({"value": value}) or b"")
        if not versions:
            return None
        at = bisect_right(versions, time, key=lambda version: version[0])
        return versions[at - 1][2] if at else None

    def rows_at(self, values: Sequence[Any], times: Sequence[int]) -> list[Record | None]:
        """Return the rows of many values, each as of its time; a value that occurs again is looked up once."""
        known: dict[Any, Sequence[tuple[int, int, Record | None]]] = {}
        found: list[Record | None] = []
        for value, time in zip(values, times, strict=True):
            versions = known.get(value)
            if versions is None:
                versions = [] if value is None else self._versions.get(self._key({"value": value}) or b"") or []
                known[value] = versions
            if len(versions) == 1:
                found.append(versions[0][2] if versions[0][0] <= time else None)
            else:
                at = bisect_right(versions, time, key=lambda version: version[0])
                found.append(versions[at - 1][2] if at else None)
        return found

    def __len__(self) -> int:
        return len(self._versions)
