"""Errors as pages: what a browser sees where a client of the APIs gets JSON."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import Response

from meshport.errors import MeshError
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.wanted import HOME, is_page, own_path, wants_html
from meshport_registry.errors import IdentityUnavailable, Unauthenticated, render
from meshport_registry.identity.caller import ANONYMOUS
from meshport_registry.identity.door import Door

_TITLES: Final = {
    HTTPStatus.UNAUTHORIZED: "Log in to see this",
    HTTPStatus.FORBIDDEN: "You may not see this",
    HTTPStatus.NOT_FOUND: "There is nothing here",
    HTTPStatus.GONE: "This is retired",
    HTTPStatus.UNPROCESSABLE_ENTITY: "This cannot be understood",
    HTTPStatus.SERVICE_UNAVAILABLE: "Too much at once",
}
# Browsers show a window of their own for `Basic`, over the page; they leave `Bearer` to the page.
_BY_KEY: Final = ("POST", "/catalog/login")
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
        hint: what to do about that.
        next: the path to go on at.
        provider: the host of the OpenID provider; None where people do not log in there.
        start: the URL at which a login there begins.
        by_key: whether the form for a key is open.
    """

    title: str = "Log in"
    message: str = ""
    hint: str | None = None
    next: str = HOME
    provider: str | None = None
    start: str | None = None
    by_key: bool = True


def login_view(request: Request, *, next: str, error: MeshError | None = None) -> LoginView:
    """Return the view of the page to log in.

    Args:
        request: of the client.
        next: the path to go on at.
        error: why the last attempt failed, or why a login is needed.
    """
    door: Door | None = request.app.state.door
    flow = door.code_flow if door is not None else None
    return LoginView(
        message=error.message if error else "",
        hint=error.hint if isinstance(error, IdentityUnavailable) else None,
        next=next,
        provider=flow.host if flow else None,
        start=f"{flow.start_url}?{urlencode({'next': next})}" if flow else None,
        by_key=flow is None
        or (request.method, request.scope["path"]) == _BY_KEY
        or isinstance(error, IdentityUnavailable),
    )


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


async def login_page(
    request: Request, error: MeshError, *, next: str | None = None, cookies: Iterable[str] = ()
) -> Response:
    """Return the page to log in, as the answer to a request whose caller is not known.

    Args:
        request: of the client.
        error: why its caller is not known.
        next: the path to go on at; by default that of the request, or of the page whose form it is.
        cookies: the headers `Set-Cookie` of the answer.
    """
    request.scope["state"].setdefault("caller", ANONYMOUS)
    status, _ = render(error, mesh=True)
    view = login_view(request, next=_asked_for(request) if next is None else next, error=error)
    # A search that htmx sends is a part of a page, in which a page to log in would be lost: the whole is loaded again.
    part = {"hx-refresh": "true"} if "hx-request" in request.headers else {}
    challenge = _CHALLENGE if isinstance(error, Unauthenticated) else {}
    page = await show(request, "login.html", view, status=status, headers=challenge | part)
    for each in cookies:
        page.headers.append("set-cookie", each)
    return page


def _asked_for(request: Request) -> str:
    """Return the page to show after a login: the one that was asked for, or the one whose form was sent."""
    if request.method in {"GET", "HEAD"}:
        query = request.scope["query_string"].decode("latin-1")
        return own_path(request.scope["path"] + (f"?{query}" if query else ""))
    here = urlsplit(request.headers.get("referer", ""))
    return own_path(urlunsplit(("", "", here.path, here.query, "")) if here.netloc == request.url.netloc else HOME)


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
