"""ASGI middleware that finds the caller of each request, and refuses a request whose caller cannot be known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from meshport.errors import MeshError
from meshport_registry.audit.call import audited_call
from meshport_registry.errors import Unauthenticated, render
from meshport_registry.identity.browser import is_of_a_page
from meshport_registry.identity.caller import ANONYMOUS, LOCAL
from meshport_registry.identity.code_flow import CALLBACK, START
from meshport_registry.identity.door import Door
from meshport_registry.measures import RequestMeasures
from meshport_registry.negotiation import CONFLUENT_JSON, is_mesh

# What a probe of the machinery around the registry asks for, which has no identity, and what a person who has yet to log in
# sees. It reports nothing of the mesh.
_OPEN: Final = frozenset(map(str.encode, ("/health", "/catalog/login", START, CALLBACK, "/catalog/logout")))
_OPEN_BELOW: Final = b"/catalog/static/"
ErrorPage = Callable[[Request, MeshError], Awaitable[Response | None]]
"""Returns the page of an error, or None where the client does not want one."""
CHALLENGES: Final = (
    (b"www-authenticate", b'Bearer realm="meshport"'),
    (b"www-authenticate", b'Basic realm="meshport", charset="UTF-8"'),
)
"""The headers that every 401 has (RFC 9110, section 11.6.1)."""


class IdentityMiddleware:
    """Puts the `Caller` of each request into `scope["state"]["caller"]`; no request passes without one.

    It stands outside the fast path, so that a cached response too goes to a known caller only.

    Args:
        app: the service; its `state.door` finds callers, and is None where no source of identities is configured. Its
            `state.error_page` is an `ErrorPage`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI event stream."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        door: Door | None = scope["app"].state.door
        state = scope.setdefault("state", {})
        if door is None:
            state["caller"] = LOCAL
            await self._app(scope, receive, send)
            return
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        if path in _OPEN or path.startswith(_OPEN_BELOW):
            state["caller"] = ANONYMOUS
        else:
            identify = door.identify_browser if is_of_a_page(path) else door.identify
            try:
                state["caller"] = await identify(scope)
            except MeshError as error:
                await _refuse(scope, receive, send, error)
                return
        await self._app(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send, error: MeshError) -> None:
    """Send the response to a request whose caller is not known, in the form of the API that it asks, or as a page."""
    audited_call(scope).because(error.message)
    error_page: ErrorPage = scope["app"].state.error_page
    if (page := await error_page(Request(scope, receive), error)) is not None:
        measures: RequestMeasures = scope["app"].state.measures
        measures.refused(scope, page.status_code)
        await page(scope, receive, send)
        return
    mesh = is_mesh(scope["path"])
    status, problem = render(error, mesh=mesh)
    measures = scope["app"].state.measures
    measures.refused(scope, status)
    body = orjson.dumps(problem)
    headers = [
        (b"content-type", b"application/json" if mesh else CONFLUENT_JSON.encode()),
        (b"content-length", b"%d" % len(body)),
    ]
    if isinstance(error, Unauthenticated):
        headers += CHALLENGES
    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
