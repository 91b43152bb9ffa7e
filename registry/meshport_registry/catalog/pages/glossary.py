"""The page of the glossary: what terms and polysemes mean, who owns them, and where they are used."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from meshport.glossary import Glossary
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.routing import page_router
from meshport_registry.glossary.api import glossary
from meshport_registry.search.api import Index
from meshport_registry.state import Database

router = page_router()


class GlossaryView(PageView):
    """The page of the glossary.

    Attributes:
        asked: a part of a name or a definition; "" for all terms.
        glossary: what matches it.
    """

    title: str
    asked: str
    glossary: Glossary


@router.get("/catalog/glossary")
async def show_glossary(
    request: Request, store: Database, index: Index, q: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Show the glossary."""
    found = await glossary(store, index, q)
    return await show(request, "glossary.html", GlossaryView(title="Glossary", asked=q, glossary=found))
