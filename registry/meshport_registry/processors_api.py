"""Routes of the processors of derived products: whether they run, and what they have not processed yet."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from meshport.processor_reports import ProcessorReport, ProcessorStatus
from meshport_registry.mesh_api import PROBLEMS, Line, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.processors import keep_processor, processor_of
from meshport_registry.state import Database, UnauditedDatabase
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute,
    dependencies=MESH_CHECKS,
    prefix="/api/v1/processors/{domain}/{product}/{port}",
    tags=["Processors"],
    responses=PROBLEMS,
)


@router.put("", response_model=ProcessorStatus)
async def report(store: UnauditedDatabase, line: Line, body: ProcessorReport) -> Any:
    """Report what was found of the processor of a port; an older report than the one that is kept changes nothing."""
    return as_json(await store.write(lambda c: keep_processor(c, line, body)))


@router.get("", response_model=ProcessorStatus)
async def processor(store: Database, line: Line) -> Any:
    """Whether the processor of a port runs, and what it had not processed when it was observed last."""
    return as_json(await store.read(lambda c: processor_of(c, line)))
