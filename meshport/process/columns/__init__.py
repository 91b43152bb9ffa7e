"""Pipelines over Arrow columns: whole batches, with the outputs and the state that the row path gives, byte for byte.

`source` works on a partition's events, by `operators`, `windows` and `outputs`; whatever is in doubt goes the row path. Only
this module may be imported where the extra `meshport[columnar]` is not installed.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Final

from meshport.columnar.native import unavailable
from meshport.event import SchemaSource
from meshport.event.columns import ColumnReader
from meshport.process.logic.pipeline import Filter
from meshport.process.wire.plan import Plan

_log: Final = logging.getLogger(__name__)

FEW: Final = 32
"""Events below which one by one is as quick: a batch of columns costs about a millisecond whatever it holds. Two at least."""
MANY: Final = b"\xff\xff\xff\xff"
"""What a message of many re-keyed records begins with, an IPC stream of Arrow's; one record by itself is JSON."""


def columns_for(plan: Plan, schemas: SchemaSource) -> ColumnReader | None:
    """Return a reader of a plan's input as columns; None, with a warning, where all of it is processed event by event.

    Args:
        plan: the plan.
        schemas: where the schemas of events are found.
    """
    if why := unavailable() or _why_not(plan):
        warn_row_path(f"{plan.group} works event by event: {why}")
        return None
    return ColumnReader(schemas)


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
