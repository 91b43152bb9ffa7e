"""ASGI middleware of the registry: the fast path of the hot routes, encoded paths, and content types.

The two hot routes are routes of the framework as well. It documents them, and answers if the fast path does not. The
fast path costs a dictionary look-up; FastAPI's own dispatch halves the requests that one process can answer.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from meshport.address import Address
from meshport.errors import MeshError
from meshport_registry.response_cache import BindingResponseCache, SchemaResponseCache

CONFLUENT_JSON: Final = "application/vnd.schemaregistry.v1+json"
_SCHEMA: Final = re.compile(rb"/schemas/ids/([0-9]{1,9})")
_RESOLVE: Final = re.compile(rb"/api/v1/resolve/([a-z0-9-]+)/([a-z0-9-]+)(?:/([a-z0-9-]+))?")
_MAJOR: Final = re.compile(rb"major=([1-9][0-9]{0,8})")
_CONFLUENT_TYPE: Final = (b"content-type", CONFLUENT_JSON.encode())
_JSON_TYPE: Final = (b"content-type", b"application/json")


class FastPathMiddleware:
    """Answers the hot routes from the response caches, and passes every other request on.

    Args:
        app: the service; its `state` holds the response caches once it has started.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI event stream."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        if scope["method"] == "GET" and (hot := await _cached(path, scope)):
            await _send(send, *hot)
            return
        # The server decodes `%2F` in the path, and a subject with a slash would become two segments. Routes match the
        # path as the client sent it; handlers decode their own segments.
        scope["path"] = path.decode("ascii", "replace")
        # Confluent's registry takes JSON under this content type too, and old clients send it.
        if (b"content-type", b"application/octet-stream") in scope["headers"]:
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
            scope["headers"].append((b"content-type", b"application/json"))
        await self._app(scope, receive, send)


async def _cached(path: bytes, scope: Scope) -> tuple[bytes, tuple[bytes, bytes]] | None:
    """Return the body of a hot request and its content-type header, or None if the framework has to answer."""
    query: bytes = scope["query_string"]
    state = scope["app"].state
    try:
        if (match := _SCHEMA.fullmatch(path)) and _asks_for_the_schema_alone(query):
            schemas: SchemaResponseCache = state.schemas
            return await schemas.body(int(match[1])), _CONFLUENT_TYPE
        if match := _RESOLVE.fullmatch(path):
            major = _MAJOR.fullmatch(query)
            if major is not None or not query:
                domain, product, port = (part.decode() if part else None for part in match.groups())
                address = Address(domain or "", product or "", port, int(major[1]) if major else None)
                bindings: BindingResponseCache = state.bindings
                return await bindings.body(address), _JSON_TYPE
    except MeshError:
        pass  # the framework's route raises it again and renders it
    return None


def _asks_for_the_schema_alone(query: bytes) -> bool:
    """Whether the parameters leave the body as it is; `subject` and `deleted` do not change a schema by id."""
    if not query:
        return True
    asked = parse_qsl(query.decode("ascii", "replace"))
    return all(
        name in {"subject", "deleted"} or (name == "fetchMaxId" and value.lower() == "false") for name, value in asked
    )


async def _send(send: Send, body: bytes, content_type: tuple[bytes, bytes]) -> None:
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": 200,
        "headers": [content_type, (b"content-length", b"%d" % len(body))],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})
