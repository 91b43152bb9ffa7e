"""The search page: what was found while typing, and what narrows it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from meshport.search import SearchPage
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.routing import page_router
from meshport_registry.rights.visible import SeenProducts
from meshport_registry.search.api import Index, SearchQuery, found

_PATH = "/catalog/search"
_CHOICES = 12

router = page_router()


class Choice(BaseModel):
    """A value to narrow a search by.

    Attributes:
        value: of the facet.
        number: how many products it would leave.
        chosen: whether it narrows the search now.
        path: the search with this value, or without it where it is chosen.
    """

    model_config = ConfigDict(frozen=True)

    value: str
    number: int
    chosen: bool
    path: str


class SearchView(PageView):
    """The search page.

    Attributes:
        query: the words, as they were typed.
        narrowed: by what the search is narrowed that is no facet: `owner`, `tag`.
        found: the products.
        facets: the values to narrow the search by.
        before, after: the neighbouring pages of the list.
    """

    title: str
    query: str
    narrowed: dict[str, str]
    found: SearchPage
    facets: dict[str, tuple[Choice, ...]]
    before: str | None = None
    after: str | None = None


@router.get(_PATH)
async def search(
    request: Request, index: Index, seen: SeenProducts, query: Annotated[SearchQuery, Query()]
) -> Response:
    """Show what a search found."""
    page = await index.ask(found(query, seen))
    given = {name: str(value) for name, value in query.model_dump(exclude_defaults=True).items() if value}
    facets = {name: _choices(given, name, page.facets.get(name, {})) for name in page.facets}
    view = SearchView(
        title=f"{query.q} - search" if query.q else "Search",
        query=query.q,
        narrowed={name: given[name] for name in ("owner", "tag") if name in given},
        found=page,
        facets={name: each for name, each in facets.items() if len(each) > 1 or any(one.chosen for one in each)},
        before=_at(given, page.offset - page.limit) if page.offset else None,
        after=_at(given, page.offset + page.limit) if page.offset + page.limit < page.total else None,
    )
    return await show(request, "search.html", view)


def _choices(given: dict[str, str], name: str, counts: dict[str, int]) -> tuple[Choice, ...]:
    kept = {key: value for key, value in given.items() if key not in {name, "offset"}}
    chosen = given.get(name)
    values = dict(list(counts.items())[:_CHOICES])
    if chosen is not None:
        values.setdefault(chosen, 0)
    return tuple(
        Choice(
            value=value,
            number=number,
            chosen=value == chosen,
            path=_path(kept if value == chosen else kept | {name: value}),
        )
        for value, number in values.items()
    )


def _at(given: dict[str, str], offset: int) -> str:
    kept = {key: value for key, value in given.items() if key != "offset"}
    return _path(kept | ({"offset": str(offset)} if offset > 0 else {}))


def _path(parameters: dict[str, str]) -> str:
    return f"{_PATH}?{urlencode(parameters)}" if parameters else _PATH
