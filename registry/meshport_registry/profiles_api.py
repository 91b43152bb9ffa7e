"""Routes of the profiles of ports: what their events look like."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from meshport.port_profile import PortProfile
from meshport_registry.mesh_api import PROBLEMS, Line, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.profiles import keep_profile, require_profile
from meshport_registry.state import Database, UnauditedDatabase
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute,
    dependencies=MESH_CHECKS,
    prefix="/api/v1/profiles/{domain}/{product}/{port}",
    tags=["Profiles"],
    responses=PROBLEMS,
)


@router.put("", response_model=PortProfile)
async def report(store: UnauditedDatabase, line: Line, body: PortProfile) -> Any:
    """Report what the events of a port look like; an older profile than the one that is kept changes nothing."""
    return as_json(await store.write(lambda c: keep_profile(c, line, body)))


@router.get("", response_model=PortProfile)
async def profile(store: Database, line: Line) -> Any:
    """What the events of a port look like, by field, with a few masked ones; for callers who may read the port."""
    return as_json(await store.read(lambda c: require_profile(c, line)))
