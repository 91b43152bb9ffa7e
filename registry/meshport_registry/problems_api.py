"""Routes of problem reports: opening, answering, closing and listing them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, RootModel

from meshport.problems import ProblemAnswerText, ProblemClosing, ProblemReport, ProblemReportRequest
from meshport.product.input_port import AddressText
from meshport_registry.identity.caller import CurrentCaller
from meshport_registry.mesh_api import PROBLEMS, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.problems import answer_report, close_report, open_report, reports, withdraw_report
from meshport_registry.rights.visible import SeenProducts
from meshport_registry.state import Database
from meshport_registry.values import BoundedRoute, RowNumber

router = APIRouter(
    route_class=BoundedRoute, dependencies=MESH_CHECKS, prefix="/api/v1/problems", tags=["Problems"], responses=PROBLEMS
)


class ProblemReports(RootModel[tuple[ProblemReport, ...]]):
    """Problem reports, newest first."""


class ProblemQuery(BaseModel):
    """The query parameters of a list of problem reports."""

    address: AddressText | None = None
    closed: bool = Field(default=False, description="also those that are closed")
    limit: int = Field(default=1000, ge=1, le=1000)


@router.get("", response_model=ProblemReports)
async def list_problems(store: Database, seen: SeenProducts, query: Annotated[ProblemQuery, Query()]) -> Any:
    """Problem reports on products that the caller may discover, newest first."""
    found = await store.read(lambda c: reports(c, query.address, closed=query.closed, limit=query.limit, seen=seen))
    return as_json(ProblemReports(found))


@router.post("", response_model=ProblemReport, status_code=201)
async def open_problem(store: Database, caller: CurrentCaller, body: ProblemReportRequest) -> Any:
    """Report a problem of a product that the caller may read."""
    return as_json(await store.write(lambda c: open_report(c, body, caller)), status=201)


@router.post("/{number}/answer", response_model=ProblemReport)
async def answer_problem(store: Database, caller: CurrentCaller, number: RowNumber, body: ProblemAnswerText) -> Any:
    """Answer a report, as an owner of the product."""
    return as_json(await store.write(lambda c: answer_report(c, number, body.text, caller)))


@router.post("/{number}/close", response_model=ProblemReport)
async def close_problem(store: Database, caller: CurrentCaller, number: RowNumber, body: ProblemClosing) -> Any:
    """Close a report, as an owner of the product."""
    return as_json(await store.write(lambda c: close_report(c, number, body.reason, caller)))


@router.post("/{number}/withdraw", response_model=ProblemReport)
async def withdraw_problem(store: Database, caller: CurrentCaller, number: RowNumber, body: ProblemClosing) -> Any:
    """Close a report that the caller has opened."""
    return as_json(await store.write(lambda c: withdraw_report(c, number, body.reason, caller)))
