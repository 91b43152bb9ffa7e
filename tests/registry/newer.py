"""A registry that answers as a newer one would: with fields and words that this version does not know."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshport_registry import Settings, create_app, running, server

Rewrite = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns a JSON object of an answer as a newer registry has it."""

FACETS: Final = frozenset({"facets", "domain", "archetype", "status", "classification", "read_as"})
"""Of a search: counts by value, for each property by its name; and what words were read as."""

MAPS: Final = frozenset({"ends", "begins", "slo", "config", "derive", "compute", "clusters", "positions"}) | FACETS
"""Objects whose names are data: a key of one is no field."""

UNKNOWN: Final[dict[str, Any]] = {"addedLater": {"deep": [1, {"er": None}]}, "added_later": "text", "x-later": 1.5}
"""Fields that no version has."""


def with_unknown_fields(given: dict[str, Any]) -> dict[str, Any]:
    """Return an object with further fields, before and after those that are known."""
    return {"aaaLater": True, **given, **UNKNOWN}


class Rewritten:
    """The registry's application, each JSON object of whose answers is rewritten.

    Args:
        app: the application.
        rewrite: is given each object, the innermost first.
    """

    def __init__(self, app: ASGIApp, rewrite: Rewrite) -> None:
        self._app = app
        self._rewrite = rewrite

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start: Message = {}
        body = b""

        async def kept(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            if message["type"] != "http.response.body":
                await send(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                await self._answer(start, body, send)

        await self._app(scope, receive, kept if scope["type"] == "http" else send)

    async def _answer(self, start: Message, body: bytes, send: Send) -> None:
        headers = dict(start["headers"])
        if b"json" in headers.get(b"content-type", b"") and body:
            body = json.dumps(rewritten(json.loads(body), self._rewrite)).encode()
            headers[b"content-length"] = b"%d" % len(body)
        await send({**start, "headers": list(headers.items())})
        await send({"type": "http.response.body", "body": body})


def rewritten(value: Any, rewrite: Rewrite, name: str = "") -> Any:
    """Return a JSON value, each object of which is rewritten, except maps."""
    if isinstance(value, list):
        return [rewritten(each, rewrite, name) for each in value]
    if not isinstance(value, dict) or name in MAPS:
        return value
    return rewrite({key: rewritten(each, rewrite, key) for key, each in value.items()})


@contextmanager
def answering(rewrite: Rewrite) -> Iterator[None]:
    """Have every registry that starts meanwhile rewrite its answers."""
    made = create_app
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(server, "create_app", lambda *given: Rewritten(made(*given), rewrite))
        yield


@contextmanager
def newer_registry(database: str, rewrite: Rewrite) -> Iterator[str]:
    """Run a registry that rewrites its answers, and yield its URL."""
    with answering(rewrite), running(Settings(database=database, port=0, bootstrap_servers="kafka:9092")) as url:
        yield url
