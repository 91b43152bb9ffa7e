"""Routes of the policies: those that decide, what was applied, and applying them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection

from meshport.catalog import AppliedPolicies, PoliciesOfScope, PolicyTexts
from meshport.policy import MESH, Action
from meshport_registry.errors import Conflict
from meshport_registry.identity.caller import Caller, CurrentCaller
from meshport_registry.mesh_api import PROBLEMS, Segment, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.rights.applied import applied_policies, apply_policies, policy_history
from meshport_registry.rights.guard import Guard
from meshport_registry.state import Database
from meshport_registry.store import RegistryStore
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute,
    dependencies=MESH_CHECKS,
    prefix="/api/v1/policies",
    tags=["Policies"],
    responses=PROBLEMS,
)


@router.get("", response_model=AppliedPolicies)
async def policies(store: Database) -> Any:
    """The policies that decide, beside the built-in ones."""
    return as_json(await store.read(applied_policies))


@router.get("/history", response_model=list[PoliciesOfScope])
async def history(store: Database, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Any:
    """What was applied, newest first."""
    return await store.read(lambda c: policy_history(c, limit=limit))


@router.put("", response_model=AppliedPolicies)
async def set_policies(request: Request, store: Database, caller: CurrentCaller, body: PolicyTexts) -> Any:
    """Replace the global policies. Refused if the caller could not do that again under them."""
    return as_json(await _apply(request, store, None, body, caller))


@router.put("/{domain}", response_model=AppliedPolicies)
async def set_domain_policies(
    request: Request, store: Database, caller: CurrentCaller, domain: Segment, body: PolicyTexts
) -> Any:
    """Replace the policies of a domain, which may speak of that domain only."""
    return as_json(await _apply(request, store, domain, body, caller))


async def _apply(
    request: Request, store: RegistryStore, domain: str | None, body: PolicyTexts, caller: Caller
) -> AppliedPolicies:
    def work(connection: Connection) -> AppliedPolicies:
        applied = apply_policies(connection, domain, body.texts, caller.name)
        context = {"by": caller.by}
        if domain is None and not applied.decide(caller.name, caller.groups, Action.ADMINISTER, MESH, context).allowed:
            raise Conflict(
                f"under these policies {caller.name} could not change them again",
                hint="a global forbid of administer has to spare who applies the policies",
            )
        return applied_policies(connection)

    found = await store.write(work)
    guard: Guard = request.app.state.guard
    await guard.decisions.refresh(within=0)
    return found
