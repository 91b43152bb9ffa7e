"""Routes of the glossary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from meshport.address import Address
from meshport.glossary import DomainGlossary, Glossary, GlossaryEntry, TermUse
from meshport_registry.glossary.terms import declare_terms, declared_terms
from meshport_registry.mesh_api import PROBLEMS, Segment, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.rights.visible import Seen, SeenProducts
from meshport_registry.search.api import Index
from meshport_registry.search.index import SearchIndex
from meshport_registry.search.live import LiveIndex
from meshport_registry.state import Database
from meshport_registry.store import RegistryStore
from meshport_registry.values import BoundedRoute

_MOST_LINKS: Final = 100
_Links = dict[str, Sequence[str]]
"""The fields that link to a polyseme, as `<port>@<major>#<path>`, by the product, `<domain>/<product>`."""

router = APIRouter(
    route_class=BoundedRoute, dependencies=MESH_CHECKS, prefix="/api/v1/glossary", tags=["Glossary"], responses=PROBLEMS
)


class GlossaryQuery(BaseModel):
    """The query parameters of the glossary."""

    q: str = Field(default="", max_length=200, description="a part of a name or a definition")
    domain: str | None = Field(default=None, description="only what this domain declares")


@router.get("", response_model=Glossary)
async def show_glossary(
    store: Database, index: Index, seen: SeenProducts, query: Annotated[GlossaryQuery, Query()]
) -> Any:
    """Terms and polysemes with their definitions, owners and the products that use them."""
    return as_json(await glossary(store, index, query.q, query.domain, seen=seen))


@router.put("/{domain}", response_model=Glossary)
async def set_terms(store: Database, index: Index, seen: SeenProducts, domain: Segment, body: DomainGlossary) -> Any:
    """Replace the terms of a domain."""
    Address(domain, "glossary")  # refuses a text that is no domain
    await store.write(lambda c: declare_terms(c, domain, body.terms))
    return as_json(await glossary(store, index, "", domain, seen=seen))


async def glossary(
    store: RegistryStore, index: LiveIndex, text: str = "", domain: str | None = None, *, seen: Seen = None
) -> Glossary:
    """Return the glossary.

    Args:
        store: the database.
        index: knows which products link to which polyseme.
        text: a part of a name or a definition, whatever its case.
        domain: only what this domain declares; None for all, also polysemes that no domain declares.
        seen: the products that the caller may discover, which alone are named.
    """
    declared = await store.read(lambda c: declared_terms(c, domain))
    links, hidden, complete = await index.ask(partial(_links, seen=seen))
    wanted = text.strip().lower()
    found = [_linked(_without(each, hidden), links.get(each.name, {})) for each in declared]
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


def _links(index: SearchIndex, seen: Seen) -> tuple[dict[str, _Links], frozenset[str], bool]:
    """Return what links to each polyseme, the products that the caller does not see, and whether all products are known."""
    found: defaultdict[str, _Links] = defaultdict(dict)
    hidden = set()
    for entry in index.entries:
        if seen is not None and entry.address not in seen:
            hidden.add(entry.address)
            continue
        for name, fields in entry.polysemes.items():
            found[name][entry.address] = fields
    return dict(found), frozenset(hidden), index.complete


def _without(entry: GlossaryEntry, hidden: frozenset[str]) -> GlossaryEntry:
    if not hidden:
        return entry
    left = tuple(each for each in entry.used_in if each.address.of_product.key not in hidden)
    return entry.model_copy(update={"used_in": left})


def _linked(entry: GlossaryEntry, links: _Links) -> GlossaryEntry:
    linked = sorted(links) if entry.polyseme else []
    first = tuple(Address.parse(each) for each in linked[:_MOST_LINKS])
    fields = (TermUse.parse(f"{each}/{field}") for each in linked for field in links[each])
    return entry.model_copy(
        update={
            "linked_by": first,
            "linked_by_total": len(linked),
            "linked_fields": tuple(islice(fields, _MOST_LINKS)),
        }
    )
