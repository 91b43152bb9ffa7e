"""What the tests of a registry with identities share: keys, headers and the form of a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from meshport.api_keys import ApiKeyRequest, NewApiKey
from meshport_registry import Settings, running
from meshport_registry.identity.offline import KeysInDatabase
from tests.plain_http import plain_http

CONFLUENT = "/subjects"

MESH = "/api/v1/dataproducts"


def made_key(database: str, name: str = "billing/invoices", *groups: str) -> NewApiKey:
    """Make a key by the database alone, as on a registry's host."""
    with KeysInDatabase(database) as keys:
        return keys.create(ApiKeyRequest(name=name, groups=groups))


def bearer(token: str) -> dict[str, str]:
    """Return the header of a bearer token."""
    return {"authorization": f"Bearer {token}"}


@contextmanager
def served(settings: Settings) -> Iterator[httpx2.Client]:
    """Serve a registry and yield a client of it."""
    with running(settings) as url, plain_http(url) as client:
        yield client


def refusal(answer: httpx2.Response) -> str:
    """Return the message of a 401, which is in the form of the API that was asked and names what would be accepted."""
    assert answer.status_code == 401
    assert [each.partition(" ")[0] for each in answer.headers.get_list("www-authenticate")] == ["Bearer", "Basic"]
    problem = answer.json()
    if answer.request.url.path.startswith("/api/"):
        assert problem["error"] == "unauthenticated"
        assert problem["hint"]
    else:
        assert problem["error_code"] == 40101
    return str(problem["message"])
