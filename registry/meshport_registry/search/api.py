"""The route of the search: `GET /api/v1/search`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from meshport.address import Address
from meshport.product import Archetype, Status
from meshport.search import SearchHit, SearchPage
from meshport_registry.mesh_api import PROBLEMS, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.rights.visible import Seen, SeenProducts
from meshport_registry.search.index import Entry, SearchIndex, SearchResult
from meshport_registry.search.index import Query as IndexQuery
from meshport_registry.search.live import LiveIndex
from meshport_registry.search.words import words
from meshport_registry.values import BoundedRoute, Count

_MOST_WORDS: Final = 12
_LONGEST: Final = 200
_FIELDS: Final = 10


class SearchQuery(BaseModel):
    """The query parameters of a search: words, what to narrow them by, and a page."""

    q: str = Field(default="", max_length=_LONGEST, description="words of names, fields, docs, tags, owners or topics")
    domain: str | None = None
    archetype: Archetype | None = None
    status: Status | None = None
    classification: str | None = None
    owner: str | None = None
    tag: str | None = None
    offset: Count = 0
    limit: int = Field(default=20, ge=1, le=100)

    def asked(self) -> IndexQuery:
        """Return the query for the index."""
        given = self.model_dump(include={"domain", "archetype", "status", "classification", "owner", "tag"})
        narrowed = {name: str(value) for name, value in given.items() if value}
        return IndexQuery(tuple(words(self.q))[:_MOST_WORDS], narrowed)


# A coroutine, although it awaits nothing: the framework runs a plain function in a thread.
async def _index(request: Request) -> LiveIndex:
    index: LiveIndex = request.app.state.index
    return index


Index = Annotated[LiveIndex, Depends(_index)]
"""The search index of the application, as a parameter of a route."""

router = APIRouter(
    route_class=BoundedRoute, dependencies=MESH_CHECKS, prefix="/api/v1", tags=["Mesh"], responses=PROBLEMS
)


@router.get("/search", response_model=SearchPage)
async def search(index: Index, seen: SeenProducts, query: Annotated[SearchQuery, Query()]) -> Any:
    """The products that have some words in names, descriptions, fields, docs, tags, owners or topics; typos are forgiven.

    Products that the caller may not discover are neither found nor counted.
    """
    return as_json(await index.ask(found(query, seen)))


def found(query: SearchQuery, seen: Seen) -> Callable[[SearchIndex], SearchPage]:
    """Return the question that a query asks the index, about the products that a caller sees."""

    def ask(index: SearchIndex) -> SearchPage:
        result = index.find(query.asked(), offset=query.offset, limit=query.limit, seen=seen)
        return SearchPage(
            items=tuple(_hit(each, result) for each in result.entries),
            total=result.total,
            offset=query.offset,
            limit=query.limit,
            every_word=result.every_word,
            read_as=result.read_as,
            facets=result.facets,
            complete=index.complete,
        )

    return ask


def _hit(entry: Entry, result: SearchResult) -> SearchHit:
    by = (
        (path for path in entry.fields if not result.meant.isdisjoint(words(path.rpartition(".")[2])))
        if result.meant
        else ()
    )
    fields = tuple(path for path, _ in zip(by, range(_FIELDS), strict=False))
    return SearchHit(
        guid=entry.guid,
        address=Address.parse(entry.address),
        display_name=entry.name,
        description=entry.description,
        archetype=Archetype(entry.archetype),
        owner=entry.owner,
        status=Status(entry.status),
        classification=entry.classification,
        tags=entry.tags,
        fields=fields,
    )
