"""Grouping: the state machines behind `Aggregate` and `Apply`. Pure: rows in, rows and emissions out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Protocol
from uuid import UUID

from meshport.process.logic import lossless_json
from meshport.process.logic.aggregators import aggregator_for
from meshport.process.logic.event_time import duration_micros, to_datetime
from meshport.process.logic.pipeline import Aggregate, Apply, Hopping, Occurrence, Session, Tumbling
from meshport.process.logic.records import Emission, EventRecord, RecordPosition, key_values
from meshport.process.state.expiry import Expiry
from meshport.process.state.function_state import KeyValueStore, states_for
from meshport.process.state.rows import StateRows

_PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes, datetime, date, Decimal, UUID})


class GroupProcessor(Protocol):
    """One grouping over one partition."""

    def watch(self, rows: StateRows) -> None:
        """Take up the rows of a restored state."""
        ...

    def add(self, item: EventRecord, rows: StateRows) -> list[Emission]:
        """Take in one record."""
        ...

    def advance(self, horizon: int | None, rows: StateRows) -> list[Emission]:
        """Take note that nothing before this time is taken any more: close and forget."""
        ...


def group_processor(grouping: Aggregate | Apply, *, upserts: bool) -> GroupProcessor:
    """The machine of a grouping.

    Args:
        grouping: the declaration.
        upserts: the input is a compacted port, so that a record replaces what its key gave before.
    """
    if isinstance(grouping, Apply):
        return StatefulFunction(grouping)
    if upserts:
        return TableAggregate(grouping)
    if isinstance(grouping.window, Session):
        return SessionAggregate(grouping, grouping.window)
    return WindowAggregate(grouping)


class _Values:
    """The aggregations of one declaration, all at once."""

    def __init__(self, aggregate: Aggregate) -> None:
        self._by = aggregate.by
        self._names = tuple(aggregate.values)
        self._aggregators = [aggregator_for(each.kind) for each in aggregate.aggregations.values()]
        self._fields = [each.field for each in aggregate.aggregations.values()]

    def take(self, record: Mapping[str, Any]) -> list[Any]:
        """The values that the aggregations read, one each, as plain data."""
        found = [None if name is None else record[name] for name in self._fields]
        for value in found:
            if type(value) not in _PLAIN:
                lossless_json.dumps(value)  # it may end in a row; what cannot be written is refused now, with its event
        return found

    def add(self, accumulators: Sequence[Any] | None, values: Sequence[Any], position: RecordPosition) -> list[Any]:
        if accumulators is None:
            accumulators = [each.start() for each in self._aggregators]
        return [
            each.add(accumulator, value, position)
            for each, accumulator, value in zip(self._aggregators, accumulators, values, strict=True)
        ]

    def merge(self, one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
        return [each.merge(a, b) for each, a, b in zip(self._aggregators, one, other, strict=True)]

    def result(self, key: Sequence[Any], window: tuple[int, int] | None, accumulators: Sequence[Any]) -> dict[str, Any]:
        record = dict(zip(self._by, key, strict=True))
        if window is not None:
            record["window_start"], record["window_end"] = to_datetime(window[0]), to_datetime(window[1])
        for name, each, accumulator in zip(self._names, self._aggregators, accumulators, strict=True):
            record[name] = each.result(accumulator)
        return record


class WindowAggregate:
    """Tumbling and hopping windows, and running totals: a row per key and window."""

    def __init__(self, aggregate: Aggregate) -> None:
        window = aggregate.window
        self._by = aggregate.by
        self._values = _Values(aggregate)
        self._window = window if isinstance(window, Tumbling | Hopping) else None
        self._size = duration_micros(self._window.size) if self._window else 0
        self._closes = aggregate.emit == "close"
        self._expiry = Expiry()

    def watch(self, rows: StateRows) -> None:
        """Take up the rows of a restored state."""
        for key in rows:
            if key.startswith("g") and self._window:
                self._expiry.watch(key, self._end(key))

    def add(self, item: EventRecord, rows: StateRows) -> list[Emission]:
        """Add the record to the windows that hold its time."""
        by = key_values(item.record, self._by)
        values = self._values.take(item.record)
        text = lossless_json.dumps(by)
        emissions = []
        for start in self._window.starts(item.time) if self._window else (None,):
            key = row_name(start, text)
            accumulators = self._values.add(rows.get(key), values, item.position)
            self.put(key, start, accumulators, rows)
            window = None if start is None else (start, start + self._size)
            if not self._closes:
                emissions.append(Emission(self._values.result(by, window, accumulators), item.time))
        return emissions

    def put(self, key: str, start: int | None, accumulators: Sequence[Any], store: KeyValueStore) -> None:
        """Set the row of a key's window; `start` is None where there are no windows."""
        store.put(key, accumulators)
        if start is not None:
            self._expiry.watch(key, start + self._size)

    def advance(self, horizon: int | None, rows: StateRows) -> list[Emission]:
        """Forget the windows that can change no more, and give them where that was asked for."""
        emissions = []
        for key in self._expiry.due(horizon):
            accumulators = rows.get(key)
            if accumulators is None:
                continue
            rows.put(key, None)
            if self._closes:
                end, by = self._end(key), lossless_json.loads(key.partition(":")[2])
                record = self._values.result(by, (end - self._size, end), accumulators)
                emissions.append(Emission(record, end, name=key))
        return emissions

    def _end(self, key: str) -> int:
        return int(key[1 : key.index(":")]) + self._size


def row_name(start: int | None, key: str) -> str:
    """The name of the row of a key, as plain text, in the window that starts then."""
    return f"g:{key}" if start is None else f"g{start}:{key}"


class SessionAggregate:
    """Session windows: a row per key, which holds its open sessions as [start, end, accumulators], by start."""

    def __init__(self, aggregate: Aggregate, session: Session) -> None:
        self._by = aggregate.by
        self._values = _Values(aggregate)
        self._gap = duration_micros(session.gap)
        self._closes = aggregate.emit == "close"
        self._expiry = Expiry()

    def watch(self, rows: StateRows) -> None:
        """Take up the rows of a restored state."""
        for key, sessions in rows.items():
            if key.startswith("s"):
                self._expiry.watch(key, self._due(sessions))

    def add(self, item: EventRecord, rows: StateRows) -> list[Emission]:
        """Join the record and the sessions within the gap of it into one."""
        by = key_values(item.record, self._by)
        key = "s:" + lossless_json.dumps(by)
        start = end = item.time
        accumulators = self._values.add(None, self._values.take(item.record), item.position)
        joined: list[Any] = []
        apart: list[Any] = []
        for session in rows.get(key) or ():
            near = session[0] - self._gap <= item.time <= session[1] + self._gap
            (joined if near else apart).append(session)
        for session in joined:
            start, end = min(start, session[0]), max(end, session[1])
            accumulators = self._values.merge(session[2], accumulators)
        sessions = sorted([*apart, [start, end, accumulators]], key=lambda session: session[0])
        rows.put(key, sessions)
        self._expiry.watch(key, self._due(sessions))
        if self._closes:
            return []
        replaced = [
            Emission(self._values.result(by, (session[0], session[1]), session[2]), item.time, gone=True)
            for session in joined
        ]
        return [*replaced, Emission(self._values.result(by, (start, end), accumulators), item.time)]

    def advance(self, horizon: int | None, rows: StateRows) -> list[Emission]:
        """End the sessions that no event can join any more."""
        emissions = []
        for key in self._expiry.due(horizon):
            sessions = rows.get(key)
            if sessions is None or horizon is None:
                continue
            over = [session for session in sessions if session[1] + self._gap < horizon]
            left = [session for session in sessions if session[1] + self._gap >= horizon]
            if left:
                self._expiry.watch(key, self._due(left))
            if not over:
                continue
            rows.put(key, left or None)
            by = lossless_json.loads(key[2:])
            emissions += [
                Emission(self._values.result(by, (start, end), accumulators), end, name=f"s{start}:{key[2:]}")
                for start, end, accumulators in over
                if self._closes
            ]
        return sorted(emissions, key=lambda each: (each.time, each.name))

    def _due(self, sessions: Sequence[Any]) -> int:
        return int(min(session[1] for session in sessions)) + self._gap + 1


class TableAggregate:
    """An aggregate over the latest rows of a compacted port.

    A row per key and window holds every input row's part in it, so that a part can be replaced or taken out.
    """

    def __init__(self, aggregate: Aggregate) -> None:
        window = aggregate.window
        self._by = aggregate.by
        self._values = _Values(aggregate)
        self._window = window if isinstance(window, Tumbling | Hopping) else None
        self._size = duration_micros(self._window.size) if self._window else 0

    def watch(self, rows: StateRows) -> None:
        """Nothing is ever due."""

    def add(self, item: EventRecord, rows: StateRows) -> list[Emission]:
        """Put the contributor's part in its groups, or take it out."""
        by = key_values(item.record, self._by)
        text = lossless_json.dumps(by)
        values = None if item.kind == "drop" else self._values.take(item.record)
        emissions = []
        for start in self._window.starts(item.time) if self._window else (None,):
            key = f"u:{text}" if start is None else f"u{start}:{text}"
            window = None if start is None else (start, start + self._size)
            before: dict[str, Any] = rows.get(key) or {}
            if values is None:
                parts = {name: part for name, part in before.items() if name != item.contributor}
            else:
                parts = {**before, item.contributor: [list(item.position), values]}
            if parts == before:
                continue
            rows.put(key, parts or None)
            emissions.append(Emission(self._total(by, window, parts or before), item.time, gone=not parts))
        return emissions

    def advance(self, horizon: int | None, rows: StateRows) -> list[Emission]:  # noqa: ARG002 - every group takes them
        """A table never closes."""
        return []

    def _total(self, by: Sequence[Any], window: tuple[int, int] | None, parts: Mapping[str, Any]) -> dict[str, Any]:
        accumulators: list[Any] | None = None
        for place, values in parts.values():
            time, partition, offset, number = place
            accumulators = self._values.add(accumulators, values, (time, partition, offset, number))
        return self._values.result(by, window, accumulators or [])


class StatefulFunction:
    """A product's own function: a row per key, which holds its state."""

    def __init__(self, apply: Apply) -> None:
        self._by = apply.by
        self._function: Callable[..., Any] = apply.function
        self._states = states_for(apply.schema)

    def watch(self, rows: StateRows) -> None:
        """Take up the schemas of a restored state; nothing is ever due."""
        self._states.watch(rows)

    def add(self, item: EventRecord, rows: StateRows) -> list[Emission]:
        """Call the function with a copy of the state.

        Raises:
            TypeError: it did not return (state, records).
            EncodeError: the state does not fit its schema.
            Exception: whatever it raises.
        """
        by = key_values(item.record, self._by)
        occurrence = Occurrence(item.record, to_datetime(item.time), item.id, item.source, tuple(by))
        return [Emission(record, item.time) for record in self.call(lossless_json.dumps(by), occurrence, rows)]

    def call(self, key: str, occurrence: Occurrence, store: KeyValueStore) -> list[dict[str, Any]]:
        """The records that the function makes of an occurrence; the state goes from the store to the store.

        Args:
            key: the values of the key fields as plain text.
            occurrence: what the function is given.
            store: the state.

        Raises:
            Exception: as of `add`.
        """
        # The function may change what it is given and then raise; it gets a copy, and what it returns is copied too.
        returned = self._function(self._states.read(key, store), occurrence)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(f"{getattr(self._function, '__name__', 'the function')} returned no (state, records)")
        new, records = returned
        given = [dict(record) for record in records]
        self._states.write(key, new, store)
        return given

    def advance(self, horizon: int | None, rows: StateRows) -> list[Emission]:  # noqa: ARG002 - every group takes them
        """Nothing is ever due."""
        return []
