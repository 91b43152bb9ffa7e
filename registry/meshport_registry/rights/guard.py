"""The guard of the routes: each request is decided about before its route does anything."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache, partial
from typing import Any, Final, TypeVar
from urllib.parse import unquote
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy import Connection
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from meshport.address import Address
from meshport.catalog import ProductRegistration, WaiverRequest
from meshport.errors import AddressError
from meshport.grants import AccessRequest
from meshport.policy import MESH, Action, Decision, ProductResource, Resource, written
from meshport.problems import ProblemReportRequest
from meshport.product import Product
from meshport.replay_jobs import ReplayRequest
from meshport_registry.audit import audited_call
from meshport_registry.errors import Forbidden, Unauthenticated
from meshport_registry.identity.caller import ANONYMOUS, Caller
from meshport_registry.products import descriptor_of, find_address
from meshport_registry.rights.decisions import LONGEST_LAG_S, Decisions
from meshport_registry.rights.known import (
    domain_resource,
    owners_of,
    product_at,
    product_of_grant,
    product_of_guid,
    product_of_problem,
    product_of_replay,
    product_of_waiver,
    subject_resource,
)
from meshport_registry.rights.route_table import ROUTES, About, RouteRight
from meshport_registry.store import Work
from meshport_registry.subject_names import DEFAULT_CONTEXT, GLOBAL_CONTEXT, read_subject
from meshport_registry.values import RowNumber

_Body = TypeVar("_Body", bound=BaseModel)
READING: Final = frozenset({Action.PROBE, Action.DISCOVER, Action.AUDIT, Action.OBSERVE, Action.WRITE})
"""The actions that change nothing that anybody declared. A report of what was measured, or of how many events a source has, has
no entry in the audit."""
_TRUE: Final = frozenset({"true", "1", "yes", "on", "y", "t"})


class Guard:
    """Decides about each request by the row of its route.

    Args:
        decisions: the decisions of this process.
    """

    def __init__(self, decisions: Decisions) -> None:
        self.decisions = decisions

    async def admit(self, request: Request, path: str) -> None:
        """Return if the caller may do what it asks for.

        Args:
            request: its body is read if the row of the route says that the body names what it is about.
            path: of the route, as it is declared: with its parameters and their converters in braces.

        Raises:
            Unauthenticated: the caller is not known, and the policies do not permit it to every caller.
            Forbidden: the caller is known, and no policy permits it, or one forbids it.
        """
        row = ROUTES.get((request.method, path))
        if row is None:
            raise Forbidden(
                f"{request.method} {path} is not in the table of rights", hint="add it to rights/route_table.py"
            )
        caller: Caller = request.scope["state"]["caller"]
        action = row.dry if row.dry is not None and _is_dry(request) else row.action
        reads = action in READING
        await self.decisions.refresh(within=LONGEST_LAG_S if reads or self.decisions.knows_local(caller) else 0)
        if reads and self.decisions.knows_local(caller):
            return  # the resource decides nothing, and a read has no entry in the audit
        resource = await self._resource(request, row)
        if resource is None:  # a body that the route refuses as well
            action, resource = Action.DISCOVER, MESH
        await self.require(request, action, resource)

    async def require(self, request: Request, action: Action, resource: Resource) -> None:
        """Return if the caller of a request may do something; for routes that do more than their row says.

        Raises:
            Unauthenticated, Forbidden: as `admit` does.
        """
        caller: Caller = request.scope["state"]["caller"]
        decision = await self.decisions.decide(caller, action, resource)
        audited_call(request.scope).judged(str(action), written(resource), decision.version)
        if not decision.allowed:
            raise refusal(caller, action, resource, decision)

    async def may(self, caller: Caller, address: Address | None) -> bool:
        """Return whether a caller may discover a product, or the mesh for None; for the fast path.

        Raises:
            StoreFailed: the database did not answer.
        """
        await self.decisions.refresh()
        if self.decisions.knows_local(caller):
            return True
        resource = MESH if address is None else await self._at(address)
        return (await self.decisions.decide(caller, Action.DISCOVER, resource)).allowed

    async def may_do(self, request: Request, action: Action, address: Address) -> bool:
        """Return whether the caller of a request may do something with a product, which is registered."""
        caller: Caller = request.scope["state"]["caller"]
        if self.decisions.knows_local(caller):
            return True
        return (await self.decisions.decide(caller, action, await self._at(address))).allowed

    async def _at(self, address: Address) -> Resource:
        key = ("address", address.domain, address.product)
        return await self.decisions.resource(key, lambda connection: product_at(connection, address))

    async def _resource(self, request: Request, row: RouteRight) -> Resource | None:
        """Return what a request is about; None where its body cannot be read, which the route refuses."""
        parts = request.path_params
        match row.about:
            case About.MESH:
                return MESH
            case About.ADDRESS:
                return await self._product(parts["domain"], parts["product"])
            case About.GUID:
                guid = _as_route(UUID, parts["guid"])
                return (
                    MESH
                    if guid is None
                    else await self._known(("guid", guid), partial(product_of_guid, guid=str(guid)))
                )
            case About.DOMAIN:
                domain = unquote(parts["domain"])
                return await self._known(("domain", domain), partial(domain_resource, domain=domain))
            case About.SUBJECT:
                return await self._subject(unquote(parts["subject"]))
            case About.DECLARATION:
                declared = await _body(request, ProductRegistration)
                return None if declared is None else await self._declared(declared.descriptor)
            case About.WAIVED:
                waived = await _body(request, WaiverRequest)
                return None if waived is None else await self._at(waived.address)
            case About.ASKED:
                asked = await _body(request, AccessRequest)
                return None if asked is None else await self._at(asked.address)
            case About.GRANT:
                number = _as_route(RowNumber, parts["number"])
                if number is None:
                    return MESH
                return await self._known(("grant", number), partial(product_of_grant, number=number))
            case About.REPORTED:
                report = await _body(request, ProblemReportRequest)
                return None if report is None else await self._at(report.address)
            case About.PROBLEM:
                number = _as_route(RowNumber, parts["number"])
                if number is None:
                    return MESH
                return await self.decisions.store.read(partial(product_of_problem, number=number))
            case About.REPLAYED:
                replayed = await _body(request, ReplayRequest)
                return None if replayed is None else await self._at(replayed.address)
            case About.REPLAY:
                return await self.decisions.store.read(partial(product_of_replay, job=unquote(parts["job"])))
            case About.WAIVER:
                number = _as_route(RowNumber, parts["number"])
                if number is None:
                    return MESH
                return await self._known(("waiver", number), partial(product_of_waiver, number=number))

    async def _product(self, domain: str, product: str) -> Resource:
        try:
            return await self._at(Address(unquote(domain), unquote(product)))
        except AddressError:
            return MESH  # no product has such an address

    async def _known(self, key: Hashable, read: Work[Resource]) -> Resource:
        return await self.decisions.resource(key, read)

    async def _subject(self, text: str) -> Resource:
        if text in {DEFAULT_CONTEXT, GLOBAL_CONTEXT}:
            return MESH  # its level and mode are those of every subject
        name = read_subject(text)
        return await self._known(("subject", name), partial(subject_resource, name=name))

    async def _declared(self, product: Product) -> Resource:
        return await self.decisions.store.read(lambda connection: declared_resource(connection, product))


def declared_resource(connection: Connection, product: Product) -> Resource:
    """Return the product that a declaration would change, as it is registered, so that no declaration makes its caller an owner.

    Where the address is not registered, it is the product as it is declared, in the hands of the domain's owners; of its own
    where the domain has no product yet. An id of another product is a conflict for every caller.
    """
    found = find_address(connection, product.address)
    registered = product if found is None else descriptor_of(found)
    return ProductResource.of(registered, domain_owners=owners_of(connection, product.address.domain))


def refusal(caller: Caller, action: Action, resource: Resource, decision: Decision) -> Unauthenticated | Forbidden:
    """Return the error of what was not allowed."""
    what = f"{action} of {written(resource)}"
    if caller == ANONYMOUS:
        return Unauthenticated(
            f"who asks is not known, and {what} is for known callers",
            hint="log in: an API key, a token or a client certificate",
        )
    if decision.policies:
        return Forbidden(f"{', '.join(decision.policies)} forbids {caller.name} the {what}")
    groups = ", ".join(sorted(caller.groups)) or "no group"
    return Forbidden(
        f"no policy permits {caller.name} (in {groups}) the {what}",
        hint=f"`meshport policy explain {caller.name} {action}` says which policies there are",
    )


async def _body(request: Request, model: type[_Body]) -> _Body | None:
    """Return the body of a request as the route's own model of it; None where it is not that, which the route refuses."""
    try:
        data: Any = await request.json()
        return model.model_validate(data)
    except (ValidationError, ValueError):
        return None


def _as_route(kind: Any, text: str) -> Any:
    """Return a parameter of the path as the route reads it; None where it does not, which the route refuses."""
    try:
        return _adapter(kind).validate_python(text)
    except ValidationError:
        return None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _is_dry(request: Request) -> bool:
    """Whether `dry_run` is set. Of several values the framework takes the last one."""
    values = request.query_params.getlist("dry_run")
    return bool(values) and values[-1].lower() in _TRUE


def guard_page(route: Route) -> None:
    """Have a route that is not of the APIs, such as `/docs`, admit its callers as those of the APIs do."""
    answer = route.app

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        guard: Guard = scope["app"].state.guard
        await guard.admit(Request(scope, receive), route.path)
        await answer(scope, receive, send)

    route.app = guarded
