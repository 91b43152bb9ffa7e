"""Routes of measured service levels: what an observer reports, and what is known of a port."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from meshport.service_levels import LevelHistory, LevelPage, MeasuredLevels, PortLevels, SourceCount, SourceCounts
from meshport_registry.mesh_api import PROBLEMS, Line, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.rights.visible import SeenProducts
from meshport_registry.service_levels import KEPT, history, levels_of, list_levels, report
from meshport_registry.source_counts import KEPT as KEPT_COUNTS
from meshport_registry.source_counts import counts_of, take_count
from meshport_registry.state import Database, UnauditedDatabase
from meshport_registry.values import BoundedRoute, Count

router = APIRouter(
    route_class=BoundedRoute,
    dependencies=MESH_CHECKS,
    prefix="/api/v1/service-levels",
    tags=["Service levels"],
    responses=PROBLEMS,
)


@router.get("", response_model=LevelPage)
async def measured_ports(
    store: Database, seen: SeenProducts, offset: Count = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> Any:
    """A page of the ports that were ever measured, with what was measured last, of products that the caller may discover."""
    return as_json(await store.read(lambda c: list_levels(c, offset=offset, limit=limit, seen=seen)))


@router.get("/{domain}/{product}/{port}", response_model=PortLevels)
async def port_levels(store: Database, line: Line) -> Any:
    """What was measured last of a port; `unknown` where that was too long ago."""
    return as_json(await store.read(lambda c: levels_of(c, line)))


@router.put("/{domain}/{product}/{port}", response_model=PortLevels)
async def report_levels(store: UnauditedDatabase, line: Line, body: MeasuredLevels) -> Any:
    """Report what was measured of a port. A report that is older than the last one changes nothing."""
    return as_json(await store.write(lambda c: report(c, line, body)))


@router.get("/{domain}/{product}/{port}/history", response_model=LevelHistory)
async def level_history(store: Database, line: Line, limit: Annotated[int, Query(ge=1, le=KEPT)] = 288) -> Any:
    """What was measured of a port before, newest first."""
    return as_json(await store.read(lambda c: history(c, line, limit)))


@router.get("/{domain}/{product}/{port}/counts", response_model=SourceCounts)
async def source_counts(
    store: Database,
    line: Line,
    since: Annotated[AwareDatetime | None, Query(description="intervals that end later")] = None,
    limit: Annotated[int, Query(ge=1, le=KEPT_COUNTS)] = 100,
) -> Any:
    """How many events the source of a port has, by its own count, newest interval first."""
    return as_json(await store.read(lambda c: counts_of(c, line, since, limit)))


@router.post("/{domain}/{product}/{port}/counts", response_model=SourceCounts)
async def report_count(store: UnauditedDatabase, line: Line, body: SourceCount) -> Any:
    """Report how many events the source of a port has of an interval of event time. Reported again, it replaces the count."""
    return as_json(await store.write(lambda c: take_count(c, line, body)))
