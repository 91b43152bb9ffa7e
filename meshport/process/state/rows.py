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

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from zlib import crc32

from meshport.errors import ProcessError
from meshport.process.logic import lossless_json

CHECKPOINT_KEY: Final = b"checkpoint"
STAMP_HEADER: Final = "stamp"
_SUM_SPACE: Final = 1 << 64
_NEWER: Final = b'{"c":'


class Entry(NamedTuple):
    """One record of the changelog, of a row or of the checkpoint.

    Attributes:
        stamp: for a tombstone, the offset as of which the row is gone; else -1.
    """

    key: bytes
    value: bytes | None
    stamp: int = -1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a partition has come.

    Attributes:
        offset: the last input offset that the state reflects; -1 before the first.
        watermark: of the partition, microseconds.
        sources: for re-keyed input, what was last applied of each source partition: [offset, number, watermark].
        rows: how many rows the state has.
        checksum: of all rows, in any order.
        shape: what the state is made of; a processor that keeps something else cannot go on from it.
        redriven: the offset in the redrive topic before which the state reflects all.
        due: the offset in the redrive topic up to which events are taken in before the next one of the input; where it is
            not beyond `redriven`, none are.
    """

    offset: int = -1
    watermark: int | None = None
    sources: dict[int, list[int | None]] = field(default_factory=dict)
    rows: int = 0
    checksum: int = 0
    shape: str = ""
    redriven: int = 0
    due: int = 0

    @property
    def stamp(self) -> int:
        """What grows with every event of either input."""
        return self.offset + self.redriven

    def entry(self) -> Entry:
        """The checkpoint as the changelog holds it."""
        sources = {str(partition): place for partition, place in self.sources.items()}
        figures = [self.offset, self.watermark, sources, self.rows, self.checksum, self.shape]
        if self.redriven or self.due:
            figures += [self.redriven, self.due]
        return Entry(CHECKPOINT_KEY, lossless_json.dumps(figures).encode())

    @classmethod
    def read(cls, value: bytes) -> Checkpoint:
        """The checkpoint of an entry's value."""
        offset, watermark, sources, rows, checksum, shape, *redrive = lossless_json.loads(value)
        places = {int(at): place for at, place in sources.items()}
        return cls(offset, watermark, places, rows, checksum, shape, *redrive)


@dataclass(slots=True)
class _Row:
    value: Any
    stored: str | None  # the text as of the last acknowledged checkpoint; None where there was no such row
    stamp: int


class Rows:
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

    def entries(self, stored: int) -> list[Entry]:
        """The changelog entries of everything that changed since the last `settle`, and the tombstones that are due.

        Args:
            stored: the stamp of the last acknowledged checkpoint.
        """
        entries = [Entry(key.encode(), None, stamp) for key, stamp in self._gone.items()]
        for key in self._changed:
            row = self._rows[key]
            text = "null" if row.value is None else lossless_json.dumps(row.value)
            value = f'{{"c":{row.stamp},"v":{text},"w":{stored},"p":{row.stored or "null"}}}'
            entries.append(Entry(key.encode(), value.encode()))
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
    def restore(cls, entries: Iterable[Entry]) -> tuple[Rows, Checkpoint]:
        """The state that a changelog holds, as of its checkpoint.

        Args:
            entries: of one partition, from its beginning to its end.

        Raises:
            ProcessError: the changelog does not hold the rows that its checkpoint counts.
        """
        told = _Told()
        for entry in entries:
            told.take(entry)
        checkpoint = told.checkpoint
        rows = cls()
        for key, known in told.rows():
            stamp, text = -1, None
            for each in (found for entry in known for found in _versions(entry)):
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


def _versions(entry: Entry) -> Iterator[tuple[int, str | None]]:
    if entry.value is None:
        yield entry.stamp, None
        return
    found = lossless_json.loads(entry.value)
    yield found["c"], None if found["v"] is None else lossless_json.dumps(found["v"])
    yield found["w"], None if found["p"] is None else lossless_json.dumps(found["p"])


class _Told:
    """The entries of a changelog that can tell a row as of the last checkpoint, taken one by one.

    A checkpoint settles the entries before it that are not ahead of it: of each row the newest is kept. Of a row that is
    gone nothing is, but 16 bytes: a zombie may tell of it still, and it has to stay gone. So memory is needed for the rows
    that there are, and not for all that there were.
    """

    def __init__(self) -> None:
        self.checkpoint = Checkpoint()
        self._settled: dict[bytes, Entry] = {}
        self._open: dict[bytes, list[Entry]] = {}
        self._late: set[bytes] = set()
        self._gone = array("q"), array("q")  # the keys' hashes, the stamps

    def take(self, entry: Entry) -> None:
        """Take the next one."""
        if entry.key != CHECKPOINT_KEY:
            known = self._open.get(entry.key)
            if known is not None:
                known.append(entry)
                return
            self._open[entry.key] = [entry]
            if entry.value is not None and entry.key not in self._settled and _stamp(entry) <= self.checkpoint.stamp:
                self._late.add(entry.key)
        elif entry.value is not None:
            found = Checkpoint.read(entry.value)
            # A zombie's older checkpoint may come after a newer one, or after one that says what is due.
            if (found.stamp, found.due) >= (self.checkpoint.stamp, self.checkpoint.due):
                self.checkpoint = found
                self._settle()

    def _settle(self) -> None:
        opened, self._open = self._open, {}
        behind = self.checkpoint.stamp
        for key, entries in opened.items():
            settled = self._settled.pop(key, None)
            last = entries[-1]
            if len(entries) == 1 and (-1 if settled is None else _stamp(settled)) <= _stamp(last) <= behind:
                self._settle_by(key, last)
            else:
                self._choose(key, entries if settled is None else [settled, *entries])

    def _choose(self, key: bytes, known: list[Entry]) -> None:
        best = None
        for entry in known:
            if _stamp(entry) <= self.checkpoint.stamp and (best is None or _stamp(entry) >= _stamp(best)):
                best = entry
        # What is ahead stays; and what stands last, if it is to become a tombstone again.
        left = [each for each in known if each is best or _stamp(each) > self.checkpoint.stamp]
        if best is not None and best.value is None and left[-1] is best is not known[-1]:
            left.append(known[-1])
        if len(left) > 1 or best is None:
            self._open[key] = left
        else:
            self._settle_by(key, best)

    def _settle_by(self, key: bytes, entry: Entry) -> None:
        if entry.value is not None:
            self._settled[key] = entry
        else:
            self._gone[0].append(hash(key))
            self._gone[1].append(entry.stamp)

    def rows(self) -> Iterator[tuple[bytes, list[Entry]]]:
        """The key of each row that may be, and the entries that tell it, in order; what was taken is given up."""
        self._settle()
        dead = self._dead()
        for key, known in self._open.items():
            stamp = dead.get(hash(key))
            yield key, known if stamp is None else [Entry(key, None, stamp), *known]
        for key in self._late:
            best, stamp = self._settled.get(key), dead.get(hash(key))
            if best is not None and stamp is not None:
                del self._settled[key]
                yield key, [Entry(key, None, stamp), best]
        while self._settled:
            key, best = self._settled.popitem()
            yield key, [best]

    def _dead(self) -> dict[int, int]:
        """As of which stamp those rows are gone of which somebody told after that."""
        asked = {hash(key) for key in (*self._open, *self._late)}
        found: dict[int, int] = {}
        if asked:
            for told, stamp in zip(*self._gone, strict=True):
                if told in asked:
                    found[told] = max(stamp, found.get(told, stamp))
        return found


def _stamp(entry: Entry) -> int:
    """As of which stamp the newer version of an entry is."""
    if entry.value is None:
        return entry.stamp
    return int(entry.value[len(_NEWER) : entry.value.index(b",", len(_NEWER))])
