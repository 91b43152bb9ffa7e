"""The routes of pages: their router, and the form of a page that changes something."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Match
from starlette.types import Scope

from meshport_registry.catalog.wanted import HOME, wants_html
from meshport_registry.errors import Forbidden, InvalidRequest, NotJSON
from meshport_registry.values import BoundedRoute, refuse_nul, refuse_nul_in_query

_FORM: Final = "application/x-www-form-urlencoded"
_LARGEST_FORM: Final = 64 * 1024
_MOST_FIELDS: Final = 200
_OWN: Final = frozenset({"same-origin", "none"})


PAGE_CHECKS: Final = (Depends(refuse_nul_in_query),)
"""The dependencies of every page: a form reads its own body, and a link from elsewhere may have any parameter."""


class PageRoute(BoundedRoute):
    """A route of a page. The one at `/` is there for browsers only; Confluent's clients get Confluent's answer."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the route answers a request."""
        if self.path == HOME and scope["type"] == "http" and not wants_html(scope):
            return Match.NONE, {}
        return super().matches(scope)


def page_router() -> APIRouter:
    """Return a router for pages. They stand in no OpenAPI document: a page is for people, and its JSON is what it shows."""
    return APIRouter(route_class=PageRoute, dependencies=PAGE_CHECKS, include_in_schema=False, tags=["Catalog"])


async def refuse_other_sites(request: Request) -> None:
    """Refuse a change that a page of another site makes a browser send.

    Every browser says where a request comes from: by `Sec-Fetch-Site`, or, on plain HTTP and in old ones, by `Origin`. What has
    neither header is no browser, and a page of another site cannot make it send anything.

    Raises:
        Forbidden: the request comes from another site.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    by_origin = origin is None or origin.partition("://")[2] == request.headers.get("host")
    if not (by_origin if site is None else site in _OWN):
        raise Forbidden("the form was sent by a page of another site", hint="open the catalog's own page and try again")


async def _form(request: Request) -> dict[str, str]:
    await refuse_other_sites(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise NotJSON(f"a page takes the fields of a form, as {_FORM}", hint="scripts call the API, /api/v1")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > _LARGEST_FORM:
                raise InvalidRequest(f"the form has more than {_LARGEST_FORM} bytes", hint="send less")
        fields = dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
        )
    except ClientDisconnect as error:
        raise InvalidRequest("the client closed the connection before its request was complete") from error
    except ValueError as error:
        raise InvalidRequest(f"the form cannot be read: {error}") from error
    for name, value in fields.items():
        refuse_nul(name + value, f"the field {name!r}")
    return {name: value.strip() for name, value in fields.items()}


Form = Annotated[dict[str, str], Depends(_form)]
"""The fields of a form that the catalog's own page sent, as a parameter of a route: without white space around them."""
