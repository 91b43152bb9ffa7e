"""The join of two streams within a time: records that wait for partners, by key.

Each record is joined with the waiting records of the other side, so that every pair is emitted once, by the record that came
second. A record waits until every record that could still be its partner would be late, which follows from the least watermark
of the source partitions of both sides. So neither the set of pairs nor the contents of a pair depend on how the two streams
were interleaved: a pair has the later time of its records, and an id made of both positions.

A state row holds one waiting record. An index of them by key and time is kept in memory, and made from the rows at a restore.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from meshport.event.record import record_key
from meshport.process.logic.event_time import duration_micros
from meshport.process.logic.operators import JoinStream, Record
from meshport.process.logic.records import EventRecord
from meshport.process.state.expiry import Expiry
from meshport.process.state.keys import JoinSide, join_key, parse
from meshport.process.state.rows import StateRows

_SIDES = {side.value: side for side in JoinSide}


class JoinResult(NamedTuple):
    """A record that a join emits.

    Attributes:
        record: the left record with the fields that are taken of the right one.
        time: event time, the later one of the two records, microseconds.
        id: the beginning of the ids of its outputs: the positions of both records, or of the left one without a partner.
        recorded: when the later recorded one of the two was recorded, microseconds.
        partner: state key of the partner that had waited; empty where there is none.
    """

    record: dict[str, Any]
    time: int
    id: str
    recorded: int
    partner: str = ""


class _WaitingRecord(NamedTuple):
    """A record that waits for partners, as its state row holds it.

    Attributes:
        key: of the join, as text.
        time: event time, microseconds.
        recorded: when it was recorded, microseconds.
        record: of the right side only the fields that are taken.
        paired: whether it had a partner; noted of the left side where `missing` is `keep`.
        failed: state keys of the partners with which no output could be written.
    """

    key: str
    time: int
    recorded: int
    record: dict[str, Any]
    paired: bool = False
    failed: Sequence[str] = ()

    @classmethod
    def read(cls, rows: StateRows, key: str) -> Self | None:
        """Return the record of a state key; None where there is no such row."""
        value = rows.get(key)
        return None if value is None else cls(*value)


def join_value(field: str, equal: Callable[[Any], Any] | None) -> Callable[[Record], bytes]:
    """Return the function that returns a record's key in a join: text as of `record_key`, empty where the field is null.

    The function raises KeyError for a record that lacks the field, PublishError where the field holds no scalar.

    Args:
        field: the name of the key field.
        equal: makes a value that of the right stream's key (`meshport.event.stored.equal_value`), so that equal values have
            one text; None where it changes none.
    """
    key = record_key((field,))

    def of(record: Record) -> bytes:
        value = record[field]
        if value is None or value == "":
            return b""
        return key(record if equal is None else {field: equal(value)}) or b""

    return of


class StreamJoin:
    """One join over one partition of the repartition topic.

    Args:
        join: the declaration.
        key: the field that is the other stream's key.
        equal: as of `join_value`.
        topics: of both inputs.
    """

    def __init__(
        self, join: JoinStream, key: str, equal: Callable[[Any], Any] | None, topics: Mapping[JoinSide, str]
    ) -> None:
        self._within = duration_micros(join.within)
        self._take = dict(join.take)
        self._keeps_unpaired = join.missing == "keep"
        self._key_of = {JoinSide.LEFT: join_value(join.on, equal), JoinSide.RIGHT: join_value(key, None)}
        self._topics = topics
        self._waiting: dict[tuple[JoinSide, str], list[tuple[int, str]]] = {}
        """Time and state key of the waiting records of one side and key, in order."""
        self._expiry = Expiry()

    def watch(self, rows: StateRows) -> None:
        """Load the rows of a restored state."""
        for name, value in rows.items():
            if name[0] in _SIDES:
                self._index(name, _WaitingRecord(*value))

    def add(self, side: JoinSide, record: EventRecord, rows: StateRows) -> list[JoinResult]:
        """Return the pairs of a record with those that wait, and let it wait for further ones.

        Raises:
            KeyError: the record lacks a field.
        """
        key = self._key_of[side](record.record).decode()
        name = _state_key(side, record)
        if not key:
            if side is JoinSide.RIGHT or not self._keeps_unpaired:
                return []
            return [self._unpaired(name, record.record, record.time, record.recorded)]
        kept = record.record
        if side is JoinSide.RIGHT:
            kept = {field: kept[field] for field in self._take.values()}
        own = _WaitingRecord(key, record.time, record.recorded, kept)
        partners = self._read(self._partners(side, own), rows)
        if self._keeps_unpaired:
            if side is JoinSide.LEFT:
                own = own._replace(paired=bool(partners))
            else:
                for partner, left in partners:
                    if not left.paired:
                        rows.put(partner, list(left._replace(paired=True)))
        rows.put(name, list(own))
        self._index(name, own)
        return [self._pair(side, (name, own), partner) for partner in partners]

    @staticmethod
    def note_failed(side: JoinSide, record: EventRecord, partners: Sequence[str], rows: StateRows) -> None:
        """Note the partners with which the outputs of a record that was added could not be written."""
        name = _state_key(side, record)
        if (own := _WaitingRecord.read(rows, name)) is not None:
            rows.put(name, list(own._replace(failed=partners)))

    def retry(self, side: JoinSide, record: EventRecord, rows: StateRows) -> list[JoinResult]:
        """Return the pairs of a record whose outputs could not be written; those that were written are left out."""
        name = _state_key(side, record)
        if (own := _WaitingRecord.read(rows, name)) is None:
            return self.add(side, record, rows)
        rows.put(name, list(own._replace(failed=())))
        return [self._pair(side, (name, own), partner) for partner in self._read(own.failed, rows)]

    def advance(self, horizon: int, rows: StateRows) -> list[JoinResult]:
        """Delete the records that no partner can come for, and return the unpaired left ones where `missing` is `keep`.

        Args:
            horizon: event time before which every record is late, microseconds.
            rows: the state.
        """
        unpaired: list[JoinResult] = []
        for name in self._expiry.due(horizon):
            if (own := _WaitingRecord.read(rows, name)) is None:
                continue
            rows.put(name, None)
            self._remove(name, own)
            if self._keeps_unpaired and _SIDES[name[0]] is JoinSide.LEFT and not own.paired:
                unpaired.append(self._unpaired(name, own.record, own.time, own.recorded))
        return unpaired

    def _index(self, name: str, own: _WaitingRecord) -> None:
        insort(self._waiting.setdefault((_SIDES[name[0]], own.key), []), (own.time, name))
        self._expiry.watch(name, own.time + self._within + 1)

    def _remove(self, name: str, own: _WaitingRecord) -> None:
        waiting = self._waiting[_SIDES[name[0]], own.key]
        del waiting[bisect_left(waiting, (own.time, name))]
        if not waiting:
            del self._waiting[_SIDES[name[0]], own.key]

    @staticmethod
    def _read(names: Iterable[str], rows: StateRows) -> list[tuple[str, _WaitingRecord]]:
        return [(name, found) for name in names if (found := _WaitingRecord.read(rows, name)) is not None]

    def _partners(self, side: JoinSide, own: _WaitingRecord) -> Iterator[str]:
        """Return the state keys of the other side's records with the same key that are near enough, by time."""
        waiting = self._waiting.get((side.other, own.key), [])
        first = bisect_left(waiting, (own.time - self._within, ""))
        end = bisect_right(waiting, own.time + self._within, key=lambda each: each[0])
        return (name for _, name in waiting[first:end])

    def _pair(self, side: JoinSide, own: tuple[str, _WaitingRecord], partner: tuple[str, _WaitingRecord]) -> JoinResult:
        (left_name, left), (right_name, right) = (own, partner) if side is JoinSide.LEFT else (partner, own)
        taken = {name: right.record[field] for name, field in self._take.items()}
        return JoinResult(
            {**left.record, **taken},
            max(left.time, right.time),
            f"{self._position(left_name)}+{self._position(right_name)}",
            max(left.recorded, right.recorded),
            partner[0],
        )

    def _unpaired(self, name: str, record: Record, time: int, recorded: int) -> JoinResult:
        return JoinResult({**record, **dict.fromkeys(self._take)}, time, self._position(name), recorded)

    def _position(self, name: str) -> str:
        """Return the position in the inputs that a state key stands for: `<topic>-<partition>-<offset>-<number>`."""
        side, _, position = parse(name)
        return f"{self._topics[_SIDES[side]]}-{position}"


def _state_key(side: JoinSide, record: EventRecord) -> str:
    return join_key(side, record.partition, record.offset, record.number)
