"""Logging in to the catalog at the OpenID provider: the way there, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Query
from pydantic import SecretStr
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from meshport_registry.audit.call import audited_call
from meshport_registry.catalog.error_page import login_page
from meshport_registry.catalog.frame import go_to
from meshport_registry.catalog.routing import page_router
from meshport_registry.catalog.wanted import HOME, own_path
from meshport_registry.errors import IdentityUnavailable, NotInMesh, Unauthenticated
from meshport_registry.identity.browser import BegunLogin, login_cookie
from meshport_registry.identity.code_flow import CALLBACK, START, CodeFlow
from meshport_registry.identity.door import Door
from meshport_registry.identity.sessions import begin_session, end_session
from meshport_registry.state import Database

router = page_router()


@router.get(START)
async def start(request: Request, next: Annotated[str, Query()] = HOME) -> Response:
    """Lead the browser to the provider."""
    flow = _flow(request)
    begun = BegunLogin(next=own_path(next))
    try:
        url = await flow.login_url(begun)
    except IdentityUnavailable as error:
        return await login_page(request, error, next=begun.next)
    return go_to(url, *flow.cookies.of_begun(request.scope, begun))


@router.get(CALLBACK)
async def come_back(request: Request, store: Database) -> Response:
    """Check what the provider says, give the browser the cookie of its login, and lead it to the page that was asked for."""
    flow = _flow(request)
    audited_call(request.scope).named("log-in")
    next_path, cookies = HOME, list[str]()
    try:
        answer = _answer(request)
        state = answer.get("state", "")
        begun = flow.cookies.begun(request.scope, state)
        if begun is None:
            raise Unauthenticated(
                "this browser has begun no such login here, or more than ten minutes ago", hint="log in again"
            )
        next_path, cookies = own_path(begun.next), [flow.cookies.of_ended(state)]
        found = await flow.finish(begun, answer)
    except (Unauthenticated, IdentityUnavailable) as error:
        audited_call(request.scope).because(error.message)
        return await login_page(request, error, next=next_path, cookies=cookies)
    before = flow.cookies.session(request.scope)

    def begin(connection: Connection) -> SecretStr:
        if before is not None:  # it may be one that another person put into the browser
            end_session(connection, before)
        return begin_session(connection, flow.issuer, found.caller, found.id_token, lasts=flow.lasts)

    request.scope["state"]["caller"] = found.caller
    session = await store.write(begin)
    cookies += [flow.cookies.of_session(session.get_secret_value()), login_cookie("", https=flow.cookies.https)]
    return go_to(next_path, *cookies)


def _answer(request: Request) -> Mapping[str, str]:
    """Return the parameters with which the provider led the browser back.

    Raises:
        Unauthenticated: one of them is there twice, which no provider does (RFC 6749, section 3.1).
    """
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in found:
            raise Unauthenticated(f"the answer of the provider has {name!r} twice", hint="log in again")
        found[name] = value
    return found


def _flow(request: Request) -> CodeFlow:
    """Return the logins at the provider.

    Raises:
        NotInMesh: this registry has none.
    """
    door: Door | None = request.app.state.door
    if door is None or door.code_flow is None:
        raise NotInMesh(
            "this registry logs nobody in at an OpenID provider",
            hint="its keepers start it with --oidc-client-id; log in with an API key",
        )
    return door.code_flow
