"""The state of one partition: rows of plain data under text keys, and how they survive a kill.

Every row that changed in a batch is written to the changelog *before* the checkpoint that includes the batch. A kill
between the two leaves rows that are ahead of the checkpoint. So a row's entry holds two versions, each stamped with the
input offset that it reflects:

    {"c": 15, "v": <the row as of offset 15>, "w": 10, "p": <the row as of offset 10, the last known checkpoint>}

and a restore takes, for each row, the newest version that is not ahead of the checkpoint. What it gets is exactly the
state as of the checkpoint, whatever was written after it, by this process or by a zombie; reprocessing from there is
reprocessing from a clean cut. The checkpoint holds the number of rows and a checksum of them, so that a changelog that
has lost anything is refused instead of being counted on.

A stage that takes redriven events in as well has two inputs, of which either may go on while the other stands. Its state
is a point (offset, redriven) that moves by one of them at a time, so that their sum grows with each step: that is the
stamp of versions and checkpoints. For one stamp to mean one state, the order in which the two were taken in has to be the
same whoever takes them in. It is decided in the log: before redriven events are taken in, a checkpoint with `due` says that
those up to there follow right behind this offset, and is acknowledged; whoever restores it does the same (see
`meshport.process.runtime.worker`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from meshport.errors import ProcessError
from meshport.process.logic import lossless_json
from meshport.process.state.changelog import ChangelogReader, ChangelogRecord, Checkpoint, versions

_SUM_SPACE: Final = 1 << 64


@dataclass(slots=True)
class _Row:
    value: Any
    stored: str | None  # the text as of the last acknowledged checkpoint; None where there was no such row
    stamp: int


class StateRows:
    """The rows of one partition.

    Changes are made event by event: `keep` makes those since the last call permanent, `undo` takes them back, so that
    an event whose processing fails half-way leaves no trace. Values are never changed in place.
    """

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._changed: dict[str, None] = {}
        self._pending: dict[str, Any] = {}
        self._gone: dict[str, int] = {}
        self.redriven = 0
        """As of `Checkpoint`; part of every stamp."""
        self.count = 0
        self.checksum = 0

    def get(self, key: str) -> Any | None:
        """The row's value, or None where there is no such row."""
        if key in self._pending:
            return self._pending[key]
        row = self._rows.get(key)
        return None if row is None else row.value

    def put(self, key: str, value: Any | None) -> None:
        """Set a row; None removes it."""
        self._pending[key] = value

    def keep(self, offset: int) -> None:
        """Make the changes permanent, as those of the input event at this offset, or of a redriven event behind it."""
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
            self._gone.pop(key, None)
        self._pending.clear()

    def undo(self) -> None:
        """Take back the changes since the last `keep`."""
        self._pending.clear()

    def __iter__(self) -> Iterator[str]:
        """The key of every row, in the order of their making."""
        return (key for key, row in self._rows.items() if row.value is not None)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Every row, in the order of their making."""
        return ((key, row.value) for key, row in self._rows.items() if row.value is not None)

    def entries(self, stored: int) -> list[ChangelogRecord]:
        """The changelog entries of everything that changed since the last `settle`, and the tombstones that are due.

        Args:
            stored: the stamp of the last acknowledged checkpoint.
        """
        entries = [ChangelogRecord(key.encode(), None, stamp) for key, stamp in self._gone.items()]
        for key in self._changed:
            row = self._rows[key]
            text = "null" if row.value is None else lossless_json.dumps(row.value)
            value = f'{{"c":{row.stamp},"v":{text},"w":{stored},"p":{row.stored or "null"}}}'
            entries.append(ChangelogRecord(key.encode(), value.encode()))
            self._sum(key, row.stored, -1)
            row.stored = None if row.value is None else text
            self._sum(key, row.stored, 1)
        return entries

    def settle(self) -> None:
        """Take note that the entries and a checkpoint that includes them are acknowledged."""
        self._gone.clear()
        for key in self._changed:
            row = self._rows[key]
            if row.value is None:
                self._gone[key] = row.stamp  # the entry that says so may become a tombstone now, and not earlier
                del self._rows[key]
        self._changed.clear()

    def _sum(self, key: str, text: str | None, sign: int) -> None:
        if text is not None:
            self.count += sign
            self.checksum = (self.checksum + sign * crc32(f"{key}\0{text}".encode())) % _SUM_SPACE

    @classmethod
    def restore(cls, entries: Iterable[ChangelogRecord]) -> tuple[StateRows, Checkpoint]:
        """The state that a changelog holds, as of its checkpoint.

        Args:
            entries: of one partition, from its beginning to its end.

        Raises:
            ProcessError: the changelog does not hold the rows that its checkpoint counts.
        """
        told = ChangelogReader()
        for entry in entries:
            told.take(entry)
        checkpoint = told.checkpoint
        rows = cls()
        for key, known in told.rows():
            stamp, text = -1, None
            for each in (found for entry in known for found in versions(entry)):
                if stamp <= each[0] <= checkpoint.stamp:  # of two with one stamp the later one was checkpointed
                    stamp, text = each
                    if len(known) == 1:
                        break  # of one entry the newer version comes first
            name = key.decode()
            if text is not None:
                rows._rows[name] = _Row(lossless_json.loads(text), text, stamp)
                rows._sum(name, text, 1)
            elif known[-1].value is not None:
                rows._gone[name] = checkpoint.stamp
        if (rows.count, rows.checksum) != (checkpoint.rows, checkpoint.checksum):
            raise ProcessError(
                f"the changelog holds {rows.count} rows (checksum {rows.checksum:x}) where its checkpoint at offset "
                f"{checkpoint.offset} counts {checkpoint.rows} ({checkpoint.checksum:x})",
                hint="the state is damaged; rebuild the product from its history",
            )
        rows.redriven = checkpoint.redriven
        return rows, checkpoint
