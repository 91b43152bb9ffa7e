"""ASGI middleware of the registry: the fast path of the hot routes, and what both APIs do alike for every route.

The two hot routes are routes of the framework as well. It documents them, and answers if the fast path does not. The
fast path costs a dictionary look-up; FastAPI's own dispatch halves the requests that one process can answer.
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshport.address import Address
from meshport.errors import MeshError
from meshport_registry.errors import BadPath, render
from meshport_registry.measures import RequestMeasures
from meshport_registry.negotiation import CONFLUENT_JSON, is_mesh, preferred
from meshport_registry.response_cache import BindingResponseCache, SchemaResponseCache

_SCHEMA: Final = re.compile(rb"/schemas/ids/([0-9]{1,9})")
_RESOLVE: Final = re.compile(rb"/api/v1/resolve/([a-z0-9-]+)/([a-z0-9-]+)(?:/([a-z0-9-]+))?")
_MAJOR: Final = re.compile(rb"major=([1-9][0-9]{0,8})")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
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
        if scope["method"] == "HEAD":  # every GET route answers it, as in Confluent's registry
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        acceptable = True
        if not is_mesh(text := path.decode("latin-1")):
            accept = ", ".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")
            kind = preferred(accept)
            acceptable = kind is not None
            if kind is not None and kind != CONFLUENT_JSON:
                send = _in_media_type(send, kind)
        if acceptable and scope["method"] == "GET" and (hot := await _cached(path, scope)):
            await _send(send, 200, *hot)
            scope["app"].state.askers.note(scope, path)
            return
        if error := _refuse_path(text):
            status, body = render(error, mesh=is_mesh(text))
            await _send(send, status, orjson.dumps(body), _JSON_TYPE if is_mesh(text) else _CONFLUENT_TYPE)
            return
        # The server decodes `%2F` in the path, and a subject with a slash would become two segments. Routes match the
        # path as the client sent it; handlers decode their own segments. JAX-RS passes over a slash at the end.
        scope["path"] = text.removesuffix("/") or "/"
        # Confluent's registry takes JSON under this content type too, and old clients send it.
        if (b"content-type", b"application/octet-stream") in scope["headers"]:
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
            scope["headers"].append((b"content-type", b"application/json"))
        status, began = HTTPStatus.INTERNAL_SERVER_ERROR.value, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            measures: RequestMeasures = scope["app"].state.measures
            measures.answered(scope, status, time.perf_counter() - began)
            if status == HTTPStatus.OK and scope["method"] == "GET":
                scope["app"].state.askers.note(scope, path)


def _refuse_path(path: str) -> BadPath | None:
    """Return the error of a path that is not ASCII, whose escapes are no UTF-8 (`%ff`) or U+0000, or None."""
    if not path.isascii():
        return BadPath("the path is not ASCII", hint="escape other characters as UTF-8: %C3%A9")
    if "%" in path:
        if match := _BAD_ESCAPE.search(path):
            return BadPath(f"the path has no hex digits after the % at {match.start()}", hint="write % as %25")
        if "%00" in path:
            return BadPath("the path contains U+0000", hint="no name of the registry contains it")
        try:
            unquote_to_bytes(path).decode()
        except UnicodeDecodeError as error:
            return BadPath(f"the path is no UTF-8: {error.reason}", hint="escape characters as UTF-8: %C3%A9")
    return None


def _in_media_type(send: Send, kind: str) -> Send:
    """Return a `send` that replaces the media type of a response of Confluent's API."""

    async def replaced(message: Message) -> None:
        if message["type"] == "http.response.start":
            wanted = (b"content-type", kind.encode())
            headers = [wanted if tuple(pair) == _CONFLUENT_TYPE else pair for pair in message.get("headers", ())]
            message = {**message, "headers": headers}
        await send(message)

    return replaced


def _without_body(send: Send) -> Send:
    """Return a `send` that sends the headers of a response and no body."""

    async def replaced(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return replaced


async def _cached(path: bytes, scope: Scope) -> tuple[bytes, tuple[bytes, bytes]] | None:
    """Return the body of a hot request and its content-type header, or None if the framework has to answer."""
    query: bytes = scope["query_string"]
    state = scope["app"].state
    try:
        if (match := _SCHEMA.fullmatch(path)) and _asks_for_the_schema_alone(query):
            if not await state.guard.may(scope["state"]["caller"], None):
                return None
            schemas: SchemaResponseCache = state.schemas
            body = await schemas.body(int(match[1]))
            state.measures.schemas += 1
            return body, _CONFLUENT_TYPE
        if match := _RESOLVE.fullmatch(path):
            major = _MAJOR.fullmatch(query)
            if major is not None or not query:
                domain, product, port = (part.decode() if part else None for part in match.groups())
                address = Address(domain or "", product or "", port, int(major[1]) if major else None)
                if not await state.guard.may(scope["state"]["caller"], address):
                    return None
                bindings: BindingResponseCache = state.bindings
                body = await bindings.body(address)
                state.measures.bindings += 1
                return body, _JSON_TYPE
    except MeshError:
        pass  # the framework's route raises it again and renders it; so it does for a caller that may not
    return None


def _asks_for_the_schema_alone(query: bytes) -> bool:
    """Whether the parameters leave the body as it is; `subject` and `deleted` do not change a schema by id."""
    if not query:
        return True
    asked = parse_qsl(query.decode("ascii", "replace"))
    return all(
        name in {"subject", "deleted"} or (name == "fetchMaxId" and value.lower() != "true") for name, value in asked
    )


async def _send(send: Send, status: int, body: bytes, content_type: tuple[bytes, bytes]) -> None:
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": status,
        "headers": [content_type, (b"content-length", b"%d" % len(body))],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})
