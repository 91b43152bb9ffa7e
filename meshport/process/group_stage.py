"""The second stage of a processor that re-keys: it reads one partition of the re-keyed topic, and keeps the groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meshport.address import Address
from meshport.errors import ProcessError
from meshport.process import plain
from meshport.process.clock import length
from meshport.process.columns import MANY
from meshport.process.groups import group_for
from meshport.process.item import Item
from meshport.process.messages import (
    Inbound,
    Rekeyed,
    late,
    quarantined,
    read_rekeyed,
)
from meshport.process.outputs import Outputs
from meshport.process.owed import Owed, OwedEvents, OwedRows, Part
from meshport.process.partition import Batch, Closing, Partition
from meshport.process.pipeline import Aggregate, Hopping, Tumbling
from meshport.process.plan import Plan
from meshport.process.rows import Checkpoint, Rows
from meshport.process.transform import Lookup, Transform

if TYPE_CHECKING:
    from meshport.process.columns.group import ColumnarGroup


class GroupStage(Partition):
    """Reads the re-keyed topic and keeps the groups.

    The source stage may write a record twice after a crash. Records of one source partition come in order, so that one
    which is not beyond the last that was applied is a repetition. Redriven ones come in the order of the redrive topic, and
    are told apart by that: they are as of a source of their own, whose number is the complement of the partition's.

    Event time has come as far as the source partition that is furthest behind. One that has told nothing yet holds all
    windows open: right, only later.
    """

    def __init__(
        self, plan: Plan, partition: int, state: tuple[Rows, Checkpoint], *, tables: Mapping[Address, Lookup]
    ) -> None:
        rows, checkpoint = state
        super().__init__(plan.stages[1], partition, rows, checkpoint, plan.shape)
        self._plan = plan
        self._outputs = Outputs(plan, Transform(plan.pipeline.after, tables))
        self._closing = Closing(plan, self._outputs)
        if plan.pipeline.grouping is None:
            raise ProcessError("there is nothing to group")
        self._group = group_for(plan.pipeline.grouping, upserts=plan.upserts)
        self._group.watch(rows)
        self._sources = {source: list(place) for source, place in checkpoint.sources.items()}
        self._lateness = length(plan.pipeline.lateness)
        self._owed: Owed = OwedRows(rows) if plan.upserts else OwedEvents(rows)
        self._columns: ColumnarGroup | None = None

    @property
    def watermark(self) -> int | None:
        """How far event time has come, microseconds."""
        told = [place[2] for place in self._sources.values()]
        known = [each for each in told if each is not None]
        return min(known) if len(known) == self._plan.source.partitions else None

    def process(self, messages: Sequence[Inbound]) -> Batch:
        """Take messages in, in the order of their offsets."""
        batch = Batch()
        for message in messages:
            if message.offset > self._offset:
                if message.value is not None and message.value[:4] == MANY:
                    self._many(message, batch)
                else:
                    self._one(read_rekeyed(message), message, batch)
                self._offset = message.offset
        return self._finish(batch, None, self._sources)

    def _many(self, message: Inbound, batch: Batch) -> None:
        """Take in the records of one message, which another member of the group wrote by columns."""
        if self._columns is None:
            from meshport.process.columns.group import ColumnarGroup  # noqa: PLC0415 - needs numpy, which may not be there

            self._columns = ColumnarGroup(self._plan, self._group, self._rows)
        found = self._columns.read(message)
        place = self._sources.setdefault(found.partition, [-1, -1, None])
        new = found.behind(place[0] or 0, place[1] or 0)
        batch.counts.repeated += len(found.records) - len(new.records)
        if not len(new.records):
            return
        made = self._columns.messages(new, message.offset)
        if made is None:
            for each in new.one_by_one():
                self._one(each, message, batch)
        else:
            place[:2] = int(new.offsets[-1]), int(new.numbers[-1])
            batch.counts.written += len(made)
            batch.outputs += made

    def _one(self, found: Rekeyed, message: Inbound, batch: Batch) -> None:
        item = found.item
        place = self._sources.setdefault(found.partition if found.redrive is None else ~found.partition, [-1, -1, None])
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
                self._add(item, found, message.offset, batch)
        if found.watermark is not None and (place[2] is None or found.watermark > place[2]):
            place[2] = found.watermark
            self._advance(message, recorded, batch)

    def _is_over(self, item: Item, found: Rekeyed, batch: Batch) -> bool:
        """Whether a redriven record cannot be taken in any more."""
        if found.redrive is None:
            return False
        if found.alone and not self._owed.is_owed(*self._owing(item)):
            batch.counts.repeated += 1
            return True
        # The source stage has judged it, but after a crash it may have done so when time had not come as far as here.
        watermark = self.watermark
        if watermark is None or not self._plan.timed or item.time >= watermark - self._lateness:
            return False
        self._owed.settle(*self._owing(item), again=found.alone)
        batch.counts.late += 1
        batch.outputs.append(late(self._plan.late_topic, found.original, item.time, watermark, self._lateness))
        return True

    def _owing(self, item: Item) -> tuple[Part, str]:
        """A record, and what it replaces: the part of one input row in one group."""
        part = item.partition, item.offset, item.number
        if not self._plan.upserts:
            return part, ""
        grouping = self._plan.pipeline.grouping
        by = [item.record.get(name) for name in grouping.by] if grouping else []
        window = grouping.window if isinstance(grouping, Aggregate) else None
        starts = window.starts(item.time) if isinstance(window, Tumbling | Hopping) else ()
        return part, plain.dumps([item.contributor, by, list(starts)])

    def _add(self, item: Item, found: Rekeyed, offset: int, batch: Batch) -> None:
        try:
            made = self._outputs.of_item(self._group.add(item, self._rows), item)
        except Exception as error:  # noqa: BLE001 - the edge to a product's own functions; the event is set aside
            self._rows.undo()
            batch.counts.quarantined += 1
            batch.outputs.append(quarantined(self._plan.quarantine_topic, found.original, error, found.redriven, item))
            self._owed.owe(*self._owing(item))
            self._rows.keep(offset)
        else:
            if found.alone or self._plan.upserts:
                self._owed.settle(*self._owing(item), again=found.alone)
            self._rows.keep(offset)
            batch.counts.written += len(made)
            batch.outputs += made

    def _advance(self, message: Inbound, recorded: int, batch: Batch) -> None:
        watermark = self.watermark
        if watermark is None or not self._plan.timed:
            return
        closed = self._group.advance(watermark - self._lateness, self._rows)
        self._closing.write(closed, message, recorded or watermark, batch)
        self._rows.keep(message.offset)
