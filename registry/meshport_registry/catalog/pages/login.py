"""Logging in to the catalog with an API key or a token of the OpenID provider, and out of it, however the person logged in."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from meshport_registry.audit.call import audited_call
from meshport_registry.catalog.error_page import login_page, login_view
from meshport_registry.catalog.frame import PageView, go_to, show
from meshport_registry.catalog.routing import Form, page_router
from meshport_registry.catalog.wanted import HOME, own_path
from meshport_registry.errors import Unauthenticated
from meshport_registry.identity.browser import fits_a_cookie, login_cookie
from meshport_registry.identity.code_flow import CodeFlow
from meshport_registry.identity.door import Door
from meshport_registry.identity.sessions import BrowserSession, end_session, find_session
from meshport_registry.state import Database

router = page_router()


class LoggedOutView(PageView):
    """The page after a logout here, which leads to the one at the OpenID provider.

    Attributes:
        title: of the page.
        provider: the host of the provider.
        url: at which the person logs out there.
    """

    title: str = "Logged out"
    provider: str
    url: str


@router.get("/catalog/login")
async def form(request: Request, next: Annotated[str, Query()] = HOME) -> Response:
    """Show the ways to log in."""
    return await show(request, "login.html", login_view(request, next=own_path(next)))


@router.post("/catalog/login")
async def log_in(request: Request, fields: Form) -> Response:
    """Check the key or token, and give the browser its cookie."""
    secret, door = fields.get("secret", ""), _door(request)
    if door is None:
        return go_to(HOME)
    next_path = own_path(fields.get("next", HOME))
    try:
        if not fits_a_cookie(secret):
            raise Unauthenticated("this is no API key and no token")
        shown = [(b"authorization", b"Bearer " + secret.encode("ascii"))]
        await door.identify({**request.scope, "headers": shown})
    except Unauthenticated as error:
        return await login_page(request, error, next=next_path)
    ended = [door.code_flow.cookies.of_session("")] if door.code_flow is not None else []
    return go_to(next_path, login_cookie(secret, https=_by_https(request)), *ended)


@router.post("/catalog/logout")
async def log_out(request: Request, store: Database, _fields: Form) -> Response:
    """End the login and take the cookies back; of a login at the OpenID provider, the one there is ended too, where it can be."""
    cookies = [login_cookie("", https=_by_https(request))]
    door = _door(request)
    flow = door.code_flow if door is not None else None
    if flow is None or (cookie := flow.cookies.session(request.scope)) is None:
        return go_to(HOME, *cookies)
    cookies.append(flow.cookies.of_session(""))
    session = await store.read(partial(find_session, issuer=flow.issuer, cookie=cookie))
    if session is None:
        return go_to(HOME, *cookies)
    request.scope["state"]["caller"] = session.caller
    audited_call(request.scope).named("log-out")
    await store.write(partial(end_session, cookie=cookie))
    return await _log_out_there(request, flow, session, cookies)


async def _log_out_there(request: Request, flow: CodeFlow, session: BrowserSession, cookies: list[str]) -> Response:
    url = await flow.logout_url(session.id_token)
    if url is None:
        return go_to(HOME, *cookies)
    # A page that leads there, and no redirect: `form-action 'self'` holds for the redirects of a form as well.
    view = LoggedOutView(provider=flow.host, url=url)
    page = await show(request, "logged_out.html", view, headers={"cache-control": "no-store"})
    for each in cookies:
        page.headers.append("set-cookie", each)
    return page


def _door(request: Request) -> Door | None:
    door: Door | None = request.app.state.door
    return door


def _by_https(request: Request) -> bool:
    """Whether the browser came by HTTPS, to this process or to a proxy before it, which says so by the origin of the form."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
