"""Records brought together under another key: reading one partition of the re-keyed topic, whatever is done with them.

The source stages may write a record twice after a crash. Records of one source partition come in order, so that one which is
not beyond the last that was applied is a repetition. Redriven ones come in the order of the redrive topic, and are told apart
by that: they are as of a source of their own, whose number is the complement of the partition's.

Event time has come as far as the source partition that is furthest behind. One that has told nothing yet holds all windows
open: right, only later.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshport.errors import ProcessError
from meshport.kafka.producer import Message
from meshport.process.columns import MANY
from meshport.process.logic.event_time import duration_micros
from meshport.process.logic.records import EventRecord
from meshport.process.stages.partition import BatchResult, Partition, WindowWriter
from meshport.process.state.changelog import Checkpoint
from meshport.process.state.redriven import QuarantinedEvents, QuarantinedPart, QuarantinedRows, QuarantineIndex
from meshport.process.state.rows import StateRows
from meshport.process.wire.input import InputMessage
from meshport.process.wire.messages import RekeyedRecord, late, quarantined, read_rekeyed
from meshport.process.wire.outputs import Outputs
from meshport.process.wire.plan import Plan

if TYPE_CHECKING:
    from meshport.process.columns.rekeying import RekeyedBatch


class RepartitionStage(Partition):
    """What stages behind the re-keyed topic share: what is new, how far time has come, what was redriven.

    Args:
        plan: the plan.
        partition: of the re-keyed topic.
        state: of that partition.
        outputs: makes what is given.
    """

    def __init__(self, plan: Plan, partition: int, state: tuple[StateRows, Checkpoint], outputs: Outputs) -> None:
        rows, checkpoint = state
        if plan.repartition is None:
            raise ProcessError("nothing is brought together under another key")
        super().__init__(plan.repartition, partition, rows, checkpoint, plan.shape)
        self._plan = plan
        self._outputs = outputs
        self._closing = WindowWriter(plan, outputs)
        self._sources = {source: list(place) for source, place in checkpoint.sources.items()}
        self._lateness = duration_micros(plan.pipeline.lateness)
        self._owed: QuarantineIndex = QuarantinedRows(rows) if plan.upserts else QuarantinedEvents(rows)

    @property
    def watermark(self) -> int | None:
        """How far event time has come, microseconds."""
        told = [place[2] for place in self._sources.values()]
        known = [each for each in told if each is not None]
        return min(known) if len(known) == len(self._plan.numbers) else None

    def process(self, messages: Sequence[InputMessage]) -> BatchResult:
        """Take messages in, in the order of their offsets."""
        batch = BatchResult()
        for message in messages:
            if message.offset > self._offset:
                if message.value is not None and message.value[:4] == MANY:
                    self._many(message, batch)
                else:
                    self._one(read_rekeyed(message), message, batch)
                self._offset = message.offset
        return self._finish(batch, None, self._sources)

    @abstractmethod
    def _take(self, item: EventRecord, found: RekeyedRecord, offset: int, batch: BatchResult) -> None:
        """Take in a record that is new and on time, the whole of it: its rows are kept when this returns."""

    @abstractmethod
    def _pass(self, horizon: int, message: InputMessage, recorded: int, batch: BatchResult) -> None:
        """Take note that nothing before this time is taken any more."""

    def _take_many(self, new: RekeyedBatch, offset: int) -> list[Message] | None:  # noqa: ARG002 - stages that have columns take them
        """What records give by columns; None, and nothing is done, where they have to be taken one by one."""
        return None

    def _owing(self, item: EventRecord, found: RekeyedRecord) -> tuple[QuarantinedPart, str]:
        """A record, and what it replaces."""
        return (self._number(found), item.offset, item.number), ""

    def _number(self, found: RekeyedRecord) -> int:
        """The number of the source partition among those of all inputs."""
        return self._numbered(found.original.topic, found.partition)

    def _numbered(self, topic: str, partition: int) -> int:
        number = self._plan.numbers.get((topic, partition))
        if number is None:
            raise ProcessError(
                f"{self._stage.topic} [{self._partition}] holds a record of {topic} [{partition}], which is no input",
                hint="delete it with the processor's changelog topics, to count from the beginning",
            )
        return number

    def _many(self, message: InputMessage, batch: BatchResult) -> None:
        """Take in the records of one message, which a source stage wrote by columns."""
        from meshport.process.columns.rekeying import RekeyedBatch  # noqa: PLC0415 - needs numpy, which may not be there

        found = RekeyedBatch.read(message.value or b"")
        place = self._sources.setdefault(self._numbered(found.source_topic, found.partition), [-1, -1, None])
        new = found.behind(place[0] or 0, place[1] or 0)
        batch.counts.repeated += len(found.records) - len(new.records)
        if not len(new.records):
            return
        made = self._take_many(new, message.offset)
        if made is None:
            for each in new.one_by_one():
                self._one(each, message, batch)
        else:
            place[:2] = int(new.offsets[-1]), int(new.numbers[-1])
            batch.counts.written += len(made)
            batch.outputs += made

    def _one(self, found: RekeyedRecord, message: InputMessage, batch: BatchResult) -> None:
        item = found.item
        source = found.partition if item is None else self._number(found)
        place = self._sources.setdefault(source if found.redrive is None else ~source, [-1, -1, None])
        recorded = 0
        if item is not None:
            recorded = item.recorded
            order = item.offset if found.redrive is None else found.redrive
            if (order, item.number) <= (place[0], place[1]):
                batch.counts.repeated += 1
                return
            place[0], place[1] = order, item.number
            if self._is_over(item, found, batch):
                self._rows.keep(message.offset)
            else:
                self._take(item, found, message.offset, batch)
        if found.watermark is not None and (place[2] is None or found.watermark > place[2]):
            place[2] = found.watermark
            self._advance(message, recorded, batch)

    def _is_over(self, item: EventRecord, found: RekeyedRecord, batch: BatchResult) -> bool:
        """Whether a redriven record cannot be taken in any more."""
        if found.redrive is None:
            return False
        owing = self._owing(item, found)
        if found.alone and not self._owed.is_owed(*owing):
            batch.counts.repeated += 1
            return True
        # The source stage has judged it, but after a crash it may have done so when time had not come as far as here.
        watermark = self.watermark
        if watermark is None or not self._plan.timed or item.time >= watermark - self._lateness:
            return False
        self._owed.settle(*owing, again=found.alone)
        batch.counts.late += 1
        batch.outputs.append(late(self._plan.late_topic, found.original, item.time, watermark, self._lateness))
        return True

    def _set_aside(self, item: EventRecord, found: RekeyedRecord, error: Exception, batch: BatchResult) -> None:
        """Quarantine a record, and take note that it is owed."""
        batch.counts.quarantined += 1
        batch.outputs.append(quarantined(self._plan.quarantine_topic, found.original, error, found.redriven, item))
        self._owed.owe(*self._owing(item, found))

    def _advance(self, message: InputMessage, recorded: int, batch: BatchResult) -> None:
        watermark = self.watermark
        if watermark is None or not self._plan.timed:
            return
        self._pass(watermark - self._lateness, message, recorded or watermark, batch)
        self._rows.keep(message.offset)
