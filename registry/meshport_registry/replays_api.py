"""Routes of replay jobs: starting, approving, pausing, cancelling and listing them, and what their processes report."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field, RootModel

from meshport.policy import Action
from meshport.product.input_port import AddressText
from meshport.replay_jobs import ReplayJob, ReplayProgress, ReplayReason, ReplayRequest
from meshport_registry.errors import Forbidden
from meshport_registry.identity.caller import Caller, CurrentCaller
from meshport_registry.mesh_api import PROBLEMS, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.replays import approve, cancel, find, jobs, note_progress, pause, resume, start
from meshport_registry.rights.guard import Guard
from meshport_registry.rights.known import product_of_replay
from meshport_registry.rights.visible import SeenProducts
from meshport_registry.state import Database
from meshport_registry.store import RegistryStore
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute, dependencies=MESH_CHECKS, prefix="/api/v1/replays", tags=["Replays"], responses=PROBLEMS
)
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
"""The id of a job in the path of a request."""


class ReplayJobs(RootModel[tuple[ReplayJob, ...]]):
    """Replay jobs, newest first."""


class ReplayQuery(BaseModel):
    """The query parameters of a list of replay jobs."""

    address: AddressText | None = None
    ended: bool = Field(default=False, description="also those that are complete or cancelled")
    limit: int = Field(default=1000, ge=1, le=1000)


@router.get("", response_model=ReplayJobs)
async def list_replays(store: Database, seen: SeenProducts, query: Annotated[ReplayQuery, Query()]) -> Any:
    """Replay jobs of products that the caller may discover, newest first."""
    found = await store.read(lambda c: jobs(c, query.address, ended=query.ended, limit=query.limit, seen=seen))
    return as_json(ReplayJobs(found))


@router.post("", response_model=ReplayJob, status_code=201)
async def start_replay(store: Database, caller: CurrentCaller, body: ReplayRequest) -> Any:
    """Start a replay of a port that the caller may read. It waits for the owner where the port says so."""
    return as_json(await store.write(lambda c: start(c, body, caller)), status=201)


@router.get("/{job}", response_model=ReplayJob)
async def replay_job(store: Database, job: JobId) -> Any:
    """Return a replay job."""
    return as_json(await store.read(lambda c: find(c, job)))


@router.post("/{job}/approve", response_model=ReplayJob)
async def approve_replay(store: Database, caller: CurrentCaller, job: JobId) -> Any:
    """Let a job run that waits for that, as an owner of the product."""
    return as_json(await store.write(lambda c: approve(c, job, caller)))


@router.post("/{job}/pause", response_model=ReplayJob)
async def pause_replay(request: Request, store: Database, caller: CurrentCaller, job: JobId) -> Any:
    """Have the process that runs a job wait, as the caller who started it or an owner of the product."""
    await _insist_on_own(request, store, caller, job)
    return as_json(await store.write(lambda c: pause(c, job)))


@router.post("/{job}/resume", response_model=ReplayJob)
async def resume_replay(request: Request, store: Database, caller: CurrentCaller, job: JobId) -> Any:
    """Let a job that is paused go on, as the caller who started it or an owner of the product."""
    await _insist_on_own(request, store, caller, job)
    return as_json(await store.write(lambda c: resume(c, job)))


@router.post("/{job}/cancel", response_model=ReplayJob)
async def cancel_replay(
    request: Request, store: Database, caller: CurrentCaller, job: JobId, body: ReplayReason
) -> Any:
    """End a job, as the caller who started it or an owner of the product."""
    await _insist_on_own(request, store, caller, job)
    return as_json(await store.write(lambda c: cancel(c, job, body.reason, caller)))


@router.put("/{job}/progress", response_model=ReplayJob)
async def report_replay(store: Database, caller: CurrentCaller, job: JobId, body: ReplayProgress) -> Any:
    """Note how far a job came, as the caller who started it; the answer says whether it is to wait or to end."""
    found = await store.read(lambda c: find(c, job))
    if found.asked_by != caller.name:
        raise Forbidden(f"{found.asked_by} started the replay {job}", hint="who started it runs it")
    return as_json(await store.write(lambda c: note_progress(c, job, body)))


async def _insist_on_own(request: Request, store: RegistryStore, caller: Caller, job: str) -> None:
    """Return if a caller started a job, or may change the product that it replays.

    Raises:
        NotInMesh: there is no such job.
        Unauthenticated, Forbidden: neither is so.
    """
    found = await store.read(lambda c: find(c, job))
    if found.asked_by != caller.name:
        guard: Guard = request.app.state.guard
        await guard.require(request, Action.REGISTER, await store.read(lambda c: product_of_replay(c, job)))
