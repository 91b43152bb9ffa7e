"""The state of a grouping: what `Aggregate` and `Apply` do with the records of one partition.

No class here does I/O: records and rows go in, changed rows and emissions come out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Protocol
from uuid import UUID

from meshport.errors import EventError
from meshport.process.logic import lossless_json
from meshport.process.logic.aggregators import aggregator_for
from meshport.process.logic.event_time import FIRST, LAST, duration_micros, to_datetime
from meshport.process.logic.operators import Aggregate, Apply, Hopping, Occurrence, Session, Tumbling
from meshport.process.logic.records import Emission, EventRecord, RecordPosition, key_values
from meshport.process.state.expiry import Expiry
from meshport.process.state.function_state import states_for
from meshport.process.state.keys import (
    SESSIONS,
    WINDOW,
    parse,
    session_name,
    sessions_key,
    split_window_key,
    table_window_key,
    window_key,
)
from meshport.process.state.rows import KeyValueStore, StateRows
from meshport.product.field_path import is_nested

_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes, datetime, date, Decimal, UUID})


class GroupProcessor(Protocol):
    """A grouping over one partition."""

    def watch(self, rows: StateRows) -> None:
        """Load the rows of a restored state."""
        ...

    def add(self, record: EventRecord, rows: StateRows) -> list[Emission]:
        """Add a record to its groups, and return what they emit."""
        ...

    def advance(self, horizon: int | None, rows: StateRows) -> list[Emission]:
        """Close and delete what no record from `horizon` on can change, and return what it emits.

        Args:
            horizon: event time before which every record is late, microseconds; None before there is any.
            rows: the state.
        """
        ...


def group_processor(grouping: Aggregate | Apply, *, upserts: bool) -> GroupProcessor:
    """Return the processor of a grouping.

    Args:
        grouping: the declaration.
        upserts: whether the input is a compacted port, so that a record replaces the earlier one of its key.
    """
    if isinstance(grouping, Apply):
        return StatefulFunction(grouping)
    if upserts:
        return TableAggregate(grouping)
    if isinstance(grouping.window, Session):
        return SessionAggregate(grouping, grouping.window)
    return WindowAggregate(grouping)


class _Aggregators:
    """All aggregators of one declaration. Accumulators and values are lists in the order of the declaration."""

    def __init__(self, aggregate: Aggregate) -> None:
        self._by = aggregate.by
        self._names = tuple(aggregate.values)
        self._aggregators = [aggregator_for(each.kind) for each in aggregate.aggregations.values()]
        self._fields = [each.field for each in aggregate.aggregations.values()]

    def values(self, record: Mapping[str, Any]) -> list[Any]:
        """Return the values that the aggregators read of a record.

        Raises:
            KeyError: the record lacks a field.
            ProcessError: a value cannot be written to a state row.
        """
        found = [None if name is None else record[name] for name in self._fields]
        for value in found:
            if type(value) not in _SCALARS:
                # An accumulator may keep the value; what cannot be written is refused now, with its event.
                lossless_json.dumps(value)
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


def _starts(window: Tumbling | Hopping | None, size: int, time: int) -> Sequence[int | None]:
    """Return the starts of the windows that contain a time, in microseconds; (None,) for a total over all time.

    Raises:
        EventError: a window begins before the year 1 or ends after the year 9999. It could be stored, but not be written when
            it closes.
    """
    if window is None:
        return (None,)
    starts = window.starts(time)
    if starts and (starts[0] < FIRST or starts[-1] + size > LAST):
        raise EventError(
            f"the window of event time {to_datetime(time).isoformat()} begins before the year 1 or ends after the year 9999",
            attribute="time",
            hint="the clock of its producer is wrong",
        )
    return starts


class WindowAggregate:
    """Tumbling and hopping windows, and running totals: a row of accumulators for each group and window."""

    def __init__(self, aggregate: Aggregate) -> None:
        window = aggregate.window
        self._by = aggregate.by
        self._aggregators = _Aggregators(aggregate)
        self._window = window if isinstance(window, Tumbling | Hopping) else None
        self._size = duration_micros(self._window.size) if self._window else 0
        self._emits_closed = aggregate.emit == "close"
        self._expiry = Expiry()

    def watch(self, rows: StateRows) -> None:
        """See `GroupProcessor`."""
        for key in rows:
            if key.startswith(WINDOW) and self._window:
                self._expiry.watch(key, split_window_key(key)[0] + self._size)

    def add(self, record: EventRecord, rows: StateRows) -> list[Emission]:
        """Add the record to the windows that contain its time."""
        by = key_values(record.record, self._by)
        values = self._aggregators.values(record.record)
        group = lossless_json.dumps(by)
        emissions = []
        for start in _starts(self._window, self._size, record.time):
            key = window_key(start, group)
            accumulators = self._aggregators.add(rows.get(key), values, record.position)
            self.put(key, start, accumulators, rows)
            window = None if start is None else (start, start + self._size)
            if not self._emits_closed:
                emissions.append(Emission(self._aggregators.result(by, window, accumulators), record.time))
        return emissions

    def put(self, key: str, start: int | None, accumulators: Sequence[Any], store: KeyValueStore) -> None:
        """Set the row of a group and window.

        Args:
            key: as of `keys.window_key`.
            start: of the window; None where there are no windows.
            accumulators: of the aggregators, in their order.
            store: the state.
        """
        store.put(key, accumulators)
        if start is not None:
            self._expiry.watch(key, start + self._size)

    def advance(self, horizon: int | None, rows: StateRows) -> list[Emission]:
        """Delete the windows that ended by `horizon`; with `emit: close`, return their results."""
        emissions = []
        for key in self._expiry.due(horizon):
            accumulators = rows.get(key)
            if accumulators is None:
                continue
            rows.put(key, None)
            if self._emits_closed:
                start, group = split_window_key(key)
                end = start + self._size
                record = self._aggregators.result(lossless_json.loads(group), (start, end), accumulators)
                emissions.append(Emission(record, end, name=key))
        return emissions


class SessionAggregate:
    """Session windows: a row for each group, which holds its open sessions as [start, end, accumulators], by start."""

    def __init__(self, aggregate: Aggregate, session: Session) -> None:
        self._by = aggregate.by
        self._aggregators = _Aggregators(aggregate)
        self._gap = duration_micros(session.gap)
        self._emits_closed = aggregate.emit == "close"
        self._expiry = Expiry()

    def watch(self, rows: StateRows) -> None:
        """See `GroupProcessor`."""
        for key, sessions in rows.items():
            if key.startswith(SESSIONS):
                self._expiry.watch(key, self._due(sessions))

    def add(self, record: EventRecord, rows: StateRows) -> list[Emission]:
        """Merge the record and the sessions that are within the gap of it into one session."""
        by = key_values(record.record, self._by)
        key = sessions_key(lossless_json.dumps(by))
        start = end = record.time
        accumulators = self._aggregators.add(None, self._aggregators.values(record.record), record.position)
        merged: list[Any] = []
        others: list[Any] = []
        for session in rows.get(key) or ():
            near = session[0] - self._gap <= record.time <= session[1] + self._gap
            (merged if near else others).append(session)
        for session in merged:
            start, end = min(start, session[0]), max(end, session[1])
            accumulators = self._aggregators.merge(session[2], accumulators)
        sessions = sorted([*others, [start, end, accumulators]], key=lambda session: session[0])
        rows.put(key, sessions)
        self._expiry.watch(key, self._due(sessions))
        if self._emits_closed:
            return []
        replaced = [
            Emission(self._aggregators.result(by, (session[0], session[1]), session[2]), record.time, gone=True)
            for session in merged
        ]
        return [*replaced, Emission(self._aggregators.result(by, (start, end), accumulators), record.time)]

    def advance(self, horizon: int | None, rows: StateRows) -> list[Emission]:
        """Delete the sessions that no record from `horizon` on can extend; with `emit: close`, return their results."""
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
            group = parse(key).rest
            by = lossless_json.loads(group)
            emissions += [
                Emission(self._aggregators.result(by, (start, end), accumulators), end, name=session_name(start, group))
                for start, end, accumulators in over
                if self._emits_closed
            ]
        return sorted(emissions, key=lambda each: (each.time, each.name))

    def _due(self, sessions: Sequence[Any]) -> int:
        return int(min(session[1] for session in sessions)) + self._gap + 1


class TableAggregate:
    """An aggregate over the latest rows of a compacted port.

    A row for each group and window holds the contribution of every input row, so that one can be replaced or withdrawn.
    """

    def __init__(self, aggregate: Aggregate) -> None:
        window = aggregate.window
        self._by = aggregate.by
        self._aggregators = _Aggregators(aggregate)
        self._window = window if isinstance(window, Tumbling | Hopping) else None
        self._size = duration_micros(self._window.size) if self._window else 0

    def watch(self, rows: StateRows) -> None:
        """See `GroupProcessor`; no row is ever due."""

    def add(self, record: EventRecord, rows: StateRows) -> list[Emission]:
        """Set the contribution of the record's contributor in its groups, or withdraw it."""
        by = key_values(record.record, self._by)
        group = lossless_json.dumps(by)
        values = None if record.kind == "drop" else self._aggregators.values(record.record)
        emissions = []
        for start in _starts(self._window, self._size, record.time):
            key = table_window_key(start, group)
            window = None if start is None else (start, start + self._size)
            before: dict[str, Any] = rows.get(key) or {}
            if values is None:
                contributions = {name: each for name, each in before.items() if name != record.contributor}
            else:
                contributions = {**before, record.contributor: [list(record.position), values]}
            if contributions == before:
                continue
            rows.put(key, contributions or None)
            total = self._total(by, window, contributions or before)
            emissions.append(Emission(total, record.time, gone=not contributions))
        return emissions

    def advance(self, horizon: int | None, rows: StateRows) -> list[Emission]:  # noqa: ARG002 - as of the protocol
        """See `GroupProcessor`; the groups of a table never close."""
        return []

    def _total(
        self, by: Sequence[Any], window: tuple[int, int] | None, contributions: Mapping[str, Any]
    ) -> dict[str, Any]:
        accumulators: list[Any] | None = None
        for (time, partition, offset, number), values in contributions.values():
            accumulators = self._aggregators.add(accumulators, values, (time, partition, offset, number))
        return self._aggregators.result(by, window, accumulators or [])


class StatefulFunction:
    """A product's own function: a row for each group, which holds the function's state."""

    def __init__(self, apply: Apply) -> None:
        self._by = apply.by
        self._paths = frozenset(filter(is_nested, apply.by))  # the function receives the record as it is
        self._function: Callable[..., Any] = apply.function
        self._states = states_for(apply.schema)

    def watch(self, rows: StateRows) -> None:
        """See `GroupProcessor`."""
        self._states.watch(rows)

    def add(self, record: EventRecord, rows: StateRows) -> list[Emission]:
        """Call the function with a copy of the state, and return the records that it makes.

        Raises:
            TypeError: it did not return (state, records).
            EncodeError: the state does not fit its schema.
            Exception: whatever it raises.
        """
        by = key_values(record.record, self._by)
        data = (
            {name: value for name, value in record.record.items() if name not in self._paths}
            if self._paths
            else record.record
        )
        occurrence = Occurrence(data, to_datetime(record.time), record.id, record.source, tuple(by))
        return [Emission(each, record.time) for each in self.call(lossless_json.dumps(by), occurrence, rows)]

    def call(self, group: str, occurrence: Occurrence, store: KeyValueStore) -> list[dict[str, Any]]:
        """Call the function for an occurrence, store the state that it returns, and return its records.

        Args:
            group: the values of the key fields, as JSON text.
            occurrence: the argument of the function.
            store: the state.

        Raises:
            Exception: as of `add`.
        """
        # The function may change its argument and then raise; it gets a copy, and what it returns is copied too.
        returned = self._function(self._states.read(group, store), occurrence)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(f"{getattr(self._function, '__name__', 'the function')} returned no (state, records)")
        state, records = returned
        made = [dict(record) for record in records]
        self._states.write(group, state, store)
        return made

    def advance(self, horizon: int | None, rows: StateRows) -> list[Emission]:  # noqa: ARG002 - as of the protocol
        """See `GroupProcessor`; no row is ever due."""
        return []
