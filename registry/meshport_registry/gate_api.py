"""The gate's part of the mesh API: verdicts without a registration, what they are judged by, and waivers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from meshport.address import Address
from meshport.catalog import ProductPast, ProductRegistration, Waiver, WaiverRequest
from meshport.compat import RULES, Direction, Severity, Verdict
from meshport.product.descriptor import AddressText
from meshport.product.lines import utc_today
from meshport_registry.declaration import declared, unmatched
from meshport_registry.errors import Refused
from meshport_registry.gate import judge, product_past
from meshport_registry.mesh_api import Database, Problem, Word, as_json
from meshport_registry.waivers import record, revoke, waivers

router = APIRouter(
    prefix="/api/v1",
    tags=["Gate"],
    responses={404: {"model": Problem}, 422: {"model": Problem}},
)


class Verdicts(BaseModel):
    """What `POST /api/v1/gate/check` answers.

    Attributes:
        verdicts: on each port of the declaration, then on each that it drops.
    """

    verdicts: tuple[Verdict, ...]


class RuleFacts(BaseModel):
    """A row of the gate's table.

    Attributes:
        id: as findings and waivers name it.
        purpose: what it keeps, in one line.
        breaks: who would break without it.
        severity: an error refuses, a warning is told.
        waivable: whether a waiver lets it pass.
        manual: why it is so, and what to do.
    """

    id: str
    purpose: str
    breaks: tuple[Direction, ...]
    severity: Severity
    waivable: bool
    manual: str


class WaiverQuery(BaseModel):
    """What a list of waivers is narrowed to: a product, one of its ports, or one major of it."""

    address: AddressText | None = None


@router.post("/gate/check", response_model=Verdicts)
async def check(store: Database, body: ProductRegistration) -> Any:
    """The verdict on every port of a product, whether it passes or not; nothing is written."""
    wanted = await store.compute(lambda: declared(body))
    if findings := tuple(unmatched(wanted)):
        raise Refused(f"{wanted.product.address} cannot be judged: {findings[0]}", findings=findings)
    today = utc_today()
    judgement = await store.read(lambda c: judge(c, wanted, today))
    return as_json(Verdicts(verdicts=judgement.verdicts))


@router.get("/gate/past/{domain}/{product}", response_model=ProductPast)
async def past(store: Database, domain: Word, product: Word) -> Any:
    """Whatever a change of a product is judged by: contracts, versions, readers, waivers."""
    address = Address(domain, product)
    return as_json(await store.read(lambda c: product_past(c, address)))


@router.get("/gate/rules", response_model=list[RuleFacts])
async def rules() -> Any:
    """Every rule, in the order in which they are asked."""
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
async def record_waiver(store: Database, body: WaiverRequest) -> Any:
    """Record that one change of one port is to pass until a day, and who approved it."""
    today = utc_today()
    return as_json(await store.write(lambda c: record(c, body, today)), status=201)


@router.get("/waivers", response_model=list[Waiver])
async def list_waivers(store: Database, wanted: Annotated[WaiverQuery, Query()]) -> Any:
    """Every waiver that was ever recorded, newest first; of one product or port where an address is given."""
    return await store.read(lambda c: waivers(c, wanted.address))


@router.post("/waivers/{number}/revoke", response_model=Waiver)
async def revoke_waiver(store: Database, number: int) -> Any:
    """Take a waiver back."""
    return as_json(await store.write(lambda c: revoke(c, number)))
