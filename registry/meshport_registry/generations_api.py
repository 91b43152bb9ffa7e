"""Routes of generations: topics that a rebuild fills beside a port's bound one, and the switch to one of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from meshport.binding import Binding
from meshport.generations import Generations, HoldRequest, OpenGeneration, Release, Switch
from meshport_registry.generations import (
    abandon_generation,
    generations,
    hold_generation,
    open_generation,
    release_generation,
    retire_generation,
    switch_generation,
)
from meshport_registry.mesh_api import PROBLEMS, Line, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.state import Database, OwnCluster
from meshport_registry.values import BoundedRoute, RowNumber

router = APIRouter(
    route_class=BoundedRoute,
    dependencies=MESH_CHECKS,
    prefix="/api/v1/generations/{domain}/{product}/{port}",
    tags=["Generations"],
    responses=PROBLEMS,
)


@router.get("", response_model=Generations)
async def list_generations(store: Database, line: Line) -> Any:
    """Every generation of a port, and the hold on the one that is being built."""
    return as_json(await store.read(lambda c: generations(c, line)))


@router.post("/open", response_model=Generations)
async def begin(store: Database, line: Line, body: OpenGeneration) -> Any:
    """Begin a generation, or continue one that the same logic began, and hold it."""
    return as_json(await store.write(lambda c: open_generation(c, line, body)))


@router.post("/{number}/hold", response_model=Generations)
async def hold(store: Database, line: Line, number: RowNumber, body: HoldRequest) -> Any:
    """Renew the hold on a generation. In the phase `handover`, the port's processors pause until the hold ends."""
    return as_json(await store.write(lambda c: hold_generation(c, line, number, body)))


@router.post("/{number}/release", response_model=Generations)
async def release(store: Database, line: Line, number: RowNumber, body: Release) -> Any:
    """Release the hold on a generation, which stays as it is."""
    return as_json(await store.write(lambda c: release_generation(c, line, number, body.holder)))


@router.post("/{number}/switch", response_model=Binding)
async def switch(store: Database, cluster: OwnCluster, line: Line, number: RowNumber, body: Switch) -> Any:
    """Bind the address to a generation, and record the offsets at which readers of the replaced one continue."""
    return as_json(await store.write(lambda c: switch_generation(c, line, number, body, cluster)))


@router.post("/{number}/abandon", response_model=Generations)
async def abandon(store: Database, line: Line, number: RowNumber, body: Release) -> Any:
    """Abandon a generation that is being built."""
    return as_json(await store.write(lambda c: abandon_generation(c, line, number, body.holder)))


@router.post("/{number}/retire", response_model=Generations)
async def retire(store: Database, line: Line, number: RowNumber) -> Any:
    """Retire a replaced or abandoned generation, so that no binding names its topic any more."""
    return as_json(await store.write(lambda c: retire_generation(c, line, number)))
