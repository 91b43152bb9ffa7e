"""The whole mesh in numbers: its domains, and what changed last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Final

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, select

from meshport.address import Address
from meshport.product import Product, Status
from meshport.product.input_port import AddressText
from meshport_registry import tables
from meshport_registry.rights.visible import Seen
from meshport_registry.search.index import Entry, SearchIndex
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


class MeshCounts:
    """Counts the domains of the search index anew where it has changed."""

    def __init__(self) -> None:
        self._of: SearchIndex | None = None
        self._changes = -1
        self._domains: tuple[DomainCounts, ...] = ()

    def domains(self, index: SearchIndex, seen: Seen = None) -> tuple[DomainCounts, ...]:
        """Return the domains of what a caller sees, those that read nothing of others first, then along the flow of data."""
        if seen is not None:
            return _count([each for each in index.entries if each.address in seen], known_only=True)
        if self._of is not index or self._changes != index.changes:
            self._of, self._changes, self._domains = index, index.changes, _count(index.entries)
        return self._domains


def _count(entries: Iterable[Entry], *, known_only: bool = False) -> tuple[DomainCounts, ...]:
    """Count entries by domain; `known_only` leaves out domains that are read and have no entry."""
    archetypes: dict[str, Counter[str]] = {}
    deprecated: Counter[str] = Counter()
    reads: dict[str, set[str]] = {}
    for each in entries:
        if each.status == Status.RETIRED:
            continue
        archetypes.setdefault(each.domain, Counter())[each.archetype] += 1
        deprecated[each.domain] += each.status == Status.DEPRECATED
        reads.setdefault(each.domain, set()).update(each.reads)
    if known_only:
        reads = {domain: sources & archetypes.keys() for domain, sources in reads.items()}
    depth = _depths(reads)
    return tuple(
        DomainCounts(
            name=name,
            products=archetypes[name].total(),
            archetypes=dict(sorted(archetypes[name].items())),
            deprecated=deprecated[name],
            reads=tuple(sorted(reads[name])),
            readers=tuple(sorted(reader for reader, sources in reads.items() if name in sources)),
        )
        for name in sorted(archetypes, key=lambda name: (depth[name], name))
    )


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


def latest_changes(connection: Connection, seen: Seen = None) -> tuple[Changed, ...]:
    """Return the products that changed last, of those that a caller sees, the newest first."""
    own = tables.product.c
    newest = select(tables.product).order_by(own.revision.desc())
    if seen is None:
        rows = connection.execute(newest.limit(_LATEST))
    else:
        keys = connection.execute(newest.with_only_columns(own.guid, own.domain, own.name))
        guids = islice((guid for guid, domain, name in keys if f"{domain}/{name}" in seen), _LATEST)
        rows = connection.execute(newest.where(own.guid.in_(list(guids))))
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
