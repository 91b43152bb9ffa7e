"""The state of one partition: rows of JSON data by state key, and how they survive a kill.

Every row that changed in a batch is written to the changelog *before* the checkpoint that includes the batch. After a kill
between the two, the changelog has rows that are newer than its checkpoint. So the record of a row holds two versions of it,
each with the stamp of the state that it belongs to (see `meshport.process.state.changelog`):

    {"c": 15, "v": <the row at stamp 15>, "w": 10, "p": <the row at stamp 10, the last checkpoint when it was written>}

and a restore takes, for each row, the newest version that is not newer than the checkpoint. The result is exactly the state of
the checkpoint, whatever was written after it by this process or by a zombie. The checkpoint holds the number of rows and a
checksum of them, so that a changelog which has lost a record is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from zlib import crc32

from meshport.errors import MeshError, StateDamaged
from meshport.process.logic import lossless_json
from meshport.process.state.changelog import BEFORE, ChangelogReader, ChangelogRecord, Checkpoint, versions

_CHECKSUMS: Final = 1 << 64


class KeyValueStore(Protocol):
    """What reads and changes the rows of one partition: the rows themselves, or changes that are not made yet."""

    def get(self, key: str) -> Any | None:
        """Return the row's value, or None where there is no such row."""
        ...

    def put(self, key: str, value: Any | None) -> None:
        """Set a row; None deletes it."""
        ...


@dataclass(slots=True)
class _Row:
    value: Any
    stored: str | None  # JSON text as of the last acknowledged checkpoint; None where there was no such row
    stamp: int


class StateRows:
    """The rows of one partition.

    Changes are pending until the event that made them is done: `keep` applies them, `undo` drops them, so that an event whose
    processing fails leaves no trace. Values are never changed in place.

    Attributes:
        redriven: as of `Checkpoint`; part of every stamp.
        count: rows in the changelog, counting those of the last `changes`.
        checksum: of these rows.
        size: bytes of their keys and values.
    """

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._changed: dict[str, None] = {}
        self._pending: dict[str, Any] = {}
        self._deleted: dict[str, int] = {}
        self._ahead: dict[str, None] = {}
        self.redriven = 0
        self.count = 0
        self.checksum = 0
        self.size = 0

    def get(self, key: str) -> Any | None:
        """Return the row's value, or None where there is no such row."""
        if key in self._pending:
            return self._pending[key]
        row = self._rows.get(key)
        return None if row is None else row.value

    def put(self, key: str, value: Any | None) -> None:
        """Set a row; None deletes it."""
        self._pending[key] = value

    def keep(self, offset: int) -> None:
        """Apply the pending changes.

        Args:
            offset: of the input event that made them; the last one of the input, if a redriven event did.
        """
        stamp = offset + self.redriven
        for key, value in self._pending.items():
            row = self._rows.get(key)
            if row is None:
                if value is None:
                    continue
                self._rows[key] = _Row(value, None, stamp)
            else:
                row.value, row.stamp = value, stamp
            self._changed[key] = None
            self._deleted.pop(key, None)
        self._pending.clear()

    def apply(self, changes: Mapping[str, tuple[Any, int]], offsets: Sequence[int]) -> None:
        """Apply the changes of several events at once.

        Args:
            changes: by state key, the value that the last event left (None deletes the row), and the index of that event.
            offsets: of the events, as of `keep`.
        """
        for key, (value, event) in changes.items():
            self._pending[key] = value
            self.keep(offsets[event])

    def skip_to(self, offset: int) -> None:
        """Set the offset of the rows to a later one: the input between is not processed.

        A predecessor may have written rows of events after the checkpoint that both began at. Usually the same events write
        them again; here they are written again as they are, so that no later restore takes them for current.

        Args:
            offset: the last one that counts as processed.
        """
        stamp = offset + self.redriven
        for key in self._ahead:
            row = self._rows.get(key)
            if row is None:
                self._deleted[key] = stamp
            else:
                row.stamp = stamp
                self._changed[key] = None
        self._ahead.clear()

    def undo(self) -> None:
        """Drop the pending changes."""
        self._pending.clear()

    def __iter__(self) -> Iterator[str]:
        """Return the key of every row, in the order in which they were first set."""
        return (key for key, row in self._rows.items() if row.value is not None)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Return key and value of every row, in the order in which they were first set."""
        return ((key, row.value) for key, row in self._rows.items() if row.value is not None)

    def changes(self, stored: int) -> list[ChangelogRecord]:
        """Return the changelog records of all that changed since the last `mark_stored`, tombstones first.

        Args:
            stored: the stamp of the last acknowledged checkpoint.
        """
        records = [ChangelogRecord(key.encode(), None, stamp) for key, stamp in self._deleted.items()]
        for key in self._changed:
            row = self._rows[key]
            text = "null" if row.value is None else lossless_json.dumps(row.value)
            value = f'{{"c":{row.stamp},"v":{text},"w":{stored},"p":{row.stored or "null"}}}'
            records.append(ChangelogRecord(key.encode(), value.encode()))
            self._count(key, row.stored, -1)
            row.stored = None if row.value is None else text
            self._count(key, row.stored, 1)
        return records

    def mark_stored(self) -> None:
        """Note that the records of `changes`, and a checkpoint that includes them, are acknowledged."""
        self._deleted.clear()
        for key in self._changed:
            row = self._rows[key]
            if row.value is None:
                # Its tombstone is written with the next batch: until now a restore may have needed the version before.
                self._deleted[key] = row.stamp
                del self._rows[key]
        self._changed.clear()

    def _count(self, key: str, text: str | None, sign: int) -> None:
        if text is not None:
            row = f"{key}\0{text}".encode()
            self.count += sign
            self.checksum = (self.checksum + sign * crc32(row)) % _CHECKSUMS
            self.size += sign * (len(row) - 1)

    @classmethod
    def restore(cls, records: Iterable[ChangelogRecord]) -> tuple[StateRows, Checkpoint]:
        """Return the rows that a changelog holds as of its checkpoint, and the checkpoint.

        Args:
            records: of one partition, from its beginning to its end.

        Raises:
            StateDamaged: the rows are not those that the checkpoint counts, or a message is no record of a changelog.
        """
        reader = ChangelogReader()
        try:
            for record in records:
                reader.add(record)
            rows = cls._restored(reader)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            if isinstance(error, MeshError):
                raise
            raise StateDamaged(
                f"a message is no record of a changelog ({type(error).__name__}: {error})",
                offset=reader.checkpoint.offset,
            ) from error
        checkpoint = reader.checkpoint
        if (rows.count, rows.checksum) != (checkpoint.rows, checkpoint.checksum):
            raise StateDamaged(
                f"the changelog holds {rows.count} rows (checksum {rows.checksum:x}) where its checkpoint at offset "
                f"{checkpoint.offset} counts {checkpoint.rows} ({checkpoint.checksum:x})",
                offset=checkpoint.offset,
            )
        rows.redriven = checkpoint.redriven
        return rows, checkpoint

    @classmethod
    def _restored(cls, reader: ChangelogReader) -> StateRows:
        rows = cls()
        for key, known in reader.rows():
            stamp, text, ahead = BEFORE, None, False
            for each in (version for record in known for version in versions(record)):
                if each[0] > reader.stamp:
                    ahead = True
                elif stamp <= each[0]:  # of two with one stamp the later one was checkpointed
                    stamp, text = each
                    if len(known) == 1:
                        break  # the newer version of a record comes first
            name = key.decode()
            if text is not None:
                rows._rows[name] = _Row(lossless_json.loads(text), text, stamp)
                rows._count(name, text, 1)
            elif known[-1].value is not None:
                rows._deleted[name] = reader.stamp
            if ahead:
                rows._ahead[name] = None
        return rows
