"""Routes of the gate: verdicts without a registration, what the gate judges by, its rules, and waivers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from meshport.address import Address
from meshport.catalog import ProductPast, ProductRegistration, Waiver, WaiverRequest
from meshport.compat import RULES, Direction, Severity, Verdict
from meshport.compat.port_history import PortVersions, VersionComparison
from meshport.product.input_port import AddressText
from meshport.product.lines import utc_today
from meshport_registry.errors import RequestRefused
from meshport_registry.gate import gate_judgement, product_past
from meshport_registry.identity.caller import CurrentCaller
from meshport_registry.mesh_api import PROBLEMS, Line, Segment, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.port_versions import plan_comparison, port_versions
from meshport_registry.product_declaration import read_declaration, unmatched
from meshport_registry.rights.visible import SeenProducts
from meshport_registry.state import Database
from meshport_registry.values import MAX_INT, BoundedRoute, RowNumber
from meshport_registry.waivers import record, revoke, waivers

OtherVersion = Annotated[
    int | None, Query(ge=1, le=MAX_INT, description="the other version; by default the one before")
]
"""The version that another one is compared with."""

router = APIRouter(
    route_class=BoundedRoute,
    dependencies=MESH_CHECKS,
    prefix="/api/v1",
    tags=["Gate"],
    responses=PROBLEMS,
)


class Verdicts(BaseModel):
    """The body of the response to `POST /api/v1/gate/check`.

    Attributes:
        verdicts: on each port of the declaration, then on each registered port that it drops.
    """

    verdicts: tuple[Verdict, ...]


class RuleFacts(BaseModel):
    """One rule of the gate.

    Attributes:
        id: the id that findings and waivers name.
        purpose: what the rule protects, in one line.
        breaks: the directions of compatibility that it protects.
        severity: an error refuses a change, a warning is reported and lets it pass.
        waivable: whether a waiver can let the change pass.
        manual: the manual page: the reason for the rule, and what to do.
    """

    id: str
    purpose: str
    breaks: tuple[Direction, ...]
    severity: Severity
    waivable: bool
    manual: str


class WaiverQuery(BaseModel):
    """The query parameter of a list of waivers: the address of a product, a port, or a line of a port."""

    address: AddressText | None = None


@router.post("/gate/check", response_model=Verdicts)
async def check(store: Database, body: ProductRegistration) -> Any:
    """The verdict on every port of a product, whether it passes or not. Nothing is written."""
    declaration = await read_declaration(store, body)
    if findings := tuple(unmatched(declaration)):
        raise RequestRefused(f"{declaration.product.address} cannot be judged: {findings[0]}", findings=findings)
    today = utc_today()
    judgement = await store.read(lambda c: gate_judgement(c, declaration, today))
    return as_json(Verdicts(verdicts=await store.judge(judgement)))


@router.get("/gate/past/{domain}/{product}", response_model=ProductPast)
async def past(store: Database, domain: Segment, product: Segment) -> Any:
    """What the gate judges a change of a product by: contracts, versions, readers and waivers."""
    address = Address(domain, product)
    return as_json(await store.read(lambda c: product_past(c, address)))


@router.get("/versions/{domain}/{product}/{port}", response_model=PortVersions)
async def versions(store: Database, line: Line) -> Any:
    """The versions of a port's contract, newest first, and its waivers."""
    return as_json(await store.read(lambda c: port_versions(c, line)))


@router.get("/versions/{domain}/{product}/{port}/{number}", response_model=VersionComparison)
async def compare_versions(store: Database, line: Line, number: RowNumber, against: OtherVersion = None) -> Any:
    """What changed between two versions of a port's contract, in words, and the gate's verdict of then."""
    planned = await store.read(lambda c: plan_comparison(c, line, number, against))
    return as_json(planned.result(await store.judge(planned.judgement)))


@router.get("/gate/rules", response_model=list[RuleFacts])
async def rules() -> Any:
    """Every rule, in the order in which the gate applies them."""
    return [
        RuleFacts(
            id=each.id,
            purpose=each.purpose,
            breaks=each.breaks,
            severity=each.severity,
            waivable=each.waivable,
            manual=each.manual,
        )
        for each in RULES.values()
    ]


@router.post("/waivers", response_model=Waiver, status_code=201)
async def record_waiver(store: Database, caller: CurrentCaller, body: WaiverRequest) -> Any:
    """Record a waiver: one change of one port that is to pass through a day. Its approver is the caller, if it is known."""
    today = utc_today()
    return as_json(await store.write(lambda c: record(c, body, today, caller)), status=201)


@router.get("/waivers", response_model=list[Waiver])
async def list_waivers(store: Database, seen: SeenProducts, wanted: Annotated[WaiverQuery, Query()]) -> Any:
    """Every waiver that was ever recorded, newest first; with an address, those of one product, port or line."""
    found = await store.read(lambda c: waivers(c, wanted.address))
    return found if seen is None else [each for each in found if each.address.of_product.key in seen]


@router.post("/waivers/{number}/revoke", response_model=Waiver)
async def revoke_waiver(store: Database, number: RowNumber) -> Any:
    """Revoke a waiver."""
    return as_json(await store.write(lambda c: revoke(c, number)))
