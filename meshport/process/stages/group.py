"""The stage that groups the records of a repartition topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from meshport.address import Address
from meshport.errors import ProcessError
from meshport.process.logic import lossless_json
from meshport.process.logic.operators import Aggregate, Hopping, JoinStream, Tumbling
from meshport.process.logic.records import EventRecord
from meshport.process.logic.transform import Lookup, Transform
from meshport.process.stages.partition import BatchResult
from meshport.process.stages.repartition import RepartitionStage
from meshport.process.state.changelog import Checkpoint
from meshport.process.state.groups import group_processor
from meshport.process.state.quarantine import QuarantinedPosition
from meshport.process.state.rows import StateRows
from meshport.process.wire.input import InputMessage
from meshport.process.wire.messages import RekeyedRecord
from meshport.process.wire.outputs import Outputs
from meshport.process.wire.plan import Plan

if TYPE_CHECKING:
    from meshport.process.columns.group import ColumnarGroup, GroupedBatch
    from meshport.process.columns.rekeying import RekeyedBatch


class GroupStage(RepartitionStage):
    """Groups the records of one partition of a repartition topic.

    Args:
        plan: the plan.
        partition: of the repartition topic.
        state: of that partition.
        tables: the joined tables.

    Raises:
        ProcessError: the pipeline groups nothing, or the state was made by a pipeline of another shape.
    """

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

    def _grouped(self, records: RekeyedBatch) -> GroupedBatch | None:
        if self._columns is None:
            from meshport.process.columns.group import ColumnarGroup  # noqa: PLC0415 - needs numpy, which may be absent

            self._columns = ColumnarGroup(self._plan, self._group, self._rows)
        return self._columns.process(records)

    def _quarantine_key(self, record: EventRecord, found: RekeyedRecord) -> tuple[QuarantinedPosition, str]:
        """See `RepartitionStage`; the slot of a compacted port is a contribution of one input row to one group."""
        position, slot = super()._quarantine_key(record, found)
        if not self._plan.upserts:
            return position, slot
        by = [record.record.get(name) for name in self._grouping.by]
        window = self._grouping.window if isinstance(self._grouping, Aggregate) else None
        starts = window.starts(record.time) if isinstance(window, Tumbling | Hopping) else ()
        return position, lossless_json.dumps([record.contributor, by, list(starts)])

    def _apply(self, record: EventRecord, found: RekeyedRecord, offset: int, batch: BatchResult) -> None:
        try:
            made = self._outputs.of_record(self._group.add(record, self._rows), record)
        except Exception as error:  # noqa: BLE001 - raised by a product's own functions; the record is quarantined
            self._rows.undo()
            self._quarantine(record, found, error, batch)
            self._rows.keep(offset)
        else:
            self._note_processed(record, found)
            self._rows.keep(offset)
            batch.counts.written += len(made)
            batch.outputs += made

    def _close(self, horizon: int, message: InputMessage, recorded: int, batch: BatchResult) -> None:
        self._windows.write(self._group.advance(horizon, self._rows), message, recorded, batch)
