"""What stands before the framework: hot answers, encoded paths, and bodies that are too large.

The two hot routes are routes of the framework as well, documented there and used when the answer is not at hand. Here
they cost a dictionary look-up: FastAPI's own dispatch halves what one process can answer.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from meshport.address import Address
from meshport.errors import MeshError
from meshport_registry.answers import BindingAnswers, SchemaAnswers

CONFLUENT_JSON: Final = "application/vnd.schemaregistry.v1+json"
_SCHEMA: Final = re.compile(rb"/schemas/ids/([0-9]{1,9})")
_RESOLVE: Final = re.compile(rb"/api/v1/resolve/([a-z0-9-]+)/([a-z0-9-]+)(?:/([a-z0-9-]+))?")
_MAJOR: Final = re.compile(rb"major=([1-9][0-9]{0,8})")


class Front:
    """ASGI middleware around the whole service.

    Args:
        app: the service; the ready answers are in its `state` once it has started.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        if scope["method"] == "GET" and (hot := await _hot(path, scope)):
            await _send(send, *hot)
            return
        # The server decodes `%2F` in the path, and a subject with a slash would become two segments. Routes match the
        # path as it was sent; handlers decode their own segments.
        scope["path"] = path.decode("ascii", "replace")
        # Confluent's registry also takes JSON under this name, which old clients give it.
        if (b"content-type", b"application/octet-stream") in scope["headers"]:
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
            scope["headers"].append((b"content-type", b"application/json"))
        await self._app(scope, receive, send)


async def _hot(path: bytes, scope: Scope) -> tuple[bytes, tuple[bytes, bytes]] | None:
    """The answer to a hot request, and its kind; None where there is more to say than a plain yes."""
    query: bytes = scope["query_string"]
    state = scope["app"].state
    try:
        if (match := _SCHEMA.fullmatch(path)) and _is_plain(query):
            schemas: SchemaAnswers = state.schemas
            return await schemas.body(int(match[1])), _CONFLUENT_HEADERS
        if match := _RESOLVE.fullmatch(path):
            major = _MAJOR.fullmatch(query)
            if major is not None or not query:
                domain, product, port = (part.decode() if part else None for part in match.groups())
                address = Address(domain or "", product or "", port, int(major[1]) if major else None)
                bindings: BindingAnswers = state.bindings
                return await bindings.body(address), _MESH_HEADERS
    except MeshError:
        pass  # the framework's route is asked, and says what is wrong
    return None


def _is_plain(query: bytes) -> bool:
    """Whether the parameters ask for nothing but the schema: a subject or `deleted` change no answer by id."""
    if not query:
        return True
    asked = parse_qsl(query.decode("ascii", "replace"))
    return all(
        name in {"subject", "deleted"} or (name == "fetchMaxId" and value.lower() == "false") for name, value in asked
    )


_CONFLUENT_HEADERS: Final = (b"content-type", CONFLUENT_JSON.encode())
_MESH_HEADERS: Final = (b"content-type", b"application/json")


async def _send(send: Send, body: bytes, kind: tuple[bytes, bytes]) -> None:
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": 200,
        "headers": [kind, (b"content-length", b"%d" % len(body))],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})
