"""The stage that reads an input: lateness, de-duplication, the operators before the grouping, and a grouping without a new key.

It also processes redriven events. A redriven event keeps its topic, partition and offset, so that its outputs have the ids that
they would have had. It does not move the watermark, and is late if the watermark has passed it meanwhile: a window that was
deleted cannot be added to.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from meshport.address import Address
from meshport.errors import EventError, ProcessError
from meshport.event import UNREADABLE, Event, EventReader
from meshport.event.columns import ColumnReader
from meshport.event.record import record_key
from meshport.event.trace import is_traced
from meshport.kafka.producer import Message
from meshport.process.columns import FEW
from meshport.process.logic.event_time import LAST, duration_micros, to_datetime, to_micros
from meshport.process.logic.operators import Aggregate, Apply, JoinStream
from meshport.process.logic.records import Emission, EventRecord
from meshport.process.logic.transform import Transform
from meshport.process.logic.watermark import Watermark, is_ahead
from meshport.process.stages.partition import BatchResult, PartitionStage, WindowWriter
from meshport.process.stages.steps import SourceSteps
from meshport.process.state.changelog import Checkpoint
from meshport.process.state.contributions import Contributions
from meshport.process.state.groups import GroupProcessor, group_processor
from meshport.process.state.quarantine import (
    QuarantinedEvents,
    QuarantinedPosition,
    QuarantinedRows,
    QuarantineIndex,
)
from meshport.process.state.rows import StateRows
from meshport.process.state.stream_join import join_value
from meshport.process.wire.calendar_reader import CalendarReader
from meshport.process.wire.contracts import missing_field
from meshport.process.wire.input import InputMessage, PartitionMessages
from meshport.process.wire.messages import RedrivenEvent, late, quarantined, read_redriven, rekeyed, watermarks
from meshport.process.wire.outputs import Outputs
from meshport.process.wire.partitioner import KeyPartition
from meshport.process.wire.plan import Plan, SourcePlan
from meshport.process.wire.tables import TableRows

if TYPE_CHECKING:
    from meshport.process.columns.source import ColumnarSource, ComputedSpan

_log: Final = logging.getLogger(__name__)


class SourceStage(PartitionStage):
    """Processes one partition of an input.

    Args:
        plan: the plan.
        source: the input.
        partition: of the input.
        state: of that partition.
        reader: decodes events.
        tables: the joined tables.
        columns: decodes events to columns; None for events one by one.

    Raises:
        ProcessError: the state was made by a pipeline of another shape.
    """

    def __init__(
        self,
        plan: Plan,
        source: SourcePlan,
        partition: int,
        state: tuple[StateRows, Checkpoint],
        *,
        reader: EventReader | CalendarReader,
        tables: Mapping[Address, TableRows],
        columns: ColumnReader | None = None,
    ) -> None:
        rows, checkpoint = state
        super().__init__(source.stage, partition, rows, checkpoint, plan)
        pipeline = plan.pipeline
        self._plan = plan
        self._repartition = plan.repartition
        self._number = source.first + partition
        self._read = reader.read
        self._clock = Watermark(duration_micros(pipeline.lateness), checkpoint.watermark)
        self._steps = SourceSteps(source.operators, tables, rows)
        self._outputs = Outputs(plan, Transform(pipeline.after, tables))
        self._windows = WindowWriter(plan, self._outputs)
        self._contributions = (
            Contributions(pipeline.grouping) if plan.upserts and isinstance(pipeline.grouping, Aggregate) else None
        )
        self._group: GroupProcessor | None = None
        if self._repartition is None and isinstance(pipeline.grouping, Aggregate | Apply):
            self._group = group_processor(pipeline.grouping, upserts=plan.upserts)
            self._group.watch(rows)
        self._replaces = plan.upserts or (plan.table and pipeline.grouping is None)
        self._quarantined: QuarantineIndex = QuarantinedRows(rows) if self._replaces else QuarantinedEvents(rows)
        self._is_new = not checkpoint.shape
        joins = isinstance(pipeline.grouping, JoinStream)
        self._new_key = join_value(source.by[0], plan.equal_stream_key) if joins else record_key(source.by)
        self._keys = KeyPartition(partition, source.stage.partitions) if source.checks_partitions else None
        self._columns: ColumnarSource | None = None
        if columns is not None:
            from meshport.process.columns.source import ColumnarSource  # noqa: PLC0415 - needs numpy, which may be absent

            self._columns = ColumnarSource(
                plan, source, partition, columns, tables, rows, self._clock, self._group, self._steps.deduplications
            )

    @property
    def watermark(self) -> int | None:
        """See `PartitionStage`."""
        return self._clock.at

    def process(self, messages: Sequence[InputMessage]) -> BatchResult:
        """See `PartitionStage`."""
        batch = BatchResult()
        before = self._clock.at
        if self._columns is not None and len(messages) >= FEW:
            by_columns = PartitionMessages.of(messages)
            repeated = bisect_right(by_columns.offsets, self._offset)
            batch.counts.repeated += repeated
            for span in self._columns.spans(by_columns[repeated:]):
                if span.computed is None:
                    for message in span.messages:
                        self._process_message(message, batch)
                else:
                    self._apply_span(span.computed, span.messages, batch)
        else:
            for message in messages:
                self._process_message(message, batch)
        stage, now = self._repartition, self._clock.at
        if stage is not None and self._plan.timed and now is not None and now != before:
            batch.outputs += watermarks(stage.topic, stage.partitions, self._number, now)
        return self._finish(batch, self._clock.at)

    @property
    def is_new(self) -> bool:
        """Whether nothing of the state is stored yet, so that `begin` has to be called first."""
        return self._is_new

    @property
    def redriven(self) -> int:
        """The offset in the redrive topic up to which (exclusive) the state reflects redriven events."""
        return self._rows.redriven

    @property
    def due(self) -> int:
        """The offset in the redrive topic up to which (exclusive) events have to be processed before any other."""
        return max(self._due, self._rows.redriven)

    def begin(self, end: int) -> Message:
        """Return the first checkpoint of a state, which has to be acknowledged before anything else is delivered.

        Args:
            end: of the partition of the redrive topic. Events that were redriven before the state began are not processed:
                the state will reflect them as events of the input.
        """
        self._is_new = False
        self._rows.redriven = self._due = end
        self._stored = self._stamp
        return self._checkpoint(self._clock.at)

    def intend(self, due: int) -> Message:
        """Return a checkpoint with a new `due`, which has to be acknowledged before `redrive` is called."""
        self._due = due
        return self._checkpoint(self._clock.at)

    def redrive(self, messages: Sequence[InputMessage]) -> BatchResult:
        """Process redriven events: all messages of the redrive topic from `redriven` up to `due`."""
        batch = BatchResult()
        for message in messages:
            self._rows.redriven = message.offset + 1
            try:
                redrive = read_redriven(message)
            except ProcessError as error:
                _log.warning("passed over: %s", error.message, extra={"facts": error.facts})
                batch.counts.redriven += 1
                continue
            number = self._plan.numbers.get((redrive.original.topic, redrive.original.partition))
            if number is None or redrive.original.partition != self._partition:
                # Its offset is one of another partition, and may be another event's here.
                where = redrive.original.topic, redrive.original.partition
                _log.warning(
                    "passed over: an event of %s [%d] is none of %s [%d]", *where, self._stage.topic, self._partition
                )
                batch.counts.redriven += 1
            elif number == self._number:  # all inputs share the redrive topic
                self._process_redriven(redrive, batch)
        self._rows.redriven = self.due
        return self._finish(batch, self._clock.at)

    def _process_redriven(self, redrive: RedrivenEvent, batch: BatchResult) -> None:
        batch.counts.redriven += 1
        if redrive.record is None:
            self._process_event(redrive.original, batch, redrive)
        else:
            batch.outputs += self._rekeyed([redrive.record], redrive.original, redrive)

    def _apply_span(self, span: ComputedSpan, messages: PartitionMessages, batch: BatchResult) -> None:
        """Apply what events come to that were computed over columns."""
        counts = batch.counts
        counts.read += len(messages)
        counts.written += len(span.outputs) if self._repartition is None else 0
        counts.add_late(len(span.late), span.late_by)
        batch.outputs += span.outputs
        batch.outputs += span.late
        self._rows.apply(span.changes, messages.offsets)
        if span.watermark is not None:
            self._clock.advance(span.watermark)
            closed = self._advance_state(messages.offsets[-1])
            events = span.closed_by([emission.time for emission in closed])
            for event, pairs in groupby(zip(events, closed, strict=True), key=itemgetter(0)):
                emissions = [emission for _, emission in pairs]
                self._windows.write(emissions, messages[event], int(span.recorded[event]), batch)
        self._offset = messages.offsets[-1]

    def _process_message(self, message: InputMessage, batch: BatchResult) -> None:
        """Process a message, unless the state reflects it already."""
        if message.offset <= self._offset:
            batch.counts.repeated += 1
            return
        batch.counts.read += 1
        self._process_event(message, batch)
        self._offset = message.offset

    def _process_event(self, message: InputMessage, batch: BatchResult, redrive: RedrivenEvent | None = None) -> None:
        if is_traced(message.headers):
            with self._traces.continued(message):
                self._process_untraced(message, batch, redrive)
        else:
            self._process_untraced(message, batch, redrive)

    def _process_untraced(self, message: InputMessage, batch: BatchResult, redrive: RedrivenEvent | None) -> None:
        slot = (message.key or b"").hex() if self._replaces else ""
        if redrive is not None and not self._quarantined.contains(self._position(message), slot):
            batch.counts.repeated += 1
            return
        offset = message.offset if redrive is None else self._offset
        timed = self._plan.timed
        try:
            event = self._read(*message.parts)
            if self._keys is not None:
                self._keys.check(message.key)
            record = _event_record(event, message)
            if timed and self._is_late(record, message, batch, redrive):
                self._note_processed(message, slot, redrive)
                self._rows.keep(offset)
                return
        except UNREADABLE as error:
            self._quarantine(message, slot, error, batch)
            self._rows.keep(offset)
            return
        try:
            made = self._made(event, record, message, redrive)
        except Exception as error:  # noqa: BLE001 - raised by a product's own functions; the event is quarantined
            self._rows.undo()
            self._quarantine(message, slot, missing_field(error, event, self._plan), batch)
            self._rows.keep(offset)
        else:
            self._note_processed(message, slot, redrive)
            self._rows.keep(offset)
            batch.outputs += made
            if self._repartition is None:
                batch.counts.written += len(made)
        if timed and redrive is None:
            self._windows.write(self._advance_state(message.offset), message, record.recorded, batch)

    def _is_late(
        self, record: EventRecord, message: InputMessage, batch: BatchResult, redrive: RedrivenEvent | None
    ) -> bool:
        """Return whether an event is late, and move the watermark if it is not redriven.

        Raises:
            EventError: the event time is too far in the future.
        """
        if is_ahead(record.time, message.timestamp_ms):
            raise EventError(
                f"event time {to_datetime(record.time).isoformat()} is more than a day ahead of the time at which the event "
                "was stored",
                hint="the clock of its producer is wrong",
            )
        if self._clock.at is not None and self._clock.is_late(record.time):
            batch.counts.add_late(1, self._clock.at - record.time)
            batch.outputs.append(
                late(self._plan.late_topic, message, record.time, self._clock.at, self._clock.lateness)
            )
            return True
        if redrive is None:
            self._clock.advance(record.time)
        return False

    def _advance_state(self, offset: int) -> list[Emission]:
        """Delete what no event can change after the watermark has moved, and return the windows that closed."""
        horizon = self._clock.horizon
        self._steps.advance(horizon)
        closed = [] if self._group is None else self._group.advance(horizon, self._rows)
        self._rows.keep(offset)
        return closed

    def _made(
        self, event: Event, record: EventRecord, message: InputMessage, redrive: RedrivenEvent | None
    ) -> list[Message]:
        """Return the outputs or the re-keyed records of an event; changes of the state are left pending."""
        parts = [] if event.data is None else self._steps.records(record._replace(record=event.data))
        if event.data is None and self._contributions is None:
            if self._plan.keeps_key:
                return [self._outputs.tombstone(message.key, record)]
            raise EventError("the event is a tombstone; it has no record to work on")
        if self._contributions is not None:
            if message.key is None:
                raise EventError("a row of a compacted port has no record key")
            parts = self._contributions.replace(message.key, parts, record, self._rows)
        if self._repartition is not None:
            return self._rekeyed(parts, message, redrive)
        if self._group is not None:
            return [made for part in parts for made in self._outputs.of_record(self._group.add(part, self._rows), part)]
        made = [each for part in parts for each in self._outputs.of_record([Emission(part.record, part.time)], part)]
        if self._plan.table and event.data is not None and not made:
            made.append(self._outputs.tombstone(message.key, record))  # the row no longer passes the filters
        return made

    def _rekeyed(
        self, records: Sequence[EventRecord], message: InputMessage, redrive: RedrivenEvent | None
    ) -> list[Message]:
        """Return the messages of an event's records for the repartition topic."""
        topic, redriven = self._repartition.topic if self._repartition else "", self._rows.redriven
        watermark = self._clock.at if redrive is None else None
        keyed = [(self._new_key(each.record) or b"", each) for each in records]
        return [
            rekeyed(topic, key, each, watermark, message, redriven=redriven, redrive=redrive) for key, each in keyed
        ]

    def _position(self, message: InputMessage) -> QuarantinedPosition:
        return QuarantinedPosition(self._partition, message.offset, -1)

    def _note_processed(self, message: InputMessage, slot: str, redrive: RedrivenEvent | None) -> None:
        if redrive is None:
            self._quarantined.processed(slot)
        else:
            self._quarantined.redriven(self._position(message), slot)

    def _quarantine(self, message: InputMessage, slot: str, error: Exception, batch: BatchResult) -> None:
        batch.counts.add_quarantined(error)
        batch.outputs.append(quarantined(self._plan.quarantine_topic, message, error, self._rows.redriven))
        self._quarantined.add(self._position(message), slot)


def _event_record(event: Event, message: InputMessage) -> EventRecord:
    """Return what all records of an event have in common. An event without a time has the Kafka timestamp of its message.

    A tombstone deletes its row whatever the Kafka timestamp; where that is none, its recorded time is its own.

    Raises:
        EventError: it has data and neither time, or one that no output could have as its recorded time.
    """
    if not event.has_time and message.timestamp_ms < 0 and event.data is not None:
        raise EventError("neither the event nor its Kafka record has a time")
    time = to_micros(event.time)
    if event.recorded_time is not None:
        recorded = to_micros(event.recorded_time)
    else:
        recorded = message.timestamp_ms * 1000 if message.timestamp_ms >= 0 else time
    if recorded > LAST and event.data is None:
        recorded = time
    if recorded > LAST:
        raise EventError(
            f"the Kafka timestamp of the event is {message.timestamp_ms} ms, after the year 9999",
            hint="the clock of its producer is wrong",
        )
    return EventRecord({}, time, message.partition, message.offset, 0, event.id, event.source, recorded)
