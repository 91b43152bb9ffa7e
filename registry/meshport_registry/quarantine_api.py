"""Routes of the newest quarantined and late events of a processor."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from meshport.quarantine_report import QuarantineReport
from meshport_registry.mesh_api import PROBLEMS, Line, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.quarantine import for_caller, keep_quarantine, require_quarantine
from meshport_registry.state import Database, UnauditedDatabase
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute,
    dependencies=MESH_CHECKS,
    prefix="/api/v1/quarantine/{domain}/{product}/{port}",
    tags=["Processors"],
    responses=PROBLEMS,
)


@router.put("", response_model=QuarantineReport)
async def report(store: UnauditedDatabase, line: Line, body: QuarantineReport) -> Any:
    """Report the newest quarantined and late events of a port; an older report than the one that is kept changes nothing."""
    return as_json(await store.write(lambda c: keep_quarantine(c, line, body)))


@router.get("", response_model=QuarantineReport)
async def quarantine(request: Request, store: Database, line: Line) -> Any:
    """The newest quarantined and late events of a port, without data of inputs that the caller may not read."""
    found = await store.read(lambda c: require_quarantine(c, line))
    return as_json(await for_caller(request, store, found))
