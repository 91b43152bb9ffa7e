"""Content negotiation of Confluent's API: which media type a response has, and which one a request may have.

Confluent's registry produces three media types, with the qualities of its source (`Versions.java`), and answers 406 to a
client that accepts none of them (RFC 9110, section 12.5.1).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from fastapi import Depends, Request

from meshport_registry.errors import NotAcceptable, NotJSON
from meshport_registry.values import refuse_nul_in_query, refuse_unknown_parameters

CONFLUENT_JSON: Final = "application/vnd.schemaregistry.v1+json"
MEDIA_TYPES: Final = {CONFLUENT_JSON: 1.0, "application/vnd.schemaregistry+json": 0.9, "application/json": 0.5}
"""The media types of Confluent's API, each with the quality that the server gives it."""
_TAKEN: Final = frozenset({*MEDIA_TYPES, "application/octet-stream"})
_CHANGES: Final = frozenset({"POST", "PUT"})
_MESH: Final = ("/api/", "/catalog", "/health", "/docs", "/redoc", "/openapi.json")


def is_mesh(path: str) -> bool:
    """Whether a path belongs to the mesh API, to the catalog, or to the pages about both APIs."""
    return path.startswith(_MESH)


@lru_cache(maxsize=256)  # a client sends the same header with each request
def preferred(accept: str) -> str | None:
    """Return the media type of the response to a client, or None if it accepts none.

    Args:
        accept: the value of its `Accept` header; empty if it sent none.
    """
    if not accept.strip():
        return CONFLUENT_JSON
    ranges = [_range(each) for each in accept.split(",")]
    qualities = {kind: _quality(kind, ranges) for kind in MEDIA_TYPES}
    best = max(MEDIA_TYPES, key=lambda kind: (qualities[kind], MEDIA_TYPES[kind]))
    return best if qualities[best] > 0 else None


def _range(text: str) -> tuple[str, float]:
    """Return a media range and its quality. Java's `HttpURLConnection` writes `*` for `*/*`."""
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = 1.0
    for each in parameters:
        name, _, value = each.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
    return "*/*" if kind == "*" else kind, quality


def _quality(kind: str, ranges: list[tuple[str, float]]) -> float:
    """Return the quality that the most specific range gives a media type."""
    for wanted in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        found = [quality for each, quality in ranges if each == wanted]
        if found:
            return max(found)
    return 0.0


async def refuse_unacceptable(request: Request) -> None:
    """Refuse a client of Confluent's API that accepts none of its media types; a dependency of its routes.

    Raises:
        NotAcceptable: it accepts none.
    """
    if preferred(", ".join(request.headers.getlist("accept"))) is None:
        raise NotAcceptable("HTTP 406 Not Acceptable", hint=f"accept {CONFLUENT_JSON} or application/json")


async def refuse_foreign_bodies(request: Request) -> None:
    """Refuse a body that is not JSON; a dependency of every route.

    A page of another site can make a browser send forms, plain text, and a body without a type, without a preflight
    request.

    Raises:
        NotJSON: the request has such a body.
    """
    if request.method not in _CHANGES:
        return
    headers = request.headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind:
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            raise NotJSON("a body without a content type is not taken", hint="send `Content-Type: application/json`")
    elif not (kind.endswith("json") if is_mesh(request.url.path) else kind in _TAKEN):
        raise NotJSON(f"a body of type {kind[:80]} is not taken", hint="send `Content-Type: application/json`")


EVERY_CHECK: Final = (Depends(refuse_foreign_bodies), Depends(refuse_nul_in_query))
"""The dependencies of every route."""

MESH_CHECKS: Final = (*EVERY_CHECK, Depends(refuse_unknown_parameters))
"""The dependencies of every route of the mesh API."""

CONFLUENT_CHECKS: Final = (*EVERY_CHECK, Depends(refuse_unacceptable))
"""The dependencies of every route of Confluent's API."""
