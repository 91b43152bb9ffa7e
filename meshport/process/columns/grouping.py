"""From records to messages of the output port over columns: the grouping, the operators after it, and the encoding."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from meshport.address import Address
from meshport.kafka.producer import Message
from meshport.process.columns.columnar_records import ColumnarRecords, Fields, Origins, fields_of
from meshport.process.columns.expressions import Doubt, NotColumnar
from meshport.process.columns.function_state import ColumnarApply
from meshport.process.columns.operators import JoinedTable, Step, compile_steps
from meshport.process.columns.outputs import ColumnarOutputs
from meshport.process.columns.windows import ColumnarWindows
from meshport.process.logic.operators import Aggregate, Apply
from meshport.process.state.groups import GroupProcessor, StatefulFunction, WindowAggregate
from meshport.process.state.overlay import Overlay
from meshport.process.wire.plan import Plan
from meshport.schema import parse_schema


class ColumnarGrouping:
    """The part of a pipeline from its grouping on; without one, records go out as they are.

    Args:
        plan: the plan.
        group: the grouping over the state; None where nothing is grouped.
        fields: the fields of the records.
        tables: the products that are joined.

    Raises:
        NotColumnar: there is no columnar form over these fields.
    """

    def __init__(
        self, plan: Plan, group: GroupProcessor | None, fields: Fields, tables: Mapping[Address, JoinedTable]
    ) -> None:
        pipeline = plan.pipeline
        self._after: list[Step] = []
        self._group: ColumnarWindows | ColumnarApply | None = None
        self._outputs: ColumnarOutputs | None = None
        match pipeline.grouping, group:
            case None, None:
                pass
            case Aggregate(emit=emit), WindowAggregate():
                self._group = ColumnarWindows(pipeline.grouping, group, fields)
                if emit == "close":
                    return
                self._after, fields = compile_steps(pipeline.after, self._group.fields, tables)
            case Apply(), StatefulFunction() if not pipeline.after:
                wanted = fields_of(parse_schema(plan.output.schema_text))
                self._group = ColumnarApply(pipeline.grouping, group, fields, wanted)
                fields = wanted
            case _:
                raise NotColumnar(f"{type(group).__name__} takes records one by one")
        self._outputs = ColumnarOutputs(plan, fields)

    def messages(self, records: ColumnarRecords, store: Overlay, origins: Origins) -> list[Message]:
        """Return the messages for the output port.

        Args:
            records: their origin is the index of their event.
            store: the state.
            origins: the events that the records were made from.

        Raises:
            Doubt: some records have to be processed one by one; the store must be discarded.
        """
        if not len(records):
            return []
        made = ColumnarRecords(records.columns, np.arange(len(records)), records.time)
        if self._group is not None:
            made = self._group.add(records, store, origins)
        if self._outputs is None:
            return []
        try:
            for step in self._after:
                made = step(made) if len(made) else made
            return self._outputs.messages(made, origins)
        except Doubt as doubt:
            if doubt.rows is None:
                raise
            rows = np.zeros(len(records), bool)
            rows[made.origin[doubt.rows]] = True
            raise Doubt(str(doubt), rows) from doubt
