"""The first stage of a processor: it reads one partition of an input, and groups what needs no new key.

`redrive` takes events in once more that were set aside. Each keeps its topic, partition and offset, so that its outputs have
the ids that they would have had. It does not move event time: whether it is late is judged by how far time has come, since a
window that is forgotten cannot be added to.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from meshport.address import Address
from meshport.errors import CodecError, EventError, NotRegistered, ProcessError, SchemaError
from meshport.event import Event, EventReader
from meshport.event.columns import ColumnReader
from meshport.kafka.producer import Message
from meshport.ports.publisher import record_key
from meshport.process.columns import FEW
from meshport.process.logic.event_time import duration_micros, to_datetime, to_micros
from meshport.process.logic.pipeline import Aggregate, Apply, Deduplicate, JoinStream, Operator
from meshport.process.logic.records import Emission, EventRecord
from meshport.process.logic.transform import Lookup, Transform
from meshport.process.logic.watermark import Watermark, is_ahead
from meshport.process.stages.partition import BatchResult, Partition, WindowWriter
from meshport.process.state.changelog import Checkpoint
from meshport.process.state.contributions import Contributions
from meshport.process.state.deduplication import Deduplication
from meshport.process.state.groups import GroupProcessor, group_processor
from meshport.process.state.redriven import QuarantinedEvents, QuarantinedPart, QuarantinedRows, QuarantineIndex
from meshport.process.state.rows import StateRows
from meshport.process.state.stream_join import join_key
from meshport.process.wire.input import InputMessage, PartitionMessages
from meshport.process.wire.messages import RedrivenEvent, late, quarantined, read_redriven, rekeyed, watermarks
from meshport.process.wire.outputs import Outputs
from meshport.process.wire.plan import Plan, SourcePlan
from meshport.process.wire.tables import Table

if TYPE_CHECKING:
    from meshport.process.columns.source import ColumnarSource, Made


_log: Final = logging.getLogger(__name__)

_POISON: Final = (EventError, CodecError, SchemaError, NotRegistered)
"""Why an event cannot be read for ever; a registry that does not answer is not among them."""


class SourceStage(Partition):
    """Reads an input port: judges lateness, de-duplicates, joins, transforms, and groups what needs no new key."""

    def __init__(
        self,
        plan: Plan,
        source: SourcePlan,
        partition: int,
        state: tuple[StateRows, Checkpoint],
        *,
        reader: EventReader,
        tables: Mapping[Address, Table],
        columns: ColumnReader | None = None,
    ) -> None:
        rows, checkpoint = state
        super().__init__(source.stage, partition, rows, checkpoint, plan.shape)
        pipeline = plan.pipeline
        self._plan = plan
        self._repartition = plan.repartition
        self._number = source.first + partition
        self._read = reader.read
        self._clock = Watermark(duration_micros(pipeline.lateness), checkpoint.watermark)
        self._steps = _steps(source.operators, tables)
        self._outputs = Outputs(plan, Transform(pipeline.after, tables))
        self._closing = WindowWriter(plan, self._outputs)
        self._contributions = (
            Contributions(pipeline.grouping) if plan.upserts and isinstance(pipeline.grouping, Aggregate) else None
        )
        self._group: GroupProcessor | None = None
        if self._repartition is None and isinstance(pipeline.grouping, Aggregate | Apply):
            self._group = group_processor(pipeline.grouping, upserts=plan.upserts)
            self._group.watch(rows)
        replaces = plan.upserts or (plan.table and pipeline.grouping is None)
        self._owed: QuarantineIndex = QuarantinedRows(rows) if replaces else QuarantinedEvents(rows)
        self._replaces = replaces
        self._is_new = not checkpoint.shape
        joins = isinstance(pipeline.grouping, JoinStream)
        self._new_key = join_key(source.by[0]) if joins else record_key(source.by)
        for step in self._steps:
            if isinstance(step, Deduplication):
                step.watch(rows)
        self._columns: ColumnarSource | None = None
        if columns is not None:
            from meshport.process.columns.source import ColumnarSource  # noqa: PLC0415 - needs numpy, which may not be there

            seen = [step for step in self._steps if isinstance(step, Deduplication)]
            self._columns = ColumnarSource(
                plan, source, partition, columns, tables, rows, self._clock, self._group, seen
            )

    @property
    def watermark(self) -> int | None:
        """How far event time has come, microseconds."""
        return self._clock.at

    def process(self, messages: Sequence[InputMessage]) -> BatchResult:
        """Take messages in, in the order of their offsets."""
        batch = BatchResult()
        before = self._clock.at
        if self._columns is not None and len(messages) >= FEW:
            arrivals = PartitionMessages.of(messages)
            new = bisect_right(arrivals.offsets, self._offset)
            batch.counts.repeated += new
            self._columns.process(arrivals[new:], partial(self._many, batch), partial(self._next, batch))
        else:
            for message in messages:
                self._next(batch, message)
        stage, now = self._repartition, self._clock.at
        if stage is not None and self._plan.timed and now is not None and now != before:
            batch.outputs += watermarks(stage.topic, stage.partitions, self._number, now)
        return self._finish(batch, self._clock.at, {})

    @property
    def is_new(self) -> bool:
        """Whether nothing of the state is stored yet; `begin` has to be called first."""
        return self._is_new

    @property
    def redriven(self) -> int:
        """The offset in the redrive topic before which the state reflects all."""
        return self._rows.redriven

    @property
    def due(self) -> int:
        """The offset in the redrive topic up to which events have to be taken in before any other."""
        return max(self._due, self._rows.redriven)

    def begin(self, end: int) -> Message:
        """The first checkpoint of a state, to be acknowledged before anything else is delivered.

        Args:
            end: of the partition of the redrive topic. What was redriven before there was this state is among the input
                that it is going to reflect: to take it in would be to take it twice.
        """
        self._is_new = False
        self._rows.redriven = self._due = end
        self._stored = self._stamp
        return self._checkpoint(self._clock.at, {})

    def intend(self, due: int) -> Message:
        """A checkpoint that says up to where events are redriven now, to be acknowledged before `redrive` is called."""
        self._due = due
        return self._checkpoint(self._clock.at, {})

    def redrive(self, messages: Sequence[InputMessage]) -> BatchResult:
        """Take redriven events in: all messages of the redrive topic from `redriven` up to `due`."""
        batch = BatchResult()
        for message in messages:
            self._rows.redriven = message.offset + 1
            try:
                again = read_redriven(message)
            except ProcessError as error:
                _log.warning("passed over: %s", error.message)
                batch.counts.redriven += 1
                continue
            number = self._plan.numbers.get((again.original.topic, again.original.partition))
            if number is None or again.original.partition != self._partition:
                # Its offset says nothing here, and may be another event's.
                where = again.original.topic, again.original.partition
                _log.warning(
                    "passed over: an event of %s [%d] is none of %s [%d]", *where, self._stage.topic, self._partition
                )
                batch.counts.redriven += 1
            elif number == self._number:  # all inputs share the topic
                self._redriven(again, batch)
        self._rows.redriven = self.due
        return self._finish(batch, self._clock.at, {})

    def _redriven(self, again: RedrivenEvent, batch: BatchResult) -> None:
        batch.counts.redriven += 1
        if again.item is None:
            self._one(again.original, batch, again)
        else:
            batch.outputs += self._onward([again.item], again.original, again)

    def _many(self, batch: BatchResult, made: Made, messages: PartitionMessages) -> None:
        """Take note of what columns made of messages."""
        counts = batch.counts
        counts.read += len(messages)
        counts.written += len(made.outputs) if self._repartition is None else 0
        counts.late += len(made.late)
        batch.outputs += made.outputs
        batch.outputs += made.late
        for at, closed in groupby(made.closed, key=itemgetter(1)):
            self._closing.write([emission for emission, _ in closed], messages[at], int(made.recorded[at]), batch)
        self._offset = messages.offsets[-1]

    def _next(self, batch: BatchResult, message: InputMessage) -> None:
        """Work on a message, unless the state reflects it already."""
        if message.offset <= self._offset:
            batch.counts.repeated += 1
            return
        batch.counts.read += 1
        self._one(message, batch)
        self._offset = message.offset

    def _one(self, message: InputMessage, batch: BatchResult, again: RedrivenEvent | None = None) -> None:
        owed = (self._partition, message.offset, -1), (message.key or b"").hex() if self._replaces else ""
        if again is not None and not self._owed.is_owed(*owed):
            batch.counts.repeated += 1
            return
        at = message.offset if again is None else self._offset
        try:
            event = self._read(*message.parts)
            item = _item(event, message)
            if self._plan.timed and self._is_aside(item, message, batch, again):
                self._owed.settle(*owed, again=again is not None)
                self._rows.keep(at)
                return
        except _POISON as error:
            self._quarantine(message, error, batch, owed)
            self._rows.keep(at)
            return
        try:
            made = self._made(event, item, message, again)
        except Exception as error:  # noqa: BLE001 - the edge to a product's own functions; the event is set aside
            self._rows.undo()
            self._quarantine(message, error, batch, owed)
            self._rows.keep(at)
        else:
            self._owed.settle(*owed, again=again is not None)
            self._rows.keep(at)
            batch.outputs += made
            if self._repartition is None:
                batch.counts.written += len(made)
        if self._plan.timed and again is None:
            self._advance(message, item, batch)

    def _is_aside(
        self, item: EventRecord, message: InputMessage, batch: BatchResult, again: RedrivenEvent | None
    ) -> bool:
        if is_ahead(item.time, message.timestamp_ms):
            raise EventError(
                f"event time {to_datetime(item.time).isoformat()} is more than a day ahead of the time at which the event "
                "was stored",
                hint="the clock of whoever told the time is wrong",
            )
        if self._clock.at is not None and self._clock.is_late(item.time):
            batch.counts.late += 1
            batch.outputs.append(late(self._plan.late_topic, message, item.time, self._clock.at, self._clock.lateness))
            return True
        if again is None:
            self._clock.advance(item.time)
        return False

    def _advance(self, message: InputMessage, item: EventRecord, batch: BatchResult) -> None:
        for step in self._steps:
            if isinstance(step, Deduplication):
                step.advance(self._clock.horizon, self._rows)
        if self._group is not None:
            closed = self._group.advance(self._clock.horizon, self._rows)
            self._closing.write(closed, message, item.recorded, batch)
        self._rows.keep(message.offset)

    def _made(
        self, event: Event, item: EventRecord, message: InputMessage, again: RedrivenEvent | None
    ) -> list[Message]:
        """The outputs or re-keyed records of one event; state changes are left pending."""
        parts = [] if event.data is None else self._parts(item._replace(record=event.data))
        if event.data is None and self._contributions is None:
            if self._plan.keeps_key:
                return [self._outputs.tombstone(message.key, item)]
            raise EventError("the event is a tombstone; it has no record to work on")
        if self._contributions is not None:
            if message.key is None:
                raise EventError("a row of a compacted port has no record key")
            parts = self._contributions.replace(message.key, parts, item, self._rows)
        if self._repartition is not None:
            return self._onward(parts, message, again)
        if self._group is not None:
            return [made for part in parts for made in self._outputs.of_item(self._group.add(part, self._rows), part)]
        made = [each for part in parts for each in self._outputs.of_item([Emission(part.record, part.time)], part)]
        if self._plan.table and event.data is not None and not made:
            made.append(self._outputs.tombstone(message.key, item))  # the row no longer passes the filters
        return made

    def _onward(
        self, parts: Sequence[EventRecord], message: InputMessage, again: RedrivenEvent | None
    ) -> list[Message]:
        """The records of one event on their way to the partitions of their groups."""
        topic, redriven = self._repartition.topic if self._repartition else "", self._rows.redriven
        watermark = self._clock.at if again is None else None
        keyed = [(self._new_key(part.record) or b"", part) for part in parts]
        return [rekeyed(topic, key, part, watermark, message, redriven=redriven, again=again) for key, part in keyed]

    def _parts(self, item: EventRecord) -> list[EventRecord]:
        """The records that become of an event, numbered."""
        items = [item]
        for step in self._steps:
            if isinstance(step, Deduplication):
                items = [each for each in items if step.is_new(each, self._rows)]
            else:
                items = [each._replace(record=record) for each in items for record in step(each.record, each.time)]
                items = [each._replace(number=number) for number, each in enumerate(items)]
        return items

    def _quarantine(
        self, message: InputMessage, error: Exception, batch: BatchResult, owed: tuple[QuarantinedPart, str]
    ) -> None:
        batch.counts.quarantined += 1
        batch.outputs.append(quarantined(self._plan.quarantine_topic, message, error, self._rows.redriven))
        self._owed.owe(*owed)


def _steps(operators: Sequence[Operator], tables: Mapping[Address, Lookup]) -> list[Transform | Deduplication]:
    """Runs of operators without memory, and the de-duplications between them."""
    steps: list[Transform | Deduplication] = []
    run: list[Operator] = []
    remembering = [each for each in operators if isinstance(each, Deduplicate)]
    number = 0
    for each in operators:
        if isinstance(each, Deduplicate):
            if run:
                steps.append(Transform(run, tables))
                run = []
            steps.append(Deduplication(each, number if len(remembering) > 1 else None))
            number += 1
        else:
            run.append(each)
    if run:
        steps.append(Transform(run, tables))
    return steps


def _item(event: Event, message: InputMessage) -> EventRecord:
    """What all records of an event share; without a time of its own the event happened when it was stored.

    Raises:
        EventError: nothing tells when it happened.
    """
    if not event.says_time and message.timestamp_ms < 0:
        raise EventError("neither the event nor Kafka tells when it happened")
    time = to_micros(event.time)
    if event.recorded_time is not None:
        recorded = to_micros(event.recorded_time)
    else:
        recorded = message.timestamp_ms * 1000 if message.timestamp_ms >= 0 else time
    return EventRecord({}, time, message.partition, message.offset, 0, event.id, event.source, recorded)
