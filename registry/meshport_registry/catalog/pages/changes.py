"""The forms of the catalog: what a person with the right to it changes, by the same functions and rights as the API.

Each form is answered with the page of what is going on at the product, which says what was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection
from starlette.responses import Response

from meshport.address import Address
from meshport.catalog import Deprecation, Retirement, WaiverRequest
from meshport.grants import Grant, GrantApproval, GrantWithdrawal
from meshport.product.lines import utc_today
from meshport.rfc3339 import day
from meshport_registry.access.grants import decide, revoke
from meshport_registry.catalog.frame import SECURITY_HEADERS
from meshport_registry.catalog.retirement import forced_readers, retired_address
from meshport_registry.catalog.routing import Form, page_router
from meshport_registry.catalog.words import page_of
from meshport_registry.errors import InvalidRequest
from meshport_registry.identity.caller import CurrentCaller
from meshport_registry.lifecycle import activate, deprecate, retire
from meshport_registry.mesh_api import Segment
from meshport_registry.products import require_address
from meshport_registry.state import Database
from meshport_registry.values import RowNumber
from meshport_registry.waivers import record

router = page_router()

_Body = TypeVar("_Body", bound=BaseModel)


@router.post("/catalog/activity/{domain}/{product}/deprecate")
async def deprecate_product(store: Database, domain: Segment, product: Segment, fields: Form) -> Response:
    """Deprecate a product, or change the day and the successor."""
    address = Address(domain, product)
    wanted = _read(Deprecation, fields, "on", "successor")
    await store.write(lambda c: deprecate(c, _guid(c, address), wanted))
    return _done(address, "deprecated")


@router.post("/catalog/activity/{domain}/{product}/activate")
async def activate_product(store: Database, domain: Segment, product: Segment, _fields: Form) -> Response:
    """Undo a deprecation."""
    address = Address(domain, product)
    await store.write(lambda c: activate(c, _guid(c, address)))
    return _done(address, "activated")


@router.post("/catalog/activity/{domain}/{product}/retire")
async def retire_product(store: Database, domain: Segment, product: Segment, fields: Form) -> Response:
    """Retire a product, or a line of it, whose address was typed. A product that reads it and is not forced prevents that."""
    address = Address(domain, product)
    retired = retired_address(address, fields)
    given = {"port": fields.get("line"), "successor": fields.get("successor"), "force": forced_readers(fields)}
    wanted = _read(Retirement, given, "port", "successor", "force")
    await store.write(lambda c: retire(c, _guid(c, address), wanted))
    return _done(address, "retired" if retired == address else "line-retired")


@router.post("/catalog/activity/{domain}/{product}/waive")
async def waive(store: Database, caller: CurrentCaller, domain: Segment, product: Segment, fields: Form) -> Response:
    """Record a waiver of one change of a port."""
    address = Address(domain, product)
    given = {"address": f"{address}/{fields.get('line', '')}"}
    wanted = _read(WaiverRequest, given | fields, "address", "rule", "path", "approver", "reason", "until")
    await store.write(lambda c: record(c, wanted, utc_today(), caller))
    return _done(address, "waived")


@router.post("/catalog/grants/{number}/grant")
async def grant(store: Database, caller: CurrentCaller, number: RowNumber, fields: Form) -> Response:
    """Grant a request through a day."""
    body = _read(GrantApproval, _until(fields), "until", "reason")
    found = await store.write(lambda c: decide(c, number, body, reason=body.reason, caller=caller.name))
    return _decided(found, "granted")


@router.post("/catalog/grants/{number}/refuse")
async def refuse(store: Database, caller: CurrentCaller, number: RowNumber, fields: Form) -> Response:
    """Refuse a request."""
    body = _read(GrantWithdrawal, fields, "reason")
    found = await store.write(lambda c: decide(c, number, None, reason=body.reason, caller=caller.name))
    return _decided(found, "refused")


@router.post("/catalog/grants/{number}/revoke")
async def revoke_grant(store: Database, caller: CurrentCaller, number: RowNumber, fields: Form) -> Response:
    """End a grant now."""
    body = _read(GrantWithdrawal, fields, "reason")
    found = await store.write(lambda c: revoke(c, number, reason=body.reason, caller=caller.name))
    return _decided(found, "revoked")


def _guid(connection: Connection, address: Address) -> str:
    return str(require_address(connection, address).guid)


def _read(model: type[_Body], fields: Mapping[str, Any], *names: str) -> _Body:
    """Return what a form asks for, as the API's own model of it; a field that is left empty is not given.

    Raises:
        InvalidRequest: a field is missing or wrong.
    """
    try:
        return model.model_validate({name: fields[name] for name in names if fields.get(name)})
    except ValidationError as error:
        findings = tuple(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise InvalidRequest(f"the form cannot be taken: {findings[0]}", findings=findings) from error


def _until(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a form whose day `until` is the instant at which that day is over (UTC).

    Raises:
        InvalidRequest: it is no day.
    """
    text = fields.get("until")
    if not text:
        return dict(fields)
    try:
        last = day(text)
        return {**fields, "until": datetime.combine(last + timedelta(days=1), time(), UTC)}
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"{text[:40]!r} is no day", hint="write it as 2027-12-31") from error


def _decided(found: Grant, done: str) -> Response:
    return _done(found.address.of_product, done)


def _done(address: Address, done: str) -> Response:
    """Return the way back to the page of what is going on, which shows what was done."""
    path = f"{page_of(address, 'activity')}?done={done}"
    headers = SECURITY_HEADERS | {"location": path, "cache-control": "no-store"}
    return Response(status_code=HTTPStatus.SEE_OTHER, headers=headers)
