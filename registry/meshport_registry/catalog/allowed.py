"""What the caller of a page may do with a product, so that a page offers nothing that would be refused."""

from __future__ import annotations

from functools import partial
from typing import Final

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request

from meshport.address import Address
from meshport.policy import MESH, Action, Resource
from meshport_registry.identity.caller import Caller
from meshport_registry.rights.guard import Guard
from meshport_registry.rights.known import domain_resource, product_at

_OF_PRODUCT: Final = (Action.RETIRE, Action.WAIVE, Action.REQUEST_ACCESS, Action.GRANT)


class AllowedActions(BaseModel):
    """What a caller may do; the route of each action decides again.

    Attributes:
        retire: deprecate or retire the product, or undo a deprecation.
        waive: approve a breaking change of a port.
        ask: ask for access to a port.
        grant: grant, refuse or revoke access.
        audit: read the audit.
    """

    model_config = ConfigDict(frozen=True)

    retire: bool = False
    waive: bool = False
    ask: bool = False
    grant: bool = False
    audit: bool = False


async def may_do(request: Request, action: Action, address: Address) -> bool:
    """Return whether the caller of a page may do something with a product, which is registered."""
    guard: Guard = request.app.state.guard
    return await guard.may_do(request, action, address)


async def may_administer(request: Request, domain: str) -> bool:
    """Return whether the caller of a page may administer a domain: its policies, and its terms in the glossary."""
    guard: Guard = request.app.state.guard
    caller: Caller = request.scope["state"]["caller"]
    if guard.decisions.knows_local(caller):
        return True
    resource = await guard.decisions.resource(("domain", domain), partial(domain_resource, domain=domain))
    return (await guard.decisions.decide(caller, Action.ADMINISTER, resource)).allowed


async def allowed_actions(request: Request, address: Address) -> AllowedActions:
    """Return what the caller of a page may do with a product.

    Args:
        request: of the page.
        address: of the product, which is registered.
    """
    guard: Guard = request.app.state.guard
    caller: Caller = request.scope["state"]["caller"]
    key = ("address", address.domain, address.product)
    resource = await guard.decisions.resource(key, partial(product_at, address=address))

    async def may(action: Action, about: Resource) -> bool:
        return guard.decisions.knows_local(caller) or (await guard.decisions.decide(caller, action, about)).allowed

    retire, waive, ask, grant = [await may(action, resource) for action in _OF_PRODUCT]
    return AllowedActions(retire=retire, waive=waive, ask=ask, grant=grant, audit=await may(Action.AUDIT, MESH))
