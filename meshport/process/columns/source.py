"""The computation of the source stage over columns: runs of events at once instead of one by one.

What cannot be computed with certainty is left to the row path: a single event, where it is known which one, else halves of a
span until few events are left. The stage must process what is left before the following span can be computed, since that
depends on the state and the watermark; so spans are computed one after the other, each when the stage asks for it.

Nothing here changes state: a span holds its changes, and the stage applies them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from meshport.address import Address
from meshport.event.columns import ColumnReader, EventColumns
from meshport.kafka.producer import Message
from meshport.process.columns import FEW, warn_row_path
from meshport.process.columns.calendar import refuse_beyond_calendar
from meshport.process.columns.columnar_records import ColumnarRecords, Fields, Integers, Origins, field_of, fields_of
from meshport.process.columns.deduplication import ColumnarDeduplication
from meshport.process.columns.expressions import Doubt, NotColumnar
from meshport.process.columns.grouping import ColumnarGrouping
from meshport.process.columns.operators import JoinedTable, Step, compile_steps
from meshport.process.columns.partitions import partitions_of
from meshport.process.columns.rekeying import RekeyedBatchWriter
from meshport.process.logic.operators import Aggregate, Deduplicate
from meshport.process.logic.watermark import MAX_AHEAD_US, Watermark
from meshport.process.state.deduplication import Deduplication
from meshport.process.state.groups import GroupProcessor
from meshport.process.state.overlay import Overlay
from meshport.process.state.rows import StateRows
from meshport.process.wire.contracts import computed_columns
from meshport.process.wire.input import PartitionMessages
from meshport.process.wire.messages import late
from meshport.process.wire.partitioner import KeyPartition
from meshport.process.wire.plan import Plan, SourcePlan
from meshport.process.wire.tables import TableRows
from meshport.schema import Schema, parse_schema

_MAX_HALVINGS: Final = 24
"""How often the spans of one run are halved to find the events in doubt; beyond that, the rest goes the row path."""


@dataclass(frozen=True, slots=True)
class ComputedSpan:
    """What consecutive events come to; nothing of it is applied yet.

    Attributes:
        outputs: for the output port, or for the repartition topic.
        late: for the late topic, one for each late event.
        changes: of the state, as `StateRows.apply` takes them, with the indices of events.
        recorded: when each event was recorded, microseconds.
        watermarks: before the first event, and after each; None where events cannot be late.
        lateness: as of `Watermark`, microseconds.
        late_by: as of `Counts`, microseconds.
    """

    outputs: list[Message]
    late: list[Message]
    changes: Mapping[str, tuple[Any, int]]
    recorded: Integers
    watermarks: Integers | None
    lateness: int
    late_by: int

    @property
    def watermark(self) -> int | None:
        """The watermark after the last event."""
        return None if self.watermarks is None else int(self.watermarks[-1])

    def closed_by(self, ends: Sequence[int]) -> list[int]:
        """Return the index of the event that closed each of some windows, which are given by their ends, ascending."""
        if self.watermarks is None:
            return []
        found: list[int] = np.searchsorted(self.watermarks[1:], np.array(ends, "i8") + self.lateness).tolist()
        return found


class SourceSpan(NamedTuple):
    """Consecutive messages of the input.

    Attributes:
        messages: in the order of their offsets.
        computed: what their events come to; None where the stage has to process the messages one by one.
    """

    messages: PartitionMessages
    computed: ComputedSpan | None


class _CompiledPipeline(NamedTuple):
    """A pipeline for the events of one schema."""

    steps: list[Step | ColumnarDeduplication]
    sink: ColumnarGrouping | RekeyedBatchWriter


class ColumnarSource:
    """Computes what the events of one partition come to over columns.

    Args:
        plan: the plan.
        source: the input.
        partition: of the input.
        reader: reads events.
        tables: the joined tables.
        rows: the state, which is only read.
        clock: the partition's watermark, which is only read.
        group: the grouping; None where nothing is grouped here.
        deduplications: those of the pipeline, in order.
    """

    def __init__(  # noqa: PLR0917 - what the stage itself consists of
        self,
        plan: Plan,
        source: SourcePlan,
        partition: int,
        reader: ColumnReader,
        tables: Mapping[Address, TableRows],
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
        self._computed = computed_columns(plan, source.binding)
        self._keys: KeyPartition | None = None
        if source.checks_partitions:
            self._keys = KeyPartition(partition, source.stage.partitions, partitions_of)
        self._joined = {
            address: JoinedTable(table, parse_schema(plan.tables[address].schema_text))
            for address, table in tables.items()
        }
        self._compiled: dict[str, _CompiledPipeline | None] = {}

    def spans(self, messages: PartitionMessages) -> Iterator[SourceSpan]:
        """Return the spans of some messages, in order; together they are all of the messages.

        The caller applies a span, or processes its messages, before it asks for the next.

        Args:
            messages: that follow those which the state reflects.
        """
        for run in self._reader.runs(messages.values, messages.headers):
            there = messages[run.first : run.end]
            # The texts of times are written as they were read, so they have to be in canonical form.
            columns = run.columns if run.columns is not None and run.columns.canonical else None
            pipeline = None if columns is None else self._pipeline(columns.schema)
            if columns is None or pipeline is None:
                yield SourceSpan(there, None)
            else:
                yield from self._spans_of_run(pipeline, columns, there)

    def _spans_of_run(
        self, pipeline: _CompiledPipeline, columns: EventColumns, messages: PartitionMessages
    ) -> Iterator[SourceSpan]:
        wrong = [] if self._keys is None else self._keys.wrong(messages.keys)
        spans = _split(0, len(messages), np.array(wrong, "i8")) if wrong else [(0, len(messages))]
        open_spans = spans[::-1]  # [first, end), the next one last
        halvings = 0
        while open_spans:
            first, end = open_spans.pop()
            there = messages[first:end]
            computed = None
            if end - first >= FEW and halvings < _MAX_HALVINGS:
                try:
                    computed = self._compute(pipeline, _slice(columns, first, end), there)
                except _EventsInDoubt as doubt:
                    halvings += doubt.events is None
                    open_spans += reversed(_split(first, end, doubt.events))
                    continue
            yield SourceSpan(there, computed)

    def _pipeline(self, schema: Schema) -> _CompiledPipeline | None:
        if schema.fingerprint not in self._compiled:
            try:
                self._compiled[schema.fingerprint] = self._compile(schema)
            except NotColumnar as why:
                warn_row_path(f"{self._plan.group} works on events of {schema.name} one by one: {why}")
                self._compiled[schema.fingerprint] = None
        return self._compiled[schema.fingerprint]

    def _compile(self, schema: Schema) -> _CompiledPipeline:
        fields: Fields = fields_of(schema)
        steps: list[Step | ColumnarDeduplication] = []
        deduplications = iter(self._deduplications)
        for operator in self._source.operators:
            if isinstance(operator, Deduplicate):
                steps.append(ColumnarDeduplication(next(deduplications), fields))
            else:
                compiled, fields = compile_steps([operator], fields, self._joined)
                steps += compiled
        if (stage := self._plan.repartition) is not None:
            grouping = self._plan.pipeline.grouping
            if isinstance(grouping, Aggregate):
                fields = {name: field for name, field in fields.items() if name in {*grouping.by, *grouping.inputs}}
            self._refuse_unlike_keys(fields)
            return _CompiledPipeline(steps, RekeyedBatchWriter(stage.topic, stage.partitions, self._source.by, fields))
        return _CompiledPipeline(steps, ColumnarGrouping(self._plan, self._group, fields, self._joined))

    def _refuse_unlike_keys(self, fields: Fields) -> None:
        """Refuse the key of a join that has another type than that of the other stream; rows make them alike."""
        stream = self._plan.stream
        if stream is None or self._plan.equal_stream_key is None:
            return
        (name,) = self._source.by
        wanted = fields_of(parse_schema(stream.schema_text))[stream.key[0]].arrow
        if (found := field_of(name, fields).arrow) != wanted:
            raise NotColumnar(f"{name!r} is {found}, and the key of {stream.address} is {wanted}")

    def _compute(self, pipeline: _CompiledPipeline, columns: EventColumns, messages: PartitionMessages) -> ComputedSpan:
        """Return what events come to.

        Raises:
            _EventsInDoubt: events have to be processed one by one.
        """
        given = dict(zip(columns.data.schema.names, columns.data.columns, strict=True))
        try:
            refuse_beyond_calendar(given, self._computed)
        except Doubt as doubt:
            raise _EventsInDoubt(None if doubt.rows is None else np.flatnonzero(doubt.rows)) from doubt
        watermarks, is_late = self._lateness(columns.time, messages)
        records = ColumnarRecords(
            given,
            np.arange(len(columns)),
            columns.time,
        ).take(~is_late)
        store = Overlay(self._rows)
        records, numbers = _apply_steps(pipeline.steps, records, store, columns)
        try:
            if isinstance(pipeline.sink, RekeyedBatchWriter):
                outputs = pipeline.sink.messages(records, numbers, columns, messages, self._rows.redriven)
            else:
                outputs = pipeline.sink.messages(records, store, self._origins(records, numbers, columns, messages))
        except Doubt as doubt:
            raise _EventsInDoubt(_events_of(doubt, records)) from doubt
        late_messages: list[Message] = []
        late_by = 0
        if watermarks is not None and is_late.any():
            late_by = int((watermarks[:-1] - columns.time)[is_late].max())
            late_messages = self._late(np.flatnonzero(is_late).tolist(), columns, watermarks, messages)
        return ComputedSpan(
            outputs, late_messages, store.changes, columns.recorded, watermarks, self._clock.lateness, late_by
        )

    def _origins(
        self, records: ColumnarRecords, numbers: Integers, columns: EventColumns, messages: PartitionMessages
    ) -> Origins:
        events = records.origin.tolist()
        ids, time, recorded = (
            [part[at] for at in events] for part in (columns.ids, columns.time_text, columns.recorded_text)
        )
        offsets = np.array(messages.offsets, "i8")[records.origin]
        return Origins(self._partition, offsets, numbers, columns.envelope.source, ids, time, recorded)

    def _lateness(self, time: Integers, messages: PartitionMessages) -> tuple[Integers | None, Any]:
        """Return the watermarks as of `ComputedSpan`, and a mask of the late events.

        Raises:
            _EventsInDoubt: event times are further ahead of Kafka's timestamps than a correct clock can be.
        """
        if not self._plan.timed:
            return None, np.zeros(len(time), bool)
        timestamps = np.array(messages.timestamps_ms, "i8")
        is_ahead = (timestamps >= 0) & (time > timestamps * 1000 + MAX_AHEAD_US)
        if is_ahead.any():
            raise _EventsInDoubt(np.flatnonzero(is_ahead))
        first = int(time[0]) if self._clock.at is None else self._clock.at
        watermarks = np.maximum.accumulate(np.concatenate(([first], time)))
        return watermarks, time < watermarks[:-1] - self._clock.lateness

    def _late(
        self, which: Sequence[int], columns: EventColumns, watermarks: Integers, messages: PartitionMessages
    ) -> list[Message]:
        topic, lateness = self._plan.late_topic, self._clock.lateness
        return [late(topic, messages[at], int(columns.time[at]), int(watermarks[at]), lateness) for at in which]


class _EventsInDoubt(Exception):  # noqa: N818 - names a finding
    """Raised for events that have to be processed one by one.

    Attributes:
        events: their indices; None where it is not known which events of a span they are.
    """

    def __init__(self, events: Integers | None) -> None:
        super().__init__()
        self.events = events


def _events_of(doubt: Doubt, records: ColumnarRecords) -> Integers | None:
    """Return the indices of the events whose records are in doubt."""
    return None if doubt.rows is None else np.unique(records.origin[doubt.rows])


def _apply_steps(
    steps: Sequence[Step | ColumnarDeduplication], records: ColumnarRecords, store: Overlay, columns: EventColumns
) -> tuple[ColumnarRecords, Integers]:
    """Return what records become, and the number of each among those of its event.

    Raises:
        _EventsInDoubt: some are in doubt.
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
            raise _EventsInDoubt(_events_of(doubt, records)) from doubt
    return records, numbers


def _slice(columns: EventColumns, first: int, end: int) -> EventColumns:
    if end - first == len(columns):
        return columns
    span = slice(first, end)
    return replace(
        columns,
        data=columns.data.slice(first, end - first),
        ids=columns.ids[span],
        time=columns.time[span],
        time_text=columns.time_text[span],
        recorded=columns.recorded[span],
        recorded_text=columns.recorded_text[span],
    )


def _split(first: int, end: int, events: Integers | None) -> list[tuple[int, int]]:
    """Return the spans that a span is split into: each event in doubt by itself, or halves where they are not known."""
    if events is None:
        middle = (first + end) // 2
        return [(first, middle), (middle, end)]
    spans = []
    for event in (events + first).tolist():
        spans += [(first, event), (event, event + 1)]
        first = event + 1
    return [span for span in [*spans, (first, end)] if span[0] < span[1]]
