"""The second stage of a processor that re-keys: it reads one partition of the re-keyed topic, and keeps the groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from meshport.address import Address
from meshport.errors import ProcessError
from meshport.kafka.producer import Message
from meshport.process.logic import lossless_json
from meshport.process.logic.pipeline import Aggregate, Hopping, JoinStream, Tumbling
from meshport.process.logic.records import EventRecord
from meshport.process.logic.transform import Lookup, Transform
from meshport.process.stages.partition import BatchResult
from meshport.process.stages.repartition import RepartitionStage
from meshport.process.state.changelog import Checkpoint
from meshport.process.state.groups import group_processor
from meshport.process.state.redriven import QuarantinedPart
from meshport.process.state.rows import StateRows
from meshport.process.wire.input import InputMessage
from meshport.process.wire.messages import RekeyedRecord
from meshport.process.wire.outputs import Outputs
from meshport.process.wire.plan import Plan

if TYPE_CHECKING:
    from meshport.process.columns.group import ColumnarGroup
    from meshport.process.columns.rekeying import RekeyedBatch


class GroupStage(RepartitionStage):
    """Reads the re-keyed topic and keeps the groups."""

    def __init__(
        self, plan: Plan, partition: int, state: tuple[StateRows, Checkpoint], *, tables: Mapping[Address, Lookup]
    ) -> None:
        super().__init__(plan, partition, state, Outputs(plan, Transform(plan.pipeline.after, tables)))
        grouping = plan.pipeline.grouping
        if grouping is None or isinstance(grouping, JoinStream):
            raise ProcessError("there is nothing to group")
        self._grouping = grouping
        self._group = group_processor(grouping, upserts=plan.upserts)
        self._group.watch(self._rows)
        self._columns: ColumnarGroup | None = None

    def _take_many(self, new: RekeyedBatch, offset: int) -> list[Message] | None:
        if self._columns is None:
            from meshport.process.columns.group import ColumnarGroup  # noqa: PLC0415 - needs numpy, which may not be there

            self._columns = ColumnarGroup(self._plan, self._group, self._rows)
        return self._columns.messages(new, offset)

    def _owing(self, item: EventRecord, found: RekeyedRecord) -> tuple[QuarantinedPart, str]:
        """A record, and what it replaces: the part of one input row in one group."""
        part, slot = super()._owing(item, found)
        if not self._plan.upserts:
            return part, slot
        by = [item.record.get(name) for name in self._grouping.by]
        window = self._grouping.window if isinstance(self._grouping, Aggregate) else None
        starts = window.starts(item.time) if isinstance(window, Tumbling | Hopping) else ()
        return part, lossless_json.dumps([item.contributor, by, list(starts)])

    def _take(self, item: EventRecord, found: RekeyedRecord, offset: int, batch: BatchResult) -> None:
        try:
            made = self._outputs.of_item(self._group.add(item, self._rows), item)
        except Exception as error:  # noqa: BLE001 - the edge to a product's own functions; the event is set aside
            self._rows.undo()
            self._set_aside(item, found, error, batch)
            self._rows.keep(offset)
        else:
            if found.alone or self._plan.upserts:
                self._owed.settle(*self._owing(item, found), again=found.alone)
            self._rows.keep(offset)
            batch.counts.written += len(made)
            batch.outputs += made

    def _pass(self, horizon: int, message: InputMessage, recorded: int, batch: BatchResult) -> None:
        self._closing.write(self._group.advance(horizon, self._rows), message, recorded, batch)
