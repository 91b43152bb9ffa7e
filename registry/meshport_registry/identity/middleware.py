"""ASGI middleware that finds the caller of each request, and refuses a request whose caller cannot be known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from meshport_registry.identity.caller import LOCAL

if TYPE_CHECKING:
    from meshport_registry.identity.door import Door


class IdentityMiddleware:
    """Puts the `Caller` of each request into `scope["state"]["caller"]`; no request passes without one.

    It stands outside the fast path, so that a cached response too goes to a known caller only.

    Args:
        app: the service; its `state.door` finds callers, and is None where no source of identities is configured.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI event stream."""
        if scope["type"] == "http":
            door: Door | None = scope["app"].state.door
            scope.setdefault("state", {})["caller"] = LOCAL if door is None else await door.identify(scope)
        await self._app(scope, receive, send)
