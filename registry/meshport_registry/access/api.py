"""Routes of access: asking for it, granting it, and who may read."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, RootModel
from sqlalchemy import Connection

from meshport.address import Address
from meshport.errors import AddressError
from meshport.grants import (
    AccessRequest,
    AclChange,
    Grant,
    GrantApproval,
    GrantedAcl,
    GrantWithdrawal,
    PlannedReader,
    PortReader,
)
from meshport.policy import MESH, Action, Resource
from meshport.product.input_port import AddressText
from meshport_registry.access.granted_acls import granted_acls, note
from meshport_registry.access.grants import ask, decide, grants, revoke
from meshport_registry.access.readers import Readings, planned_reader, port_readers
from meshport_registry.identity.caller import Caller, CurrentCaller
from meshport_registry.mesh_api import PROBLEMS, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.rights.guard import Guard
from meshport_registry.rights.known import product_at, reader_resource
from meshport_registry.state import Database
from meshport_registry.store import RegistryStore
from meshport_registry.values import BoundedRoute, RowNumber

router = APIRouter(
    route_class=BoundedRoute, dependencies=MESH_CHECKS, prefix="/api/v1/access", tags=["Access"], responses=PROBLEMS
)


class Grants(RootModel[tuple[Grant, ...]]):
    """Requests and grants, newest first."""


class PortReaders(RootModel[tuple[PortReader, ...]]):
    """Input ports, and whether they may be read."""


class GrantedAcls(RootModel[tuple[GrantedAcl, ...]]):
    """ACLs that were created for grants."""


class GrantQuery(BaseModel):
    """The query parameters of a list of grants."""

    address: AddressText | None = None
    reader: str | None = Field(default=None, description="only those of this reader")
    current: bool = Field(default=False, description="only what is requested or granted now")


class ReaderQuery(BaseModel):
    """The query parameter of a list of input ports: the product or port that they lead to."""

    address: AddressText | None = None


@router.get("", response_model=Grants)
async def list_grants(request: Request, store: Database, query: Annotated[GrantQuery, Query()]) -> Any:
    """Requests and grants, newest first."""
    policies, local = request.app.state.guard.decisions.policies, request.app.state.door is None

    def read(connection: Connection) -> tuple[Grant, ...]:
        found = grants(connection, query.address, reader=query.reader, current=query.current)
        return tuple(Readings(connection, policies, local=local).with_forbids(found))

    return as_json(Grants(await store.read(read)))


@router.post("", response_model=Grant, status_code=201)
async def request_access(request: Request, store: Database, caller: CurrentCaller, body: AccessRequest) -> Any:
    """Ask for access to a port, for the caller or for a reader that it may register."""
    return as_json(await ask_for_access(request, store, caller, body), status=201)


async def ask_for_access(request: Request, store: RegistryStore, caller: Caller, wanted: AccessRequest) -> Grant:
    """Record a request for access to a port, for the caller or for a reader that it may register.

    Raises:
        Unauthenticated, Forbidden: the caller may not ask for that reader.
        NotInMesh, RequestRefused, Conflict: see `meshport_registry.access.grants.ask`.
    """
    product = _as_product(wanted.reader) if wanted.reader else None
    reader = product.of_product.key if product else wanted.reader or caller.name
    if reader != caller.name:
        await _require_right_to_ask(request, product, wanted.address)
    return await store.write(lambda c: ask(c, wanted, reader, caller.name))


async def _require_right_to_ask(request: Request, reader: Address | None, address: Address) -> None:
    """Return if a caller may ask in the name of another reader: a product that it may register, or anyone for who administers.

    Raises:
        Unauthenticated, Forbidden: it may not.
    """
    guard: Guard = request.app.state.guard

    def read(connection: Connection) -> tuple[Resource, Resource]:
        return MESH if reader is None else reader_resource(connection, reader), product_at(connection, address)

    named, asked = await guard.decisions.store.read(read)
    await guard.require(request, Action.ADMINISTER if named == MESH else Action.REGISTER, named)
    await guard.require(request, Action.REQUEST_ACCESS, asked)  # the audit names what was asked for


def _as_product(reader: str) -> Address | None:
    """Return the address of a reader that is a product; None for a person or a service."""
    try:
        return Address.parse(reader)
    except AddressError:
        return None


@router.post("/{number}/grant", response_model=Grant)
async def grant(store: Database, caller: CurrentCaller, number: RowNumber, body: GrantApproval) -> Any:
    """Grant a request until an instant, at which it ends by itself."""
    return as_json(await store.write(lambda c: decide(c, number, body, reason=body.reason, caller=caller.name)))


@router.post("/{number}/refuse", response_model=Grant)
async def refuse(store: Database, caller: CurrentCaller, number: RowNumber, body: GrantWithdrawal) -> Any:
    """Refuse a request."""
    return as_json(await store.write(lambda c: decide(c, number, None, reason=body.reason, caller=caller.name)))


@router.post("/{number}/revoke", response_model=Grant)
async def revoke_grant(store: Database, caller: CurrentCaller, number: RowNumber, body: GrantWithdrawal) -> Any:
    """End a grant now."""
    return as_json(await store.write(lambda c: revoke(c, number, reason=body.reason, caller=caller.name)))


@router.get("/readers", response_model=PortReaders)
async def list_readers(request: Request, store: Database, query: Annotated[ReaderQuery, Query()]) -> Any:
    """The input ports of every registered product, and whether policies or a grant let its process read them."""
    policies, local = request.app.state.guard.decisions.policies, request.app.state.door is None
    return as_json(PortReaders(await store.read(lambda c: port_readers(c, policies, query.address, local=local))))


@router.post("/readers", response_model=PortReaders)
async def planned_readings(request: Request, store: Database, body: PlannedReader) -> Any:
    """The same for a product that is about to be registered. Nothing is written."""
    policies, local = request.app.state.guard.decisions.policies, request.app.state.door is None
    found = await store.read(lambda c: planned_reader(c, policies, body, local=local))
    return as_json(PortReaders(tuple(found)))


@router.get("/acls", response_model=GrantedAcls)
async def list_acls(store: Database) -> Any:
    """The ACLs that were created for grants and are not deleted."""
    return as_json(GrantedAcls(await store.read(granted_acls)))


@router.post("/acls", response_model=GrantedAcls)
async def note_acls(store: Database, body: AclChange) -> Any:
    """Note ACLs that are about to be created for grants, and such that no longer stand for one."""

    def work(connection: Connection) -> tuple[GrantedAcl, ...]:
        note(connection, body)
        return granted_acls(connection)

    return as_json(GrantedAcls(await store.write(work)))
