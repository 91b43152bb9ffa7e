"""The route of the audit."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from meshport.audit import AuditPage
from meshport_registry.audit.chain import audit_page
from meshport_registry.mesh_api import PROBLEMS, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.state import Database
from meshport_registry.values import MAX_INT, BoundedRoute

router = APIRouter(
    route_class=BoundedRoute, dependencies=MESH_CHECKS, prefix="/api/v1", tags=["Audit"], responses=PROBLEMS
)


class AuditQuery(BaseModel):
    """The query parameters of a list of entries."""

    after: int = Field(default=0, ge=0, le=MAX_INT, description="only entries with a higher number")
    limit: int = Field(default=1000, ge=1, le=1000)
    since: AwareDatetime | None = Field(default=None, description="only entries of this instant or later")
    who: str | None = Field(default=None, description="only entries of this caller")
    what: str | None = Field(
        default=None, description="only entries with this action, or with this text in the resource or the detail"
    )


@router.get("/audit", response_model=AuditPage)
async def list_audit(store: Database, query: Annotated[AuditQuery, Query()]) -> Any:
    """Changes and refusals, oldest first; each with the hash of the one before."""
    return as_json(
        await store.read(
            lambda c: audit_page(
                c, after=query.after, limit=query.limit, since=query.since, who=query.who, what=query.what
            )
        )
    )
