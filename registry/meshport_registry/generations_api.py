"""The generations' part of the mesh API: rebuilt topics beside a port's own, and the switch to one of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from meshport.address import Address
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
from meshport_registry.mesh_api import Database, Major, OwnCluster, Problem, Word, as_json

router = APIRouter(
    prefix="/api/v1/generations/{domain}/{product}/{port}",
    tags=["Generations"],
    responses={404: {"model": Problem}, 409: {"model": Problem}, 422: {"model": Problem}},
)


async def _line(domain: Word, product: Word, port: Word, major: Major = None) -> Address:
    return Address(domain, product, port, major)


Line = Annotated[Address, Depends(_line)]
Number = Annotated[int, Path(ge=1, description="the generation's number")]


@router.get("", response_model=Generations)
async def list_generations(store: Database, line: Line) -> Any:
    """Every generation of a port, and who is building one."""
    return as_json(await store.read(lambda c: generations(c, line)))


@router.post("/open", response_model=Generations)
async def begin(store: Database, line: Line, body: OpenGeneration) -> Any:
    """Begin a generation, or go on with the one that the same logic began."""
    return as_json(await store.write(lambda c: open_generation(c, line, body)))


@router.post("/{number}/hold", response_model=Generations)
async def hold(store: Database, line: Line, number: Number, body: HoldRequest) -> Any:
    """Go on holding a generation; in the phase `handover`, the processors of the port stand still meanwhile."""
    return as_json(await store.write(lambda c: hold_generation(c, line, number, body)))


@router.post("/{number}/release", response_model=Generations)
async def release(store: Database, line: Line, number: Number, body: Release) -> Any:
    """Let go of a generation; it stays as it is."""
    return as_json(await store.write(lambda c: release_generation(c, line, number, body.holder)))


@router.post("/{number}/switch", response_model=Binding)
async def switch(store: Database, cluster: OwnCluster, line: Line, number: Number, body: Switch) -> Any:
    """Bind the address to a generation, and say where readers of the one before go on."""
    return as_json(await store.write(lambda c: switch_generation(c, line, number, body, cluster)))


@router.post("/{number}/abandon", response_model=Generations)
async def abandon(store: Database, line: Line, number: Number, body: Release) -> Any:
    """Give a generation up that is being built."""
    return as_json(await store.write(lambda c: abandon_generation(c, line, number, body.holder)))


@router.post("/{number}/retire", response_model=Generations)
async def retire(store: Database, line: Line, number: Number) -> Any:
    """Lead nobody to a generation any more that was replaced or abandoned."""
    return as_json(await store.write(lambda c: retire_generation(c, line, number)))
