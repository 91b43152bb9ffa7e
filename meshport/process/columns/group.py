"""The computation of the group stage over columns: a batch of records of the repartition topic at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from meshport.kafka.producer import Message
from meshport.process.columns import warn_row_path
from meshport.process.columns.columnar_records import Fields, Origins
from meshport.process.columns.expressions import Doubt, NotColumnar
from meshport.process.columns.grouping import ColumnarGrouping
from meshport.process.columns.rekeying import RekeyedBatch
from meshport.process.state.groups import GroupProcessor
from meshport.process.state.overlay import Overlay
from meshport.process.state.rows import KeyValueStore
from meshport.process.wire.plan import Plan


class GroupedBatch(NamedTuple):
    """What records come to.

    Attributes:
        outputs: for the output port.
        changes: of the state, as `StateRows.apply` takes them, with the indices of records.
    """

    outputs: list[Message]
    changes: Mapping[str, tuple[Any, int]]


class ColumnarGroup:
    """Groups the records of one partition over columns.

    Args:
        plan: the plan.
        group: the grouping.
        rows: the state, which is only read.
    """

    def __init__(self, plan: Plan, group: GroupProcessor, rows: KeyValueStore) -> None:
        self._plan = plan
        self._group = group
        self._rows = rows
        self._compiled: dict[str, ColumnarGrouping | None] = {}

    def process(self, batch: RekeyedBatch) -> GroupedBatch | None:
        """Return what records come to; None where they have to be applied one by one."""
        grouping = self._grouping(batch.fields)
        if grouping is None:
            return None
        store = Overlay(self._rows)
        texts = (batch.metadata[name].to_pylist() for name in ("id", "time_text", "recorded_text"))
        origins = Origins(batch.partition, batch.offsets, batch.numbers, batch.source, *texts)
        try:
            outputs = grouping.messages(batch.records, store, origins)
        except Doubt:
            return None
        return GroupedBatch(outputs, store.changes)

    def _grouping(self, fields: Fields) -> ColumnarGrouping | None:
        name = repr(fields)
        if name not in self._compiled:
            try:
                self._compiled[name] = ColumnarGrouping(self._plan, self._group, fields, {})
            except NotColumnar as why:
                warn_row_path(f"{self._plan.group} groups records one by one: {why}")
                self._compiled[name] = None
        return self._compiled[name]
