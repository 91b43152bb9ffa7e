"""Joining two streams within a window: the records of one key that wait for partners. Pure: records in, pairs and rows out.

Each record that comes is set against those of the other side that wait, so that a pair is given by whichever of the two came
second, and by nobody else. A record waits until no partner that is on time can come any more, which is told by the source
partition of either side that is furthest behind. So which pairs there are does not depend on how the streams were interleaved;
nor does what a pair says: its time and its id are made of both.

A row holds one record that waits. Which records of a key there are, by time, is kept in memory and made anew from the rows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Self

from meshport.event.record import record_key
from meshport.process.logic.event_time import duration_micros
from meshport.process.logic.pipeline import JoinStream, Record
from meshport.process.logic.records import EventRecord
from meshport.process.state.expiry import Expiry
from meshport.process.state.rows import StateRows


class JoinSide(Enum):
    """Where a record comes from. State keys of a side begin with its value."""

    LEFT = "l"
    """The pipeline's input."""
    RIGHT = "r"
    """The other stream."""

    @property
    def other(self) -> JoinSide:
        """The one whose records are partners."""
        return JoinSide.RIGHT if self is JoinSide.LEFT else JoinSide.LEFT


class JoinResult(NamedTuple):
    """One record that a join gives.

    Attributes:
        record: the left record with what was taken of the right one.
        time: event time, the later of the two, microseconds.
        id: what the ids of its outputs begin with: both places in the inputs, or the left one where there is no partner.
        recorded: when the later of the two was recorded, microseconds.
        partner: the row of the partner that waited; empty where there is none.
    """

    record: dict[str, Any]
    time: int
    id: str
    recorded: int
    partner: str = ""


class _Waiting(NamedTuple):
    """A record that waits, as its row holds it.

    Attributes:
        key: of the join, as text.
        time: event time, microseconds.
        recorded: likewise, when it was recorded.
        record: of the right side only the fields that are taken, by their names there.
        paired: whether it had a partner; told of the left side where `missing` is `keep`.
        failed: the rows of partners with which it could not be written.
    """

    key: str
    time: int
    recorded: int
    record: dict[str, Any]
    paired: bool = False
    failed: Sequence[str] = ()

    @classmethod
    def read(cls, rows: StateRows, name: str) -> Self | None:
        """The record of a row; None where there is no such row."""
        value = rows.get(name)
        return None if value is None else cls(*value)


def join_key(name: str) -> Callable[[Record], bytes]:
    """The function that gives a record's key in a join: text as of `record_key`; empty where there is no value.

    The function raises KeyError for a record that lacks the field, PublishError where it holds no plain value.
    """
    key = record_key((name,))

    def of(record: Record) -> bytes:
        value = record[name]
        return b"" if value is None or value == "" else key(record) or b""

    return of


class StreamJoin:
    """One join over one partition of what was brought together.

    Args:
        join: the declaration.
        key: the field that is the other stream's key.
        topics: of both inputs.
    """

    def __init__(self, join: JoinStream, key: str, topics: Mapping[JoinSide, str]) -> None:
        self._within = duration_micros(join.within)
        self._take = dict(join.take)
        self._keeps = join.missing == "keep"
        self._keys = {JoinSide.LEFT: join_key(join.on), JoinSide.RIGHT: join_key(key)}
        self._topics = topics
        self._waiting: dict[tuple[JoinSide, str], list[tuple[int, str]]] = {}
        self._expiry = Expiry()

    def watch(self, rows: StateRows) -> None:
        """Take up the rows of a restored state."""
        for name, value in rows.items():
            if name[:2] in {"l:", "r:"}:
                self._wait(name, _Waiting(*value))

    def add(self, side: JoinSide, item: EventRecord, rows: StateRows) -> list[JoinResult]:
        """Take in a record: the pairs that it makes with those that wait. Then it waits too.

        Raises:
            KeyError: the record lacks a field.
        """
        key = self._keys[side](item.record).decode()
        if not key:
            alone = side is JoinSide.LEFT and self._keeps
            return [self._unpaired(row_of(side, item), item.record, item.time, item.recorded)] if alone else []
        kept = item.record if side is JoinSide.LEFT else {name: item.record[name] for name in self._take.values()}
        name, own = row_of(side, item), _Waiting(key, item.time, item.recorded, kept)
        found = self._read(self._partners(side, own), rows)
        if self._keeps:
            if side is JoinSide.LEFT:
                own = own._replace(paired=bool(found))
            else:
                for partner, left in found:
                    if not left.paired:
                        rows.put(partner, list(left._replace(paired=True)))
        rows.put(name, list(own))
        self._wait(name, own)
        return [self._pair(side, (name, own), partner) for partner in found]

    @staticmethod
    def failed(side: JoinSide, item: EventRecord, partners: Sequence[str], rows: StateRows) -> None:
        """Take note of the partners with which a record that was taken in could not be written."""
        name = row_of(side, item)
        if (own := _Waiting.read(rows, name)) is not None:
            rows.put(name, list(own._replace(failed=partners)))

    def again(self, side: JoinSide, item: EventRecord, rows: StateRows) -> list[JoinResult]:
        """The pairs of a record that could not be written; those that could are given no more."""
        name = row_of(side, item)
        if (own := _Waiting.read(rows, name)) is None:
            return self.add(side, item, rows)
        rows.put(name, list(own._replace(failed=())))
        return [self._pair(side, (name, own), partner) for partner in self._read(own.failed, rows)]

    def advance(self, horizon: int, rows: StateRows) -> list[JoinResult]:
        """Forget the records that no partner can come to; those of the left side that had none are given, if asked for."""
        alone: list[JoinResult] = []
        for name in self._expiry.due(horizon):
            if (own := _Waiting.read(rows, name)) is None:
                continue
            rows.put(name, None)
            self._forget(name, own)
            if self._keeps and name[0] == JoinSide.LEFT.value and not own.paired:
                alone.append(self._unpaired(name, own.record, own.time, own.recorded))
        return alone

    def _wait(self, name: str, own: _Waiting) -> None:
        insort(self._waiting.setdefault((JoinSide(name[0]), own.key), []), (own.time, name))
        self._expiry.watch(name, own.time + self._within + 1)

    def _forget(self, name: str, own: _Waiting) -> None:
        waiting = self._waiting[JoinSide(name[0]), own.key]
        del waiting[bisect_left(waiting, (own.time, name))]
        if not waiting:
            del self._waiting[JoinSide(name[0]), own.key]

    @staticmethod
    def _read(names: Iterable[str], rows: StateRows) -> list[tuple[str, _Waiting]]:
        return [(name, found) for name in names if (found := _Waiting.read(rows, name)) is not None]

    def _partners(self, side: JoinSide, own: _Waiting) -> Iterator[str]:
        """The rows of the other side's records of that key that are near enough, by time."""
        waiting = self._waiting.get((side.other, own.key), [])
        first = bisect_left(waiting, (own.time - self._within, ""))
        behind = bisect_right(waiting, own.time + self._within, key=lambda each: each[0])
        return (name for _, name in waiting[first:behind])

    def _pair(self, side: JoinSide, own: tuple[str, _Waiting], partner: tuple[str, _Waiting]) -> JoinResult:
        (left_name, left), (right_name, right) = (own, partner) if side is JoinSide.LEFT else (partner, own)
        taken = {name: right.record[field] for name, field in self._take.items()}
        return JoinResult(
            {**left.record, **taken},
            max(left.time, right.time),
            f"{self._origin(left_name)}+{self._origin(right_name)}",
            max(left.recorded, right.recorded),
            partner[0],
        )

    def _unpaired(self, name: str, record: Record, time: int, recorded: int) -> JoinResult:
        return JoinResult({**record, **dict.fromkeys(self._take)}, time, self._origin(name), recorded)

    def _origin(self, name: str) -> str:
        """The place in the inputs that a row's name tells: `<topic>-<partition>-<offset>-<number>`."""
        side, _, place = name.partition(":")
        return f"{self._topics[JoinSide(side)]}-{place}"


def row_of(side: JoinSide, item: EventRecord) -> str:
    """The name of the row of a record that waits."""
    return f"{side.value}:{item.partition}-{item.offset}-{item.number}"
