"""Errors as pages: what a browser sees where a client of the APIs gets JSON."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from meshport.errors import MeshError
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.wanted import is_page, wants_html
from meshport_registry.errors import Unauthenticated, render
from meshport_registry.identity.caller import ANONYMOUS

_TITLES: Final = {
    HTTPStatus.UNAUTHORIZED: "Log in to see this",
    HTTPStatus.FORBIDDEN: "You may not see this",
    HTTPStatus.NOT_FOUND: "There is nothing here",
    HTTPStatus.GONE: "This is retired",
    HTTPStatus.UNPROCESSABLE_ENTITY: "This cannot be understood",
    HTTPStatus.SERVICE_UNAVAILABLE: "Too much at once",
}
# Browsers show a window of their own for `Basic`, over the page; they leave `Bearer` to the page.
_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="meshport"'}


class ErrorView(PageView):
    """An error as its page shows it.

    Attributes:
        status: of the response.
        title: what it is, for people.
        error: the kind of the error, as in the JSON of the mesh API.
        message: what was found.
        hint: what would be right.
        findings: the single reasons.
    """

    status: int
    title: str
    error: str
    message: str
    hint: str | None = None
    findings: tuple[str, ...] = ()


class LoginView(PageView):
    """The page to log in.

    Attributes:
        title: of the page.
        message: why the last attempt failed, or why a login is needed; empty where the person asked for the page.
        next: the path to go on at.
    """

    title: str = "Log in"
    message: str = ""
    next: str = "/"


async def error_page(request: Request, error: MeshError) -> Response | None:
    """Return the page of an error, or the page to log in where the caller is not known.

    Returns:
        The page; None where the request is not one of a browser for a page.
    """
    if not (is_page(request.scope["path"]) and wants_html(request.scope)):
        return None
    status, body = render(error, mesh=True)
    if isinstance(error, Unauthenticated):
        return await login_page(request, error)
    view = ErrorView(
        status=status,
        title=_TITLES.get(HTTPStatus(status), "This did not work"),
        error=body["error"],
        message=error.message,
        hint=error.hint,
        findings=tuple(body["findings"]),
    )
    return await show(request, "error.html", view, status=status)


async def login_page(request: Request, error: MeshError) -> Response:
    """Return the page to log in, as the answer to a request whose caller is not known."""
    request.scope["state"].setdefault("caller", ANONYMOUS)
    query = request.scope["query_string"].decode("latin-1")
    here = request.scope["path"] + (f"?{query}" if query else "")
    view = LoginView(
        message=error.message, next=here if request.method == "GET" and not here.startswith("/catalog/login") else "/"
    )
    return await show(request, "login.html", view, status=HTTPStatus.UNAUTHORIZED, headers=_CHALLENGE)


async def missing_page(request: Request) -> Response | None:
    """Return the page of a path that the registry does not have; None where the request is not one of a browser."""
    if not wants_html(request.scope):
        return None
    view = ErrorView(
        status=HTTPStatus.NOT_FOUND,
        title=_TITLES[HTTPStatus.NOT_FOUND],
        error="not-found",
        message=f"the catalog has no page {request.scope['path'][:200]}",
        hint="search for what you look for",
    )
    return await show(request, "error.html", view, status=HTTPStatus.NOT_FOUND)
