"""The registry that a sheet of requests is sent to, and how an answer stands on the sheet."""

from __future__ import annotations

from typing import Any

import httpx2

from tests.registry.schemas import record

V1, V2, BROKEN = record("user"), record("user", "track?"), record("user", "track")
INVALID = "{"
V1_JSON, DEFAULT_JSON, JSON = (
    "application/vnd.schemaregistry.v1+json",
    "application/vnd.schemaregistry+json",
    "application/json",
)


def register(http: httpx2.Client, subject: str, text: str | None, query: str = "", **more: Any) -> httpx2.Response:
    """Register a schema."""
    name = subject.replace("/", "%2F")
    return http.post(f"/subjects/{name}/versions{query}", json=({"schema": text} if text is not None else {}) | more)


def answer_of(response: httpx2.Response) -> Any:
    """Return Confluent's error code of an error, or the body of another response, without the schema itself."""
    body = response.json()
    if response.status_code >= 400:
        return response.status_code, body["error_code"]
    if isinstance(body, dict):
        return {key: value for key, value in body.items() if key not in {"schema", "guid", "references"}}
    return body
