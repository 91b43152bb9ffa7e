"""The whole mesh in numbers: its domains, and what changed last."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, func, select

from meshport.address import Address
from meshport.product import Product, Status
from meshport.product.input_port import AddressText
from meshport_registry import tables
from meshport_registry.store import instant

_LATEST: Final = 8


class DomainCounts(BaseModel):
    """A domain with the numbers of its products; the retired ones are not counted.

    Attributes:
        name: of the domain.
        products: how many it has.
        archetypes: how many of each archetype.
        deprecated: how many of them are deprecated.
        reads: the other domains of which its products read, in alphabetical order.
        readers: the other domains whose products read its own.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    products: int
    archetypes: dict[str, int]
    deprecated: int = 0
    reads: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()


class Changed(BaseModel):
    """A product that changed.

    Attributes:
        created: whether it has not changed since it was registered.
        at: when it was registered last.
    """

    model_config = ConfigDict(frozen=True)

    address: AddressText
    display_name: str
    owner: str
    status: str
    created: bool
    at: datetime


class Overview(BaseModel):
    """The mesh in numbers.

    Attributes:
        products: how many there are, without the retired ones.
        domains: all of them, those that read nothing of others first, then along the flow of data.
        changed: the products that changed last, the newest first.
    """

    model_config = ConfigDict(frozen=True)

    products: int
    domains: tuple[DomainCounts, ...]
    changed: tuple[Changed, ...]


def overview(connection: Connection) -> Overview:
    """Return the mesh in numbers."""
    own = tables.product.c
    counts: dict[str, dict[str, int]] = {}
    deprecated: dict[str, int] = {}
    rows = connection.execute(
        select(own.domain, own.archetype, own.status, func.count().label("number"))
        .where(own.status != Status.RETIRED)
        .group_by(own.domain, own.archetype, own.status)
    )
    for row in rows:
        of_domain = counts.setdefault(row.domain, {})
        of_domain[row.archetype] = of_domain.get(row.archetype, 0) + row.number
        if row.status == Status.DEPRECATED:
            deprecated[row.domain] = deprecated.get(row.domain, 0) + row.number
    reads = _flows(connection)
    domains = [
        DomainCounts(
            name=name,
            products=sum(archetypes.values()),
            archetypes=dict(sorted(archetypes.items())),
            deprecated=deprecated.get(name, 0),
            reads=tuple(sorted(reads.get(name, set()))),
            readers=tuple(sorted(reader for reader, sources in reads.items() if name in sources)),
        )
        for name, archetypes in counts.items()
    ]
    depth = _depths({each.name: set(each.reads) for each in domains})
    domains.sort(key=lambda each: (depth[each.name], each.name))
    return Overview(
        products=sum(each.products for each in domains), domains=tuple(domains), changed=_changed(connection)
    )


def _flows(connection: Connection) -> dict[str, set[str]]:
    """Return the domains that each domain reads."""
    reader, source, port = tables.product.alias("reader"), tables.product.alias("source"), tables.input_port.c
    rows = connection.execute(
        select(reader.c.domain.label("reader"), source.c.domain.label("source"))
        .select_from(tables.input_port)
        .join(reader, reader.c.guid == port.guid)
        .join(source, source.c.guid == port.source_guid)
        .where(reader.c.domain != source.c.domain, reader.c.status != Status.RETIRED)
        .distinct()
    )
    reads: dict[str, set[str]] = {}
    for row in rows:
        reads.setdefault(row.reader, set()).add(row.source)
    return reads


def _depths(reads: dict[str, set[str]]) -> dict[str, int]:
    """Return how far each domain is from those that read nothing of others; a circle counts where it is first met."""
    depths: dict[str, int] = {}
    left = {name: sources & reads.keys() for name, sources in reads.items()}
    depth = 0
    while left:
        ready = [name for name, sources in left.items() if not sources - depths.keys()]
        if not ready:
            ready = [min(left, key=lambda name: (len(left[name] - depths.keys()), name))]
        for name in ready:
            depths[name] = depth
            del left[name]
        depth += 1
    return depths


def _changed(connection: Connection) -> tuple[Changed, ...]:
    own = tables.product.c
    rows = connection.execute(select(tables.product).order_by(own.revision.desc()).limit(_LATEST))
    found = []
    for row in rows:
        product = Product.model_validate_json(row.descriptor)
        found.append(
            Changed(
                address=Address(row.domain, row.name),
                display_name=product.display_name or product.address.key,
                owner=row.owner,
                status=row.status,
                created=row.created_at == row.updated_at and row.status == Status.ACTIVE,
                at=instant(row.updated_at),
            )
        )
    return tuple(found)
