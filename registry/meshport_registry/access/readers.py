"""What the policies and grants let products read.

The process of a product is known by its API keys: their groups are its groups. Within its own domain it also counts as a
member of the groups that own the domain, since they alone can register it there. Its declared owner does not count: a
product could name any group. At a registry without identities, processes are local callers, as everybody is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select

from meshport.address import Address
from meshport.grants import Grant, GrantState, PlannedReader, PortReader
from meshport.policy import Action, Decision, PolicySet, ProductResource, Resource
from meshport.product import Product, Status
from meshport_registry import tables
from meshport_registry.access.grants import Asked, ask_by_declaration, granted_readers, grants, port_of
from meshport_registry.identity.caller import LOCAL
from meshport_registry.products import descriptor_of, find_address, require_address
from meshport_registry.store import now_us

_KEYS: Final = select(tables.api_key.c.groups).where(
    tables.api_key.c.name == bindparam("name"),
    tables.api_key.c.revoked_at.is_(None),
    tables.api_key.c.ends_at > bindparam("now"),
)
_OWNERS: Final = select(tables.product.c.owner).where(tables.product.c.domain == bindparam("domain")).distinct()
_WITH_INPUTS: Final = (
    select(tables.product)
    .where(tables.product.c.guid.in_(select(tables.input_port.c.guid)), tables.product.c.status != Status.RETIRED)
    .order_by(tables.product.c.domain, tables.product.c.name)
)


class Readings:
    """Decides which input ports the processes of products may read, within one transaction.

    Args:
        connection: to the database.
        policies: those that decide.
        local: whether the registry has no source of identities.
        planned: products that are about to be registered, which count as they are declared.
    """

    def __init__(
        self, connection: Connection, policies: PolicySet, *, local: bool, planned: Iterable[Product] = ()
    ) -> None:
        self._connection = connection
        self._policies = policies
        self._local = local
        self._planned = {each.address: each for each in planned}
        self._rows: dict[Address, Row[Any] | None] = {}
        self._products: dict[Address, Product | None] = {}
        self._owners: dict[str, frozenset[str]] = {}

    def of(self, reader: Product) -> Iterator[PortReader]:
        """Yield each input port of a product that leads to a known product, with the decision."""
        name = reader.address.of_product.key
        groups = self._groups(name)
        newest: dict[Address, Grant] = {}
        for each in grants(self._connection, reader=name):
            newest.setdefault(each.address, each)
        for port in reader.input_ports:
            target = self._product(port.address)
            if target is None:
                continue
            named = Address(target.address.domain, target.address.product, port_of(target, port.address))
            asked = _of_port(newest.values(), named, port.address.major)
            granted = self._granted(target, named, port.address.major)
            decision = self._decide(name, groups, target, granted)
            yield PortReader(
                reader=name,
                address=port.address,
                allowed=decision.allowed,
                by_grant=decision.allowed and name in granted and not self._decide(name, groups, target, ()).allowed,
                policies=decision.policies,
                grant=None if asked is None else asked.id,
                state=None if asked is None else asked.state,
            )

    def with_forbids(self, found: Iterable[Grant]) -> Iterator[Grant]:
        """Yield grants, those that are in force with the policies that forbid them."""
        for each in found:
            target = self._product(each.address)
            if each.state is not GrantState.GRANTED or target is None:
                yield each
                continue
            decision = self._decide(each.reader, self._groups(each.reader), target, (each.reader,))
            forbids = () if decision.allowed else decision.policies
            yield each.model_copy(update={"forbidden_by": forbids}) if forbids else each

    def ask(self, reader: Product, caller: str) -> list[str]:
        """Record a request for each input port of a registered product that it may not read; return them for people.

        Args:
            reader: the product that was registered.
            caller: the name of the caller who registers it.
        """
        lines = []
        for each in self.of(reader):
            row, target = self._row(each.address), self._product(each.address)
            if each.allowed or row is None or target is None:
                continue
            asked = Asked(each.reader, row.guid, port_of(target, each.address), each.address.major)
            number = ask_by_declaration(self._connection, asked, each.address, caller)
            if number is not None:
                lines.append(f"may not read {each.address} yet: request {number}, about which {target.owner} decides")
            else:
                lines.append(f"may not read {each.address}: request {each.grant} is {each.state}")
        return lines

    def _decide(self, reader: str, groups: frozenset[str], target: Product, granted: Collection[str]) -> Decision:
        owners = self._owners_of(target.address.domain)
        if reader.startswith(f"{target.address.domain}/"):
            groups |= owners
        resource = ProductResource.of(target, domain_owners=owners, granted_to=granted)
        decision = self._may(reader, groups, "key", resource)
        # A forbid that names the product binds it at a registry without identities too.
        if decision.allowed or decision.policies or not self._local:
            return decision
        return self._may(LOCAL.name, LOCAL.groups, LOCAL.by, resource)

    def _granted(self, target: Product, port: Address, major: int | None) -> frozenset[str]:
        """Return the readers that grants let read a port, or a line of it where there is a major."""
        row = self._row(target.address)
        found = () if row is None else granted_readers(self._connection, row.guid)
        return frozenset(reader for reader, of, line in found if of == port.port and line in {None, major})

    def _may(self, name: str, groups: frozenset[str], by: str, resource: Resource) -> Decision:
        return self._policies.decide(name, groups, Action.READ, resource, {"by": by})

    def _groups(self, name: str) -> frozenset[str]:
        found = self._connection.execute(_KEYS, {"name": name, "now": now_us()}).scalars()
        return frozenset(group for groups in found for group in json.loads(groups))

    def _owners_of(self, domain: str) -> frozenset[str]:
        if domain not in self._owners:
            self._owners[domain] = frozenset(self._connection.execute(_OWNERS, {"domain": domain}).scalars())
        return self._owners[domain]

    def _row(self, address: Address) -> Row[Any] | None:
        product = address.of_product
        if product not in self._rows:
            self._rows[product] = find_address(self._connection, product)
        return self._rows[product]

    def _product(self, address: Address) -> Product | None:
        product = address.of_product
        if product not in self._products:
            row = self._row(product)
            registered = None if row is None else descriptor_of(row)
            self._products[product] = self._planned.get(product, registered)
        return self._products[product]


def _of_port(newest: Iterable[Grant], port: Address, major: int | None) -> Grant | None:
    """Return the grant in force for a line of a port, else the newest request for it."""
    found = [each for each in newest if _covers(each.address, port, major)]
    in_force = [each for each in found if each.state is GrantState.GRANTED]
    return next(iter([*in_force, *found]), None)


def _covers(granted: Address, port: Address, major: int | None) -> bool:
    return granted.of_product == port.of_product and granted.port == port.port and granted.major in {None, major}


def port_readers(
    connection: Connection, policies: PolicySet, address: Address | None, *, local: bool
) -> tuple[PortReader, ...]:
    """Return the input ports of every product that is not retired, and whether its process may read them.

    Args:
        connection: to the database.
        policies: those that decide.
        address: only those that lead to this product or port.
        local: whether the registry has no source of identities.

    Raises:
        NotInMesh: the product is not registered.
    """
    if address is not None:
        require_address(connection, address)
    readings = Readings(connection, policies, local=local)
    found = (each for row in connection.execute(_WITH_INPUTS).all() for each in readings.of(descriptor_of(row)))
    return tuple(each for each in found if address is None or _leads_to(each.address, address))


def _leads_to(read: Address, address: Address) -> bool:
    if read.of_product != address.of_product:
        return False
    return address.port in {None, read.port} and (address.major is None or read.major in {None, address.major})


def planned_reader(
    connection: Connection, policies: PolicySet, body: PlannedReader, *, local: bool
) -> list[PortReader]:
    """Return the input ports of a product that is about to be registered, and whether its process may read them."""
    return list(Readings(connection, policies, local=local, planned=body.beside).of(body.product))
