"""Which products each caller may discover, so that a list of products has no others.

Where no policy makes a difference between products, nothing is read or decided. Otherwise the products are kept in memory as
policies see them, and what has changed is read before each list. A decision takes 50 microseconds, which is half a second for
10,000 products. So one is made for all products of a domain that differ in nothing but their name, and one for each product that
a policy names, or whose name is the caller's.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, NamedTuple

import orjson
from fastapi import Depends, Request
from sqlalchemy import Connection, select

from meshport.policy import Action, PolicySet, ProductResource
from meshport_registry import tables
from meshport_registry.access.grants import readers_by_product
from meshport_registry.identity.caller import Caller
from meshport_registry.lifecycle import revision
from meshport_registry.removal import last_removal
from meshport_registry.rights.decisions import Decisions, decision
from meshport_registry.store import RegistryStore

Seen = Set[str] | None
"""The products that a caller may discover, each as `<domain>/<product>`; None for all."""

# Callers of whom it is kept what they see: about a megabyte each, of 10,000 products.
_MOST_CALLERS: Final = 32
_OWN: Final = tables.product.c
_CHANGED: Final = select(
    _OWN.guid, _OWN.domain, _OWN.name, _OWN.owner, _OWN.archetype, _OWN.status, _OWN.descriptor
).order_by(_OWN.revision)
_OWNERS: Final = select(_OWN.domain, _OWN.owner).distinct()


class VisibleProducts:
    """Knows which products callers may discover. Use it on the event loop only.

    Args:
        store: the database.
        decisions: of this process.
    """

    def __init__(self, store: RegistryStore, decisions: Decisions) -> None:
        self._store = store
        self._decisions = decisions
        self._products = _Products()
        self._sights: OrderedDict[Caller, _Sight] = OrderedDict()
        self._turn = asyncio.Lock()

    async def of(self, caller: Caller) -> Seen:
        """Return the products that a caller may discover; a product that is registered later is not among them.

        Raises:
            StoreFailed: the database did not answer.
        """
        await self._decisions.refresh()
        if await self._decisions.discovers_all(caller):
            return None
        async with self._turn:
            await self._store.read(self._products.follow)
            sight = self._sights.pop(caller, None)
            policies = self._decisions.policies
            if sight is None or sight.policies is not policies:
                sight = _Sight(caller, policies)
            self._sights[caller] = sight
            if len(self._sights) > _MOST_CALLERS:
                self._sights.popitem(last=False)
            return await asyncio.to_thread(sight.of, self._products)


class _Declared(NamedTuple):
    """What the row of a product says of it, as policies see it."""

    domain: str
    product: str
    owner: str
    archetype: str
    classification: str
    status: str
    groups: frozenset[str]


class _Products:
    """The products as policies see them, by GUID.

    Attributes:
        resources: each with the one that stands for all that differ from it in nothing but their name.
        changes: how often they were changed.
    """

    def __init__(self) -> None:
        self.resources: dict[str, tuple[ProductResource, ProductResource]] = {}
        self.changes = 0
        self._known: tuple[int, Mapping[str, frozenset[str]]] = (-1, {})
        self._declared: dict[str, _Declared] = {}
        self._owners: Mapping[str, frozenset[str]] = {}

    def follow(self, connection: Connection) -> None:
        """Read what has changed. A grant ends without a change of the database, so the grants are read each time."""
        counter, granted = revision(connection), readers_by_product(connection)
        known, granted_before = self._known
        if (counter, granted) == self._known:
            return
        changed: set[str] = set()
        if counter != known:
            changed = self._read(connection, known)
            owners = _owners(connection)
            domains = {
                each for each in owners.keys() | self._owners.keys() if owners.get(each) != self._owners.get(each)
            }
            self._owners = owners
            if domains:
                changed.update(guid for guid, each in self._declared.items() if each.domain in domains)
        changed.update(
            guid for guid in granted.keys() | granted_before.keys() if granted.get(guid) != granted_before.get(guid)
        )
        for guid in changed & self._declared.keys():
            self.resources[guid] = self._resource(self._declared[guid], granted.get(guid, frozenset()))
        self._known = counter, granted
        self.changes += 1

    def _read(self, connection: Connection, known: int) -> set[str]:
        """Read the products that changed after a count of the change counter, and return them by GUID."""
        if last_removal(connection) > known:
            self._declared.clear()
            self.resources.clear()
            known = -1
        changed = set()
        for row in connection.execute(_CHANGED.where(_OWN.revision > known)):
            self._declared[row.guid] = _declared(row)
            changed.add(row.guid)
        return changed

    def _resource(self, one: _Declared, granted: frozenset[str]) -> tuple[ProductResource, ProductResource]:
        resource = ProductResource(
            domain=one.domain,
            product=one.product,
            owner=one.owner,
            owners=self._owners.get(one.domain, frozenset({one.owner})),
            archetype=one.archetype,
            classification=one.classification,
            status=one.status,
            required_security_groups=one.groups,
            granted_to=granted,
        )
        return resource, replace(resource, product="")


@dataclass
class _Sight:
    """What one caller sees by one set of policies.

    Attributes:
        caller: who looks.
        policies: that decide.
    """

    caller: Caller
    policies: PolicySet
    _decided: dict[ProductResource, bool] = field(default_factory=dict)
    _changes: int = -1
    _seen: frozenset[str] = frozenset()

    def of(self, products: _Products) -> frozenset[str]:
        if self._changes != products.changes:
            self._seen = frozenset(self._look(products.resources.values()))
            self._changes = products.changes
        return self._seen

    def _look(self, resources: Iterable[tuple[ProductResource, ProductResource]]) -> Iterable[str]:
        # Products of one kind differ for a policy by their names alone: it has such a name as text, or it is the caller's.
        named = self.policies.texts_of_policies | {self.caller.name}
        decided: dict[ProductResource, bool] = {}
        for resource, kind in resources:
            key = resource.uid[1]
            asked = resource if key in named or kind.uid[1] in named else kind
            allowed = decided.get(asked)
            if allowed is None:
                known = self._decided.get(asked)
                allowed = self._decide(asked) if known is None else known
                decided[asked] = allowed
            if allowed:
                yield key
        self._decided = decided

    def _decide(self, resource: ProductResource) -> bool:
        return decision(self.policies, self.caller, Action.DISCOVER, resource).allowed


def _declared(row: Any) -> _Declared:
    # As JSON data: the model of a descriptor takes ten times as long, for each of 10,000 products.
    told = orjson.loads(row.descriptor)
    group = told.get("requiredSecurityGroup")
    return _Declared(
        row.domain,
        row.name,
        row.owner,
        row.archetype,
        str(told.get("classification") or "internal"),
        row.status,
        frozenset({str(group)} if group else ()),
    )


def _owners(connection: Connection) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for domain, owner in connection.execute(_OWNERS):
        found.setdefault(domain, set()).add(owner)
    return {domain: frozenset(owners) for domain, owners in found.items()}


async def _seen(request: Request) -> Seen:
    visible: VisibleProducts = request.app.state.visible
    return await visible.of(request.scope["state"]["caller"])


SeenProducts = Annotated[Seen, Depends(_seen)]
"""The products that the caller of the request may discover, as a parameter of a route."""
