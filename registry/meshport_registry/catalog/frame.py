"""The frame of every page: its templates, its headers, and the choice between HTML and JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from meshport import __version__
from meshport_registry.catalog import words
from meshport_registry.catalog.heading import TABS
from meshport_registry.catalog.static_files import static_url
from meshport_registry.catalog.wanted import HTML, JSON, wants_html
from meshport_registry.identity.caller import LOCAL, Caller

_TEMPLATES: Final = Path(__file__).parent / "templates"
SECURITY_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""The headers of every page: nothing is loaded from another host, and nothing inline is run or applied."""
_PAGE_HEADERS: Final = SECURITY_HEADERS | {"cache-control": "private, no-cache", "vary": "accept, hx-request, cookie"}


class PageView(BaseModel):
    """What a page shows: the template's `view`, and the page's JSON."""

    model_config = ConfigDict(frozen=True)


async def show(
    request: Request,
    template: str,
    view: PageView,
    *,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a page as the client wants it: as HTML or as JSON.

    Args:
        request: of the client.
        template: the name of the page's template, which gets `view`, `caller`, `local` (whether the registry knows no
            identities) and `here` (the path and query of the request).
        view: what the page shows.
        status: of the response.
        headers: further headers of the response.
    """
    given = {**_PAGE_HEADERS, **(headers or {})}
    if not wants_html(request.scope):
        return Response(view.model_dump_json(by_alias=True), status, given, JSON)
    # In a thread: the table of a contract of 10,000 fields would stop the event loop.
    text = await asyncio.to_thread(html, request, template, view)
    return Response(text, status, given, f"{HTML}; charset=utf-8")


def go_to(url: str, *cookies: str) -> Response:
    """Return the answer that leads a browser on, by GET.

    Args:
        url: a path of the catalog, or a URL of the OpenID provider.
        cookies: the headers `Set-Cookie`.
    """
    response = Response(status_code=HTTPStatus.SEE_OTHER, headers=SECURITY_HEADERS | {"cache-control": "no-store"})
    response.headers["location"] = url
    for each in cookies:
        response.headers.append("set-cookie", each)
    return response


def html(request: Request, template: str, view: PageView) -> str:
    """Return a page as HTML."""
    caller: Caller | None = request.scope["state"].get("caller")
    query = request.scope["query_string"].decode("latin-1")
    facts: dict[str, Any] = {
        "view": view,
        "caller": caller,
        "local": caller == LOCAL,
        "here": request.scope["path"] + (f"?{query}" if query else ""),
    }
    return environment().get_template(template).render(facts)


@cache
def environment() -> Environment:
    """Return the templates. All that they print is escaped, and a name that the view lacks is an error."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(words.FILTERS)
    made.globals.update(static=static_url, version=__version__, tabs=TABS)
    return made
