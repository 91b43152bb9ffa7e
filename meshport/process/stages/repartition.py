"""The stages that read a repartition topic: which of its records are new, and how far event time has come.

A source stage may write a record twice after a crash. The records of one source partition come in their order, so that one
which is not beyond the last that was applied is a repetition. Redriven records come in the order of the redrive topic; their
progress is kept apart, under the bitwise complement of the source partition's number.

The watermark is the least of all source partitions. While one has reported none, no window closes: results are correct, but
late.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from meshport.errors import ProcessError
from meshport.event.trace import is_traced
from meshport.process.columns import MANY
from meshport.process.logic.event_time import duration_micros
from meshport.process.logic.records import EventRecord
from meshport.process.stages.partition import BatchResult, PartitionStage, WindowWriter
from meshport.process.state.changelog import Checkpoint, PartitionProgress
from meshport.process.state.quarantine import (
    QuarantinedEvents,
    QuarantinedPosition,
    QuarantinedRows,
    QuarantineIndex,
)
from meshport.process.state.rows import StateRows
from meshport.process.wire.input import InputMessage
from meshport.process.wire.messages import RekeyedRecord, late, quarantined, read_rekeyed
from meshport.process.wire.outputs import Outputs
from meshport.process.wire.plan import Plan

if TYPE_CHECKING:
    from meshport.process.columns.group import GroupedBatch
    from meshport.process.columns.rekeying import RekeyedBatch


class RepartitionStage(PartitionStage):
    """What the stages that read a repartition topic have in common.

    Args:
        plan: the plan.
        partition: of the repartition topic.
        state: of that partition.
        outputs: makes the messages of the output port.

    Raises:
        ProcessError: the plan has no repartition topic.
    """

    def __init__(self, plan: Plan, partition: int, state: tuple[StateRows, Checkpoint], outputs: Outputs) -> None:
        rows, checkpoint = state
        if plan.repartition is None:
            raise ProcessError("nothing is brought together under another key")
        super().__init__(plan.repartition, partition, rows, checkpoint, plan)
        self._plan = plan
        self._outputs = outputs
        self._windows = WindowWriter(plan, outputs)
        self._sources = {number: replace(each) for number, each in checkpoint.sources.items()}
        self._lateness = duration_micros(plan.pipeline.lateness)
        self._quarantined: QuarantineIndex = QuarantinedRows(rows) if plan.upserts else QuarantinedEvents(rows)

    @property
    def watermark(self) -> int | None:
        """See `PartitionStage`."""
        known = [each.watermark for each in self._sources.values() if each.watermark is not None]
        return min(known) if len(known) == len(self._plan.numbers) else None

    def process(self, messages: Sequence[InputMessage]) -> BatchResult:
        """See `PartitionStage`."""
        batch = BatchResult()
        for message in messages:
            if message.offset > self._offset:
                try:
                    found = _read(message)
                except ProcessError as error:
                    # Something else wrote it, or the client cannot read it.
                    batch.counts.add_quarantined(error)
                    batch.outputs.append(quarantined(self._plan.quarantine_topic, message, error))
                else:
                    if isinstance(found, RekeyedRecord):
                        self._process_one(found, message, batch)
                    else:
                        self._process_many(found, message, batch)
                self._offset = message.offset
        return self._finish(batch, None, self._sources)

    @abstractmethod
    def _apply(self, record: EventRecord, found: RekeyedRecord, offset: int, batch: BatchResult) -> None:
        """Apply a record that is new and not late, and keep the changed rows."""

    @abstractmethod
    def _close(self, horizon: int, message: InputMessage, recorded: int, batch: BatchResult) -> None:
        """Close what no record from `horizon` on can change.

        Args:
            horizon: event time, microseconds.
            message: that moved the watermark.
            recorded: when its event was recorded, microseconds.
            batch: what outputs are added to.
        """

    def _grouped(self, records: RekeyedBatch) -> GroupedBatch | None:  # noqa: ARG002 - overridden by a stage with columns
        """Return what records come to over columns; None where they have to be applied one by one."""
        return None

    def _quarantine_key(self, record: EventRecord, found: RekeyedRecord) -> tuple[QuarantinedPosition, str]:
        """Return the arguments of `QuarantineIndex` for a record."""
        return QuarantinedPosition(self._number_of(found), record.offset, record.number), ""

    def _number_of(self, found: RekeyedRecord) -> int:
        """Return the number of a record's source partition among those of all inputs."""
        return self._source_number(found.original.topic, found.partition)

    def _source_number(self, topic: str, partition: int) -> int:
        number = self._plan.numbers.get((topic, partition))
        if number is None:
            raise ProcessError(
                f"{self._stage.topic} [{self._partition}] holds a record of {topic} [{partition}], which is no input",
                hint="delete it with the processor's changelog topics, to count from the beginning",
            )
        return number

    def _process_many(self, found: RekeyedBatch, message: InputMessage, batch: BatchResult) -> None:
        """Process the records of one message that a source stage wrote by columns."""
        number = self._source_number(found.source_topic, found.partition)
        progress = self._sources.setdefault(number, PartitionProgress())
        new = found.after(progress.offset, progress.number)
        batch.counts.repeated += len(found.records) - len(new.records)
        if not len(new.records):
            return
        grouped = self._grouped(new)
        if grouped is None:
            for each in new.one_by_one():
                self._process_one(each, message, batch)
        else:
            self._rows.apply(grouped.changes, [message.offset] * len(new.records))
            progress.offset, progress.number = int(new.offsets[-1]), int(new.numbers[-1])
            batch.counts.written += len(grouped.outputs)
            batch.outputs += grouped.outputs

    def _process_one(self, found: RekeyedRecord, message: InputMessage, batch: BatchResult) -> None:
        if is_traced(found.original.headers):
            with self._traces.continued(found.original):
                self._process_untraced(found, message, batch)
        else:
            self._process_untraced(found, message, batch)

    def _process_untraced(self, found: RekeyedRecord, message: InputMessage, batch: BatchResult) -> None:
        record = found.record
        source = found.partition if record is None else self._number_of(found)
        is_redriven = found.redrive_offset is not None
        progress = self._sources.setdefault(~source if is_redriven else source, PartitionProgress())
        recorded = 0
        if record is not None:
            recorded = record.recorded
            order = record.offset if found.redrive_offset is None else found.redrive_offset
            if (order, record.number) <= (progress.offset, progress.number):
                batch.counts.repeated += 1
                return
            progress.offset, progress.number = order, record.number
            if is_redriven and self._is_superseded(record, found, batch):
                self._rows.keep(message.offset)
            else:
                self._apply(record, found, message.offset, batch)
        if found.watermark is not None and (progress.watermark is None or found.watermark > progress.watermark):
            progress.watermark = found.watermark
            self._advance(message, recorded, batch)

    def _is_superseded(self, record: EventRecord, found: RekeyedRecord, batch: BatchResult) -> bool:
        """Return whether a redriven record cannot be applied any more: it was applied since, or it is late by now."""
        if found.alone and not self._quarantined.contains(*self._quarantine_key(record, found)):
            batch.counts.repeated += 1
            return True
        # After a crash the source stage may have judged lateness by an earlier watermark than this one.
        watermark = self.watermark
        if watermark is None or not self._plan.timed or record.time >= watermark - self._lateness:
            return False
        self._note_processed(record, found)
        batch.counts.late += 1
        batch.outputs.append(late(self._plan.late_topic, found.original, record.time, watermark, self._lateness))
        return True

    def _note_processed(self, record: EventRecord, found: RekeyedRecord) -> None:
        """Note that a record was processed, so that it, or a row that it replaces, cannot be redriven."""
        if found.alone:
            self._quarantined.redriven(*self._quarantine_key(record, found))
        elif self._plan.upserts:
            self._quarantined.processed(self._quarantine_key(record, found)[1])

    def _quarantine(self, record: EventRecord, found: RekeyedRecord, error: Exception, batch: BatchResult) -> None:
        batch.counts.add_quarantined(error)
        batch.outputs.append(quarantined(self._plan.quarantine_topic, found.original, error, found.redriven, record))
        self._quarantined.add(*self._quarantine_key(record, found))

    def _advance(self, message: InputMessage, recorded: int, batch: BatchResult) -> None:
        watermark = self.watermark
        if watermark is None or not self._plan.timed:
            return
        self._close(watermark - self._lateness, message, recorded or watermark, batch)
        self._rows.keep(message.offset)


def _read(message: InputMessage) -> RekeyedRecord | RekeyedBatch:
    """Return what a message of the repartition topic holds.

    Raises:
        ProcessError: no source stage wrote it.
    """
    if message.value is None or message.value[:4] != MANY:
        return read_rekeyed(message)
    from meshport.process.columns.rekeying import RekeyedBatch  # noqa: PLC0415 - needs numpy, which may be absent

    return RekeyedBatch.of(message)
