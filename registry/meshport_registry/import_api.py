"""The route of an import from another registry."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from meshport.snapshot import ImportBatch, ImportCounts
from meshport_registry.importing import import_batch, read_batch
from meshport_registry.mesh_api import PROBLEMS, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.state import Database
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute, dependencies=MESH_CHECKS, prefix="/api/v1", tags=["Import"], responses=PROBLEMS
)


@router.post("/import", response_model=ImportCounts)
async def import_part(store: Database, body: ImportBatch) -> Any:
    """Import versions of subjects with their ids, levels and modes: all of the request or nothing.

    409 names each id and version that has another schema here. A repeated import changes nothing.
    """
    candidates = await read_batch(store, body)
    return as_json(await store.write(lambda c: import_batch(c, body, candidates)))
