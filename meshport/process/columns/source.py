"""The source stage over columns: what `meshport.process.stages.SourceStage` makes event by event, made of whole batches.

What columns cannot tell beyond doubt is left to the stage, in the order of the log: a record in doubt alone, or, where it is
not known which one is, halves of the batch until few are left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from meshport.address import Address
from meshport.event.columns import ColumnReader, EventColumns
from meshport.kafka.producer import Message
from meshport.process.arrivals import Arrivals
from meshport.process.columns import FEW
from meshport.process.columns.applied import ColumnarApply
from meshport.process.columns.expressions import Doubt, Unsupported
from meshport.process.columns.operators import Joined, Step, compile_steps
from meshport.process.columns.outputs import ColumnarOutputs, Origins
from meshport.process.columns.relation import Integers, Relation, fields_of
from meshport.process.columns.windows import ColumnarWindows
from meshport.process.groups import Applied, Group, Windows
from meshport.process.item import Emission
from meshport.process.messages import Inbound, late
from meshport.process.pipeline import Aggregate, Apply
from meshport.process.plan import Plan
from meshport.process.rows import Rows
from meshport.process.tables import Table
from meshport.process.watermark import MAX_AHEAD_US, Watermark
from meshport.schema import Schema, parse_schema

_log: Final = logging.getLogger(__name__)

# Times that a batch is halved to find what is in doubt.
_HALVINGS: Final = 24


class Made(NamedTuple):
    """What some events came to.

    Attributes:
        outputs: for the output port.
        late: for the late topic, an event each.
        closed: windows that the events closed, each with the index of the event that did.
        recorded: of the events, microseconds.
    """

    outputs: list[Message]
    late: list[Message]
    closed: list[tuple[Emission, int]]
    recorded: Integers


class _Program(NamedTuple):
    """A pipeline over the events of one schema."""

    before: list[Step]
    grouping: ColumnarWindows | ColumnarApply | None
    after: list[Step]
    outputs: ColumnarOutputs | None


class ColumnarSource:
    """Works on the events of one partition by columns.

    Args:
        plan: the plan.
        partition: of the input.
        reader: reads events.
        tables: of the joined products.
        rows: the state.
        clock: the partition's watermark.
        group: of the state; None where nothing is grouped here.
    """

    def __init__(  # noqa: PLR0917 - the parts of a stage
        self,
        plan: Plan,
        partition: int,
        reader: ColumnReader,
        tables: Mapping[Address, Table],
        rows: Rows,
        clock: Watermark,
        group: Group | None,
    ) -> None:
        self._plan = plan
        self._partition = partition
        self._reader = reader
        self._rows = rows
        self._clock = clock
        self._group = group
        self._joined = {
            address: Joined(table, parse_schema(plan.tables[address].schema_text)) for address, table in tables.items()
        }
        self._programs: dict[str, _Program | None] = {}

    def process(
        self, messages: Arrivals, made: Callable[[Made, Arrivals], None], one: Callable[[Inbound], None]
    ) -> None:
        """Work on messages in the order of their offsets; whatever is told was done when it returns.

        Args:
            messages: that follow what the state reflects.
            made: told what the events of some messages came to.
            one: works on a message by itself.
        """
        for run in self._reader.runs(messages.values, messages.headers):
            there = messages[run.first : run.behind]
            program = self._program(run.columns.schema) if run.columns is not None else None
            if run.columns is None or program is None:
                for message in there:
                    one(message)
            else:
                self._run(program, run.columns, there, made, one)

    def _run(
        self,
        program: _Program,
        columns: EventColumns,
        messages: Arrivals,
        made: Callable[[Made, Arrivals], None],
        one: Callable[[Inbound], None],
    ) -> None:
        spans = [(0, len(messages))]  # those that are open, the first ones last
        halvings = 0
        while spans:
            first, behind = spans.pop()
            there = messages[first:behind]
            if behind - first >= FEW and halvings < _HALVINGS:
                try:
                    done = self._columns(program, _cut(columns, first, behind), there)
                except _InDoubt as doubt:
                    halvings += doubt.events is None
                    spans += reversed(_apart(first, behind, doubt.events))
                    continue
                made(done, there)
            else:
                for message in there:
                    one(message)

    def _program(self, schema: Schema) -> _Program | None:
        if schema.fingerprint not in self._programs:
            try:
                self._programs[schema.fingerprint] = self._compiled(schema)
            except Unsupported as why:
                _log.info("%s works on events of %s one by one: %s", self._plan.group, schema.name, why)
                self._programs[schema.fingerprint] = None
        return self._programs[schema.fingerprint]

    def _compiled(self, schema: Schema) -> _Program:
        pipeline, output = self._plan.pipeline, self._plan.output
        before, fields = compile_steps(pipeline.before, fields_of(schema), self._joined)
        if isinstance(pipeline.grouping, Apply):
            if pipeline.after or not isinstance(self._group, Applied):
                raise Unsupported("what a Python function makes is told record by record")
            wanted = fields_of(parse_schema(output.schema_text))
            apply = ColumnarApply(pipeline.grouping, self._group, fields, wanted)
            return _Program(before, apply, [], ColumnarOutputs(self._plan, wanted))
        if not isinstance(pipeline.grouping, Aggregate):
            return _Program(before, None, [], ColumnarOutputs(self._plan, fields))
        windows = ColumnarWindows(pipeline.grouping, fields)
        if pipeline.grouping.emit == "close":
            return _Program(before, windows, [], None)
        after, fields = compile_steps(pipeline.after, windows.fields, self._joined)
        return _Program(before, windows, after, ColumnarOutputs(self._plan, fields))

    def _columns(self, program: _Program, columns: EventColumns, messages: Arrivals) -> Made:
        """What events come to; the state is changed once nothing is in doubt any more.

        Raises:
            _InDoubt: events have to be worked on one by one.
        """
        if not columns.canonical:
            raise _InDoubt(None)
        marks, behind = self._lateness(columns.time, messages)
        given = Relation(
            dict(zip(columns.data.schema.names, columns.data.columns, strict=True)),
            np.arange(len(columns)),
            columns.time,
        ).take(~behind)
        given = _through(program.before, given, np.arange(len(columns)))
        events, offsets = given.origin, np.array(messages.offsets, "i8")
        made, change = self._grouped(program, given, columns, offsets[events])
        outputs = []
        if program.outputs is not None:
            origins = Origins(
                self._partition,
                offsets[events],
                given.ranks,
                [columns.recorded_text[at] for at in events.tolist()],
                [columns.time_text[at] for at in events.tolist()],
            )
            made = _through(program.after, made, events)
            try:
                outputs = program.outputs.messages(made, origins)
            except Doubt as doubt:
                raise _InDoubt(_in_doubt(doubt, made, events)) from doubt
        change(offsets[events].tolist())
        late_ones = self._late(np.flatnonzero(behind).tolist(), columns, marks, messages)
        return Made(outputs, late_ones, self._advance(marks, messages), columns.recorded)

    def _grouped(
        self, program: _Program, given: Relation, columns: EventColumns, offsets: Integers
    ) -> tuple[Relation, Callable[[Sequence[int]], None]]:
        """What the grouping makes of records, their origin the index of the record; and how its state is changed then.

        Raises:
            _InDoubt: records have to be grouped one by one.
        """
        try:
            if isinstance(program.grouping, ColumnarWindows) and isinstance(self._group, Windows):
                additions = program.grouping.add(given, self._rows, self._partition, offsets)
                nothing = given.take(np.zeros(0, "i8"))
                return additions.updates or nothing, partial(additions.put, self._group, self._rows)
            if isinstance(program.grouping, ColumnarApply):
                ids = [columns.ids[at].decode() for at in given.origin.tolist()]
                store, made = program.grouping.add(given, self._rows, ids, columns.envelope.source)
                return made, store.keep
        except Doubt as doubt:
            raise _InDoubt(_in_doubt(doubt, given, np.arange(len(columns)))) from doubt
        return Relation(given.columns, np.arange(len(given)), given.time), lambda _: None

    def _lateness(self, time: Integers, messages: Arrivals) -> tuple[Integers, Any]:
        """The watermark before each event and behind the last, and which events are late.

        Raises:
            _InDoubt: events are further ahead than any clock, or there was none before.
        """
        if not self._plan.timed:
            return time, np.zeros(len(time), bool)
        stamps = np.array(messages.timestamps_ms, "i8")
        ahead = (stamps >= 0) & (time > stamps * 1000 + MAX_AHEAD_US)
        if ahead.any():
            raise _InDoubt(np.flatnonzero(ahead))
        first = int(time[0]) if self._clock.at is None else self._clock.at
        marks = np.maximum.accumulate(np.concatenate(([first], time)))
        return marks, time < marks[:-1] - self._clock.lateness

    def _late(self, which: Sequence[int], columns: EventColumns, marks: Integers, messages: Arrivals) -> list[Message]:
        topic, lateness = self._plan.late_topic, self._clock.lateness
        return [late(topic, messages[at], int(columns.time[at]), int(marks[at]), lateness) for at in which]

    def _advance(self, marks: Integers, messages: Arrivals) -> list[tuple[Emission, int]]:
        """Move event time on, and close what is over: each with the index of the event that did it."""
        if not self._plan.timed:
            return []
        self._clock.advance(int(marks[-1]))
        if self._group is None:
            return []
        closed = self._group.advance(self._clock.horizon, self._rows)
        self._rows.keep(messages.offsets[-1])
        ends = np.array([each.time for each in closed], "i8")
        by = np.searchsorted(marks[1:], ends + self._clock.lateness)
        return list(zip(closed, by.tolist(), strict=True))


class _InDoubt(Exception):  # noqa: N818 - names a finding
    """Raised for events that have to be worked on one by one; None where it is not known which."""

    def __init__(self, events: Integers | None) -> None:
        super().__init__()
        self.events = events


def _in_doubt(doubt: Doubt, records: Relation, events: Integers) -> Integers | None:
    """The events behind the records that are in doubt."""
    return None if doubt.rows is None else np.unique(events[records.origin[doubt.rows]])


def _through(steps: Sequence[Step], records: Relation, events: Integers) -> Relation:
    """Records through some steps; `events` are those of their origins.

    Raises:
        _InDoubt: some are in doubt.
    """
    for step in steps:
        if not len(records):
            break
        try:
            records = step(records)
        except Doubt as doubt:
            raise _InDoubt(_in_doubt(doubt, records, events)) from doubt
    return records


def _cut(columns: EventColumns, first: int, behind: int) -> EventColumns:
    if behind - first == len(columns):
        return columns
    span = slice(first, behind)
    return replace(
        columns,
        data=columns.data.slice(first, behind - first),
        ids=columns.ids[span],
        time=columns.time[span],
        time_text=columns.time_text[span],
        recorded=columns.recorded[span],
        recorded_text=columns.recorded_text[span],
    )


def _apart(first: int, behind: int, events: Integers | None) -> list[tuple[int, int]]:
    """The spans that are left of one: each event in doubt alone, or two halves where it is not known which are."""
    if events is None:
        middle = (first + behind) // 2
        return [(first, middle), (middle, behind)]
    spans = []
    for event in (events + first).tolist():
        spans += [(first, event), (event, event + 1)]
        first = event + 1
    return [span for span in [*spans, (first, behind)] if span[0] < span[1]]
