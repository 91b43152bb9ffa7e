"""The source stage over columns: what `meshport.process.stages.source.SourceStage` makes event by event, made of whole batches.

What columns cannot tell beyond doubt is left to the stage, in the order of the log: a record in doubt alone, or, where it is
not known which one is, halves of the batch until few are left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from meshport.address import Address
from meshport.event.columns import ColumnReader, EventColumns
from meshport.kafka.producer import Message
from meshport.process.columns import FEW, warn_row_path
from meshport.process.columns.columnar_records import ColumnarRecords, Fields, Integers, Origins, fields_of
from meshport.process.columns.deduplication import ColumnarDeduplication
from meshport.process.columns.expressions import Doubt, NotColumnar
from meshport.process.columns.grouping import ColumnarGrouping
from meshport.process.columns.operators import JoinedTable, Step, compile_steps
from meshport.process.columns.overlay import Overlay
from meshport.process.columns.rekeying import RekeyedBatchWriter
from meshport.process.logic.pipeline import Aggregate, Deduplicate
from meshport.process.logic.records import Emission
from meshport.process.logic.watermark import MAX_AHEAD_US, Watermark
from meshport.process.state.deduplication import Deduplication
from meshport.process.state.groups import GroupProcessor
from meshport.process.state.rows import StateRows
from meshport.process.wire.input import InputMessage, PartitionMessages
from meshport.process.wire.messages import late
from meshport.process.wire.plan import Plan, SourcePlan
from meshport.process.wire.tables import Table
from meshport.schema import Schema, parse_schema

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

    before: list[Step | ColumnarDeduplication]
    end: ColumnarGrouping | RekeyedBatchWriter


class ColumnarSource:
    """Works on the events of one partition by columns.

    Args:
        plan: the plan.
        source: the input.
        partition: of the input.
        reader: reads events.
        tables: of the joined products.
        rows: the state.
        clock: the partition's watermark.
        group: of the state; None where nothing is grouped here.
        deduplications: of the state, in order.
    """

    def __init__(  # noqa: PLR0917 - the parts of a stage
        self,
        plan: Plan,
        source: SourcePlan,
        partition: int,
        reader: ColumnReader,
        tables: Mapping[Address, Table],
        rows: StateRows,
        clock: Watermark,
        group: GroupProcessor | None,
        deduplications: Sequence[Deduplication],
    ) -> None:
        self._plan = plan
        self._source = source
        self._partition = partition
        self._reader = reader
        self._rows = rows
        self._clock = clock
        self._group = group
        self._deduplications = deduplications
        self._joined = {
            address: JoinedTable(table, parse_schema(plan.tables[address].schema_text))
            for address, table in tables.items()
        }
        self._programs: dict[str, _Program | None] = {}

    def process(
        self,
        messages: PartitionMessages,
        made: Callable[[Made, PartitionMessages], None],
        one: Callable[[InputMessage], None],
    ) -> None:
        """Work on messages in the order of their offsets; whatever is told was done when it returns.

        Args:
            messages: that follow what the state reflects.
            made: told what the events of some messages came to.
            one: works on a message by itself.
        """
        for run in self._reader.runs(messages.values, messages.headers):
            there = messages[run.first : run.behind]
            # Texts of times go out as they came in, so they have to be what would be written.
            told = run.columns is not None and run.columns.canonical
            program = self._program(run.columns.schema) if run.columns is not None and told else None
            if run.columns is None or program is None:
                for message in there:
                    one(message)
            else:
                self._run(program, run.columns, there, made, one)

    def _run(
        self,
        program: _Program,
        columns: EventColumns,
        messages: PartitionMessages,
        made: Callable[[Made, PartitionMessages], None],
        one: Callable[[InputMessage], None],
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
            except NotColumnar as why:
                warn_row_path(f"{self._plan.group} works on events of {schema.name} one by one: {why}")
                self._programs[schema.fingerprint] = None
        return self._programs[schema.fingerprint]

    def _compiled(self, schema: Schema) -> _Program:
        fields: Fields = fields_of(schema)
        before: list[Step | ColumnarDeduplication] = []
        seen = iter(self._deduplications)
        for operator in self._source.operators:
            if isinstance(operator, Deduplicate):
                before.append(ColumnarDeduplication(next(seen), fields))
            else:
                steps, fields = compile_steps([operator], fields, self._joined)
                before += steps
        if (stage := self._plan.repartition) is not None:
            grouping = self._plan.pipeline.grouping
            if isinstance(grouping, Aggregate):
                fields = {name: field for name, field in fields.items() if name in {*grouping.by, *grouping.inputs}}
            return _Program(before, RekeyedBatchWriter(stage.topic, stage.partitions, self._source.by, fields))
        return _Program(before, ColumnarGrouping(self._plan, self._group, fields, self._joined))

    def _columns(self, program: _Program, columns: EventColumns, messages: PartitionMessages) -> Made:
        """What events come to; the state is changed once nothing is in doubt any more.

        Raises:
            _InDoubt: events have to be worked on one by one.
        """
        marks, behind = self._lateness(columns.time, messages)
        given = ColumnarRecords(
            dict(zip(columns.data.schema.names, columns.data.columns, strict=True)),
            np.arange(len(columns)),
            columns.time,
        ).take(~behind)
        store = Overlay(self._rows)
        given, numbers = _through(program.before, given, store, columns)
        try:
            if isinstance(program.end, RekeyedBatchWriter):
                outputs = program.end.messages(given, numbers, columns, messages, self._rows.redriven)
            else:
                outputs = program.end.messages(given, store, self._origins(given, numbers, columns, messages))
        except Doubt as doubt:
            raise _InDoubt(_events(doubt, given)) from doubt
        store.keep(messages.offsets)
        late_ones = self._late(np.flatnonzero(behind).tolist(), columns, marks, messages)
        return Made(outputs, late_ones, self._advance(marks, messages), columns.recorded)

    def _origins(
        self, given: ColumnarRecords, numbers: Integers, columns: EventColumns, messages: PartitionMessages
    ) -> Origins:
        events = given.origin.tolist()
        ids, time, recorded = (
            [part[at] for at in events] for part in (columns.ids, columns.time_text, columns.recorded_text)
        )
        offsets = np.array(messages.offsets, "i8")[given.origin]
        return Origins(self._partition, offsets, numbers, columns.envelope.source, ids, time, recorded)

    def _lateness(self, time: Integers, messages: PartitionMessages) -> tuple[Integers, Any]:
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

    def _late(
        self, which: Sequence[int], columns: EventColumns, marks: Integers, messages: PartitionMessages
    ) -> list[Message]:
        topic, lateness = self._plan.late_topic, self._clock.lateness
        return [late(topic, messages[at], int(columns.time[at]), int(marks[at]), lateness) for at in which]

    def _advance(self, marks: Integers, messages: PartitionMessages) -> list[tuple[Emission, int]]:
        """Move event time on, and close what is over: each with the index of the event that did it."""
        if not self._plan.timed:
            return []
        self._clock.advance(int(marks[-1]))
        for step in self._deduplications:
            step.advance(self._clock.horizon, self._rows)
        if self._group is None:
            self._rows.keep(messages.offsets[-1])
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


def _events(doubt: Doubt, records: ColumnarRecords) -> Integers | None:
    """The events behind the records that are in doubt."""
    return None if doubt.rows is None else np.unique(records.origin[doubt.rows])


def _through(
    steps: Sequence[Step | ColumnarDeduplication], records: ColumnarRecords, store: Overlay, columns: EventColumns
) -> tuple[ColumnarRecords, Integers]:
    """What becomes of records, and the number of each among those of its event.

    Raises:
        _InDoubt: some are in doubt.
    """
    numbers = records.ranks
    for step in steps:
        if not len(records):
            break
        try:
            if isinstance(step, ColumnarDeduplication):
                records, numbers = step.through(records, numbers, store, columns)
            else:
                records = step(records)
                numbers = records.ranks
        except Doubt as doubt:
            raise _InDoubt(_events(doubt, records)) from doubt
    return records, numbers


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
