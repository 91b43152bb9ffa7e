"""The group stage over columns: many records of the re-keyed topic at once."""

from __future__ import annotations

from meshport.kafka.producer import Message
from meshport.process.columns import warn_row_path
from meshport.process.columns.columnar_records import Fields, Origins
from meshport.process.columns.expressions import Doubt, NotColumnar
from meshport.process.columns.grouping import ColumnarGrouping
from meshport.process.columns.overlay import Overlay
from meshport.process.columns.rekeying import RekeyedBatch
from meshport.process.state.groups import GroupProcessor
from meshport.process.state.rows import StateRows
from meshport.process.wire.plan import Plan


class ColumnarGroup:
    """Groups the records of one partition by columns.

    Args:
        plan: the plan.
        group: of the state.
        rows: the state.
    """

    def __init__(self, plan: Plan, group: GroupProcessor, rows: StateRows) -> None:
        self._plan = plan
        self._group = group
        self._rows = rows
        self._programs: dict[str, ColumnarGrouping | None] = {}

    def messages(self, found: RekeyedBatch, offset: int) -> list[Message] | None:
        """What records give to the output port; None, and nothing is done, where they have to be taken one by one.

        Args:
            found: the records.
            offset: of their message in the re-keyed topic.
        """
        program = self._program(found.fields)
        if program is None:
            return None
        store = Overlay(self._rows)
        texts = (found.beside[name].to_pylist() for name in ("id", "time_text", "recorded_text"))
        origins = Origins(found.partition, found.offsets, found.numbers, found.source, *texts)
        try:
            made = program.messages(found.records, store, origins)
        except Doubt:
            return None
        store.keep([offset] * len(found.records))
        return made

    def _program(self, fields: Fields) -> ColumnarGrouping | None:
        name = repr(fields)
        if name not in self._programs:
            try:
                self._programs[name] = ColumnarGrouping(self._plan, self._group, fields, {})
            except NotColumnar as why:
                warn_row_path(f"{self._plan.group} groups records one by one: {why}")
                self._programs[name] = None
        return self._programs[name]
