"""Logging in and out of the catalog, with an API key or a token of the OpenID provider."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from meshport_registry.catalog.error_page import LoginView, login_page
from meshport_registry.catalog.frame import SECURITY_HEADERS, show
from meshport_registry.catalog.routing import Form, page_router
from meshport_registry.catalog.wanted import HOME, is_page
from meshport_registry.errors import Unauthenticated
from meshport_registry.identity.browser import fits_a_cookie, login_cookie
from meshport_registry.identity.door import Door

router = page_router()


@router.get("/catalog/login")
async def form(request: Request, next: Annotated[str, Query()] = HOME) -> Response:
    """Show the form to log in."""
    return await show(request, "login.html", LoginView(next=_own_path(next)))


@router.post("/catalog/login")
async def log_in(request: Request, fields: Form) -> Response:
    """Check the key or token, and give the browser its cookie."""
    secret, door = fields.get("secret", ""), _door(request)
    if door is None:
        return _go(HOME)
    try:
        if not fits_a_cookie(secret):
            raise Unauthenticated("this is no API key and no token")
        shown = [(b"authorization", b"Bearer " + secret.encode("ascii"))]
        await door.identify({**request.scope, "headers": shown})
    except Unauthenticated as error:
        return await login_page(request, error)
    return _go(_own_path(fields.get("next", HOME)), login_cookie(secret, https=_by_https(request)))


@router.post("/catalog/logout")
async def log_out(request: Request, _fields: Form) -> Response:
    """Take the cookie back."""
    return _go(HOME, login_cookie("", https=_by_https(request)))


def _door(request: Request) -> Door | None:
    door: Door | None = request.app.state.door
    return door


def _by_https(request: Request) -> bool:
    """Whether the browser came by HTTPS, to this process or to a proxy before it, which says so by the origin of the form."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def _own_path(path: str) -> str:
    """Return a path of the catalog to go on at, and the home page for any other."""
    own = path.isascii() and path.isprintable() and "\\" not in path and not path.startswith("//")
    return path if own and is_page(path.partition("?")[0]) else HOME


def _go(path: str, cookie: str | None = None) -> Response:
    headers = SECURITY_HEADERS | {"location": path, "cache-control": "no-store"}
    return Response(status_code=HTTPStatus.SEE_OTHER, headers=headers | ({"set-cookie": cookie} if cookie else {}))
