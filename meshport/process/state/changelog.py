"""The changelog of one partition's state: its records, its checkpoint, and what a restore reads of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from meshport.process.logic import lossless_json

CHECKPOINT_KEY: Final = b"checkpoint"
STAMP_HEADER: Final = "stamp"
_NEWER: Final = b'{"c":'


class ChangelogRecord(NamedTuple):
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

    def entry(self) -> ChangelogRecord:
        """The checkpoint as the changelog holds it."""
        sources = {str(partition): place for partition, place in self.sources.items()}
        figures = [self.offset, self.watermark, sources, self.rows, self.checksum, self.shape]
        if self.redriven or self.due:
            figures += [self.redriven, self.due]
        return ChangelogRecord(CHECKPOINT_KEY, lossless_json.dumps(figures).encode())

    @classmethod
    def read(cls, value: bytes) -> Checkpoint:
        """The checkpoint of an entry's value."""
        offset, watermark, sources, rows, checksum, shape, *redrive = lossless_json.loads(value)
        places = {int(at): place for at, place in sources.items()}
        return cls(offset, watermark, places, rows, checksum, shape, *redrive)


def versions(entry: ChangelogRecord) -> Iterator[tuple[int, str | None]]:
    """The versions of a state row that its changelog record holds, the newer one first: (stamp, text or None)."""
    if entry.value is None:
        yield entry.stamp, None
        return
    found = lossless_json.loads(entry.value)
    yield found["c"], None if found["v"] is None else lossless_json.dumps(found["v"])
    yield found["w"], None if found["p"] is None else lossless_json.dumps(found["p"])


class ChangelogReader:
    """The entries of a changelog that can tell a row as of the last checkpoint, taken one by one.

    A checkpoint settles the entries before it that are not ahead of it: of each row the newest is kept. Of a row that is
    gone nothing is, but 16 bytes: a zombie may tell of it still, and it has to stay gone. So memory is needed for the rows
    that there are, and not for all that there were.
    """

    def __init__(self) -> None:
        self.checkpoint = Checkpoint()
        self._settled: dict[bytes, ChangelogRecord] = {}
        self._open: dict[bytes, list[ChangelogRecord]] = {}
        self._late: set[bytes] = set()
        self._gone = array("q"), array("q")  # the keys' hashes, the stamps

    def take(self, entry: ChangelogRecord) -> None:
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

    def _choose(self, key: bytes, known: list[ChangelogRecord]) -> None:
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

    def _settle_by(self, key: bytes, entry: ChangelogRecord) -> None:
        if entry.value is not None:
            self._settled[key] = entry
        else:
            self._gone[0].append(hash(key))
            self._gone[1].append(entry.stamp)

    def rows(self) -> Iterator[tuple[bytes, list[ChangelogRecord]]]:
        """The key of each row that may be, and the entries that tell it, in order; what was taken is given up."""
        self._settle()
        dead = self._dead()
        for key, known in self._open.items():
            stamp = dead.get(hash(key))
            yield key, known if stamp is None else [ChangelogRecord(key, None, stamp), *known]
        for key in self._late:
            best, stamp = self._settled.get(key), dead.get(hash(key))
            if best is not None and stamp is not None:
                del self._settled[key]
                yield key, [ChangelogRecord(key, None, stamp), best]
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


def _stamp(entry: ChangelogRecord) -> int:
    """As of which stamp the newer version of an entry is."""
    if entry.value is None:
        return entry.stamp
    return int(entry.value[len(_NEWER) : entry.value.index(b",", len(_NEWER))])
