"""The page of the problems of a product, and its forms: readers report, owners answer and close."""

from __future__ import annotations

from http import HTTPStatus
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from meshport.address import Address
from meshport.policy import Action
from meshport.problems import ProblemAnswerText, ProblemClosing, ProblemReport, ProblemReportRequest
from meshport_registry.catalog.allowed import may_do
from meshport_registry.catalog.frame import SECURITY_HEADERS, PageView, show
from meshport_registry.catalog.heading import ProductHeading, product_at
from meshport_registry.catalog.routing import Form, page_router
from meshport_registry.catalog.words import page_of
from meshport_registry.errors import InvalidRequest
from meshport_registry.identity.caller import CurrentCaller
from meshport_registry.mesh_api import Segment
from meshport_registry.problems import answer_report, close_report, open_report, reports
from meshport_registry.state import Database
from meshport_registry.values import RowNumber

_REPORTS = 100

router = page_router()

_Body = TypeVar("_Body", bound=BaseModel)


class ProblemsView(PageView):
    """The problems of a product.

    Attributes:
        reports: the newest ones, closed ones too.
        may_report: whether the caller may open one.
        may_answer: whether the caller may answer and close.
    """

    title: str
    product: ProductHeading
    reports: tuple[ProblemReport, ...]
    may_report: bool
    may_answer: bool


@router.get("/catalog/problems/{domain}/{product}")
async def problems(request: Request, store: Database, domain: Segment, product: Segment) -> Response:
    """Show what was reported of a product, and what its owner says."""
    address = Address(domain, product)
    heading, _ = await store.read(lambda c: product_at(c, domain, product))
    found = await store.read(lambda c: reports(c, address, limit=_REPORTS))
    view = ProblemsView(
        title=f"Problems of {heading.display_name}",
        product=heading,
        reports=found,
        may_report=await may_do(request, Action.READ, address),
        may_answer=await may_do(request, Action.REGISTER, address),
    )
    return await show(request, "problems.html", view)


@router.post("/catalog/problems/{domain}/{product}")
async def report(store: Database, caller: CurrentCaller, domain: Segment, product: Segment, fields: Form) -> Response:
    """Report a problem of a product."""
    address = Address(domain, product)
    given = {"address": str(address), "title": fields.get("title", ""), "text": fields.get("text") or None}
    wanted = _read(ProblemReportRequest, given)
    await store.write(lambda c: open_report(c, wanted, caller))
    return _shown(address)


@router.post("/catalog/reports/{number}/answer")
async def answer(store: Database, caller: CurrentCaller, number: RowNumber, fields: Form) -> Response:
    """Answer a report."""
    wanted = _read(ProblemAnswerText, {"text": fields.get("text", "")})
    done = await store.write(lambda c: answer_report(c, number, wanted.text, caller))
    return _shown(done.address)


@router.post("/catalog/reports/{number}/close")
async def close(store: Database, caller: CurrentCaller, number: RowNumber, fields: Form) -> Response:
    """Close a report."""
    wanted = _read(ProblemClosing, {"reason": fields.get("text", "")})
    done = await store.write(lambda c: close_report(c, number, wanted.reason, caller))
    return _shown(done.address)


def _read(model: type[_Body], fields: dict[str, str | None]) -> _Body:
    """Return what a form says.

    Raises:
        InvalidRequest: a field is missing or cannot be read.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        wrong = tuple(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        raise InvalidRequest(f"the form is not complete: {wrong[0]}", findings=wrong) from error


def _shown(address: Address) -> Response:
    headers = SECURITY_HEADERS | {"location": page_of(address, "problems")}
    return Response(status_code=HTTPStatus.SEE_OTHER, headers=headers)
