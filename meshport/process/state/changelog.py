"""The changelog of one partition's state: its records, its checkpoints, and which records a restore takes into account.

A state reflects the input up to an offset and, in a source stage, redriven events up to an offset of the redrive topic. One
of the two offsets grows at a time, so that their sum, the *stamp*, grows with each event and identifies one state. That holds
only if the two inputs are always processed in the same order. The changelog fixes it: before redriven events are processed, a
checkpoint with `due` is acknowledged, which states that the events up to `due` follow the input offset of the checkpoint; a
process that restores it processes them next (see `meshport.process.runtime.worker`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from meshport.process.logic import lossless_json
from meshport.process.state.keys import CHECKPOINT_KEY

_VALUE_PREFIX: Final = b'{"c":'


class ChangelogRecord(NamedTuple):
    """A record of the changelog: of a state row, or a checkpoint.

    Attributes:
        key: the state key in UTF-8, or `CHECKPOINT_KEY`.
        value: as of `meshport.process.state.rows`; None for a tombstone.
        stamp: of the state that first lacked the row, for a tombstone; -1 for other records, whose values hold theirs.
    """

    key: bytes
    value: bytes | None
    stamp: int = -1


BEFORE: Final = -(2**62)
"""Less than every offset and every stamp. Those of earlier lines are negative (`meshport.process.runtime.line_log`)."""


@dataclass(slots=True)
class PartitionProgress:
    """What a stage has applied of one source partition of its repartition topic.

    Attributes:
        offset: of the last event, in the source partition (of a redriven one, in the redrive topic); `BEFORE` before the
            first.
        number: of the last record among those of that event.
        watermark: of the source partition, microseconds; None where it has reported none.
    """

    offset: int = BEFORE
    number: int = -1
    watermark: int | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A consumer's position in one partition, and the state's size at that position.

    Attributes:
        offset: the last input offset that the state reflects; -1 before the first.
        watermark: of the partition, microseconds.
        sources: of a repartition topic, what was applied of each source partition, by its number.
        rows: number of state rows.
        checksum: of all rows, whatever their order.
        shape: digest of what the pipeline keeps as state; a pipeline with another shape cannot use the state.
        redriven: the offset in the redrive topic up to which (exclusive) the state reflects redriven events.
        due: the offset in the redrive topic up to which (exclusive) redriven events are processed before the next event of
            the input; none are where it is not beyond `redriven`.
        logs: Kafka's id of each topic that the state was made with (see `meshport.process.wire.logs`); empty where the
            cluster gives none.
    """

    offset: int = -1
    watermark: int | None = None
    sources: dict[int, PartitionProgress] = field(default_factory=dict)
    rows: int = 0
    checksum: int = 0
    shape: str = ""
    redriven: int = 0
    due: int = 0
    logs: Mapping[str, str] = field(default_factory=dict)

    @property
    def stamp(self) -> int:
        """The stamp of the state."""
        return self.offset + self.redriven

    def to_record(self) -> ChangelogRecord:
        """Return the changelog record of the checkpoint."""
        sources = {str(number): [each.offset, each.number, each.watermark] for number, each in self.sources.items()}
        values: list[Any] = [self.offset, self.watermark, sources, self.rows, self.checksum, self.shape]
        if self.redriven or self.due or self.logs:
            values += [self.redriven, self.due]
        if self.logs:
            values.append(dict(self.logs))
        return ChangelogRecord(CHECKPOINT_KEY, lossless_json.dumps(values).encode())

    @classmethod
    def read(cls, value: bytes) -> Checkpoint:
        """Return the checkpoint of a changelog record's value."""
        offset, watermark, sources, rows, checksum, shape, *more = lossless_json.loads(value)
        progress = {int(number): PartitionProgress(*each) for number, each in sources.items()}
        return cls(offset, watermark, progress, rows, checksum, shape, *more)


def versions(record: ChangelogRecord) -> Iterator[tuple[int, str | None]]:
    """Return the versions of a state row that its changelog record holds, the newer one first.

    Each is a stamp and the row's JSON text, None where the state of that stamp lacks the row.
    """
    if record.value is None:
        yield record.stamp, None
        return
    found = lossless_json.loads(record.value)
    yield found["c"], None if found["v"] is None else lossless_json.dumps(found["v"])
    yield found["w"], None if found["p"] is None else lossless_json.dumps(found["p"])


class ChangelogReader:
    """The records of a changelog from which its rows can be restored as of the last checkpoint.

    A checkpoint settles the records before it whose stamps it includes: of these only the newest of each row is kept, and of
    a row that was deleted 16 bytes, since a process that was replaced (a zombie) may still write an older version of it. So
    memory grows with the rows that exist, not with all that ever existed.
    """

    def __init__(self) -> None:
        self.checkpoint = Checkpoint()
        self.stamp = BEFORE
        """The stamp of the checkpoint; `BEFORE` where there is none."""
        self._settled: dict[bytes, ChangelogRecord] = {}
        self._unsettled: dict[bytes, list[ChangelogRecord]] = {}
        self._resurfaced: set[bytes] = set()
        """Keys without a settled record of which a record with a settled stamp came: the row may have been deleted."""
        self._tombstones = array("q"), array("q")  # hashes of keys, stamps

    def add(self, record: ChangelogRecord) -> None:
        """Add the next record of the changelog."""
        if record.key != CHECKPOINT_KEY:
            known = self._unsettled.get(record.key)
            if known is not None:
                known.append(record)
                return
            self._unsettled[record.key] = [record]
            if record.value is not None and record.key not in self._settled and _stamp(record) <= self.stamp:
                self._resurfaced.add(record.key)
        elif record.value is not None:
            found = Checkpoint.read(record.value)
            # A zombie's older checkpoint may follow a newer one, or one with a later `due`.
            if (found.stamp, found.due) >= (self.stamp, self.checkpoint.due):
                self.checkpoint, self.stamp = found, found.stamp
                self._settle()

    def _settle(self) -> None:
        unsettled, self._unsettled = self._unsettled, {}
        stamp = self.stamp
        for key, records in unsettled.items():
            settled = self._settled.pop(key, None)
            last = records[-1]
            if len(records) == 1 and (BEFORE if settled is None else _stamp(settled)) <= _stamp(last) <= stamp:
                self._settle_row(key, last)
            else:
                self._settle_newest(key, records if settled is None else [settled, *records])

    def _settle_newest(self, key: bytes, known: list[ChangelogRecord]) -> None:
        newest = None
        for record in known:
            if _stamp(record) <= self.stamp and (newest is None or _stamp(record) >= _stamp(newest)):
                newest = record
        # Records with later stamps stay; so does the last record of a deleted row, which needs another tombstone.
        left = [each for each in known if each is newest or _stamp(each) > self.stamp]
        if newest is not None and newest.value is None and left[-1] is newest is not known[-1]:
            left.append(known[-1])
        if len(left) > 1 or newest is None:
            self._unsettled[key] = left
        else:
            self._settle_row(key, newest)

    def _settle_row(self, key: bytes, record: ChangelogRecord) -> None:
        if record.value is not None:
            self._settled[key] = record
        else:
            self._tombstones[0].append(hash(key))
            self._tombstones[1].append(record.stamp)

    def rows(self) -> Iterator[tuple[bytes, list[ChangelogRecord]]]:
        """Return the records of each row that may exist, by key, in the order of the log. Call it once: it frees them."""
        self._settle()
        tombstones = self._tombstones_of_mentioned_rows()
        for key, known in self._unsettled.items():
            stamp = tombstones.get(hash(key))
            yield key, known if stamp is None else [ChangelogRecord(key, None, stamp), *known]
        for key in self._resurfaced:
            record, stamp = self._settled.get(key), tombstones.get(hash(key))
            if record is not None and stamp is not None:
                del self._settled[key]
                yield key, [ChangelogRecord(key, None, stamp), record]
        while self._settled:
            key, record = self._settled.popitem()
            yield key, [record]

    def _tombstones_of_mentioned_rows(self) -> dict[int, int]:
        """Tombstone stamps of rows that later records mention, by hash of the key."""
        mentioned = {hash(key) for key in (*self._unsettled, *self._resurfaced)}
        found: dict[int, int] = {}
        if mentioned:
            for key_hash, stamp in zip(*self._tombstones, strict=True):
                if key_hash in mentioned:
                    found[key_hash] = max(stamp, found.get(key_hash, stamp))
        return found


def _stamp(record: ChangelogRecord) -> int:
    """The stamp of the newer version that a record holds; its JSON is not parsed."""
    if record.value is None:
        return record.stamp
    return int(record.value[len(_VALUE_PREFIX) : record.value.index(b",", len(_VALUE_PREFIX))])
