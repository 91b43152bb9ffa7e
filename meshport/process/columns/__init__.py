"""Pipelines over Arrow columns: whole batches, with the same outputs and state as the row path, byte for byte.

`source` processes a partition's events by `operators`, `windows` and `outputs`; events in doubt go to the row path. Only
this module may be imported where the extra `meshport[columnar]` is not installed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Final

from meshport.columnar.native import unavailable
from meshport.event import SchemaSource
from meshport.event.bare import BARE
from meshport.event.columns import ColumnReader
from meshport.process.logic.operators import Filter
from meshport.process.wire.contracts import contract_readers
from meshport.process.wire.plan import Plan

_log: Final = logging.getLogger(__name__)

FEW: Final = 32
"""Fewer events than this are as quick one by one, since a batch of columns costs about a millisecond; at least two."""
MANY: Final = b"\xff\xff\xff\xff"
"""The first bytes of a message of many re-keyed records, an Arrow IPC stream; a single record is JSON."""


def columns_for(plan: Plan, schemas: SchemaSource) -> Mapping[str, ColumnReader] | None:
    """Return readers of a plan's inputs as columns, by topic; None, with a warning, where they are processed by event.

    Args:
        plan: the plan.
        schemas: resolves the schemas of events.
    """
    if why := unavailable() or _why_not(plan):
        warn_row_path(f"{plan.group} works event by event: {why}")
        return None
    readers = contract_readers(plan)
    found: dict[str, ColumnReader] = {}
    for each in plan.sources:
        if each.binding.envelope == BARE:
            warn_row_path(f"{plan.group} reads {each.stage.topic} event by event: its events are no CloudEvents")
        else:
            found[each.stage.topic] = ColumnReader(schemas, readers[each.stage.topic])
    return found or None


@cache
def warn_row_path(text: str) -> None:
    """Log that a processor, or a part of one, leaves columns for rows; each text once a process, not once a partition."""
    _log.warning(text)


def _why_not(plan: Plan) -> str | None:
    pipeline = plan.pipeline
    if plan.upserts:
        return "rows replace one another"
    if plan.table and (pipeline.grouping is None or any(isinstance(each, Filter) for each in pipeline.after)):
        return "rows that are held back become tombstones"
    return None
