"""Routes of the glossary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from meshport.address import Address
from meshport.glossary import DomainGlossary, Glossary, GlossaryEntry
from meshport_registry.glossary.terms import declare_terms, declared_terms
from meshport_registry.mesh_api import PROBLEMS, Segment, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.search.api import Index
from meshport_registry.search.index import SearchIndex
from meshport_registry.search.live import LiveIndex
from meshport_registry.state import Database
from meshport_registry.store import RegistryStore
from meshport_registry.values import BoundedRoute

_MOST_LINKS: Final = 100

router = APIRouter(
    route_class=BoundedRoute, dependencies=MESH_CHECKS, prefix="/api/v1/glossary", tags=["Glossary"], responses=PROBLEMS
)


class GlossaryQuery(BaseModel):
    """The query parameters of the glossary."""

    q: str = Field(default="", max_length=200, description="a part of a name or a definition")
    domain: str | None = Field(default=None, description="only what this domain declares")


@router.get("", response_model=Glossary)
async def show_glossary(store: Database, index: Index, query: Annotated[GlossaryQuery, Query()]) -> Any:
    """Terms and polysemes with their definitions, owners and the products that use them."""
    return as_json(await glossary(store, index, query.q, query.domain))


@router.put("/{domain}", response_model=Glossary)
async def set_terms(store: Database, index: Index, domain: Segment, body: DomainGlossary) -> Any:
    """Replace the terms of a domain."""
    Address(domain, "glossary")  # refuses a text that is no domain
    await store.write(lambda c: declare_terms(c, domain, body.terms))
    return as_json(await glossary(store, index, "", domain))


async def glossary(store: RegistryStore, index: LiveIndex, text: str = "", domain: str | None = None) -> Glossary:
    """Return the glossary.

    Args:
        store: the database.
        index: knows which products link to which polyseme.
        text: a part of a name or a definition, whatever its case.
        domain: only what this domain declares; None for all, also polysemes that no domain declares.
    """
    declared = await store.read(lambda c: declared_terms(c, domain))
    links, complete = await index.ask(_links)
    wanted = text.strip().lower()
    found = [_linked(each, links.get(each.name, ())) for each in declared]
    if domain is None:
        known = {each.name for each in declared if each.polyseme}
        found += [
            _linked(GlossaryEntry(name=name, polyseme=True), products)
            for name, products in links.items()
            if name not in known
        ]
    matching = (each for each in found if wanted in f"{each.name} {each.definition or ''}".lower())
    ordered = sorted(matching, key=lambda each: (each.name.lower(), each.domain or ""))
    return Glossary(entries=tuple(ordered), complete=complete)


def _links(index: SearchIndex) -> tuple[dict[str, list[str]], bool]:
    """Return the addresses of the products that link to each polyseme, and whether all products are known."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for entry in index.entries:
        for name in entry.polysemes:
            found[name].append(entry.address)
    return dict(found), index.complete


def _linked(entry: GlossaryEntry, products: Iterable[str]) -> GlossaryEntry:
    linked = sorted(products) if entry.polyseme else []
    first = tuple(Address.parse(each) for each in linked[:_MOST_LINKS])
    return entry.model_copy(update={"linked_by": first, "linked_by_total": len(linked)})
