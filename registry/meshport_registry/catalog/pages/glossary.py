"""The page of the glossary: what terms and polysemes mean, who owns them, and where they are used."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from meshport.glossary import Glossary
from meshport_registry.catalog.allowed import may_administer
from meshport_registry.catalog.frame import SECURITY_HEADERS, PageView, show
from meshport_registry.catalog.routing import Form, page_router
from meshport_registry.errors import InvalidRequest
from meshport_registry.glossary.api import glossary
from meshport_registry.glossary.terms import withdraw_term
from meshport_registry.mesh_api import Segment
from meshport_registry.rights.visible import SeenProducts
from meshport_registry.search.api import Index
from meshport_registry.state import Database

router = page_router()


class GlossaryView(PageView):
    """The page of the glossary.

    Attributes:
        asked: a part of a name or a definition; "" for all terms.
        glossary: what matches it.
        withdrawable: the domains of which the caller may withdraw terms.
        done: what the caller just did, as a sentence; "" after nothing.
    """

    title: str
    asked: str
    glossary: Glossary
    withdrawable: frozenset[str]
    done: str


@router.get("/catalog/glossary")
async def show_glossary(
    request: Request,
    store: Database,
    index: Index,
    *,
    seen: SeenProducts,
    q: Annotated[str, Query(max_length=200)] = "",
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """Show the glossary."""
    found = await glossary(store, index, q, seen=seen)
    domains = {each.domain for each in found.entries if each.domain}
    view = GlossaryView(
        title="Glossary",
        asked=q,
        glossary=found,
        withdrawable=frozenset({each for each in domains if await may_administer(request, each)}),
        done="The term is withdrawn." if done == "withdrawn" else "",
    )
    return await show(request, "glossary.html", view)


@router.post("/catalog/glossary/{domain}/withdraw")
async def withdraw(store: Database, domain: Segment, fields: Form) -> Response:
    """Withdraw a term of a domain, which was typed to confirm it."""
    name = fields.get("term", "")
    if fields.get("confirm") != name:
        raise InvalidRequest(
            f"{name[:80]!r} is not withdrawn: what should confirm it is another text",
            hint="type the term into the field beside the button",
        )
    await store.write(lambda c: withdraw_term(c, domain, name))
    headers = SECURITY_HEADERS | {"location": "/catalog/glossary?done=withdrawn", "cache-control": "no-store"}
    return Response(status_code=HTTPStatus.SEE_OTHER, headers=headers)
