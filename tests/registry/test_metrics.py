"""What is measured of the registry, and when it is ready."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from meshport.errors import MetricsUnavailable
from meshport.local.kraft import free_ports
from meshport_registry import Settings, running
from tests.metrics.samples import sample
from tests.metrics.test_server import ask
from tests.plain_http import plain_http
from tests.registry.sheet import V1, register


@pytest.fixture
def http(sqlite: str) -> Iterator[httpx2.Client]:
    """A client of a service."""
    with running(Settings(database=sqlite, port=0)) as url, plain_http(url) as client:
        yield client


def requests(route: str, method: str, status: int) -> float:
    """How many requests were counted."""
    labels = {"route": route, "method": method, "status": str(status)}
    return sample("meshport_registry_requests_total", **labels) or 0


def test_requests_are_counted_by_route_and_status(http: httpx2.Client) -> None:
    """The label is the template of a route, so that no subject is in it; a path without a route has none."""
    before = requests("/subjects/{subject}/versions", "POST", 200)
    missing, strange = requests("none", "GET", 404), requests("none", "other", 404)
    assert register(http, "a", V1).status_code == 200
    assert http.get("/no/such/path").status_code == 404
    assert http.request("PROPFIND", "/no/such/path").status_code == 404
    assert requests("/subjects/{subject}/versions", "POST", 200) == before + 1
    assert requests("none", "GET", 404) == missing + 1
    assert requests("none", "other", 404) == strange + 1
    seconds = sample("meshport_registry_request_seconds_count", route="/subjects/{subject}/versions", method="POST")
    assert seconds is not None


def test_answers_from_memory_are_counted_apart(http: httpx2.Client) -> None:
    """The hot routes add to a counter of their own."""
    register(http, "a", V1)
    route = "/schemas/ids/{id}"
    before = sample("meshport_registry_cached_answers_total", route=route) or 0
    for _ in range(3):
        assert http.get("/schemas/ids/1").status_code == 200
    assert sample("meshport_registry_cached_answers_total", route=route) == before + 3


def test_the_registry_is_ready_while_its_database_answers(tmp_path: Path) -> None:
    """`/ready` asks the database; metrics are served until the service ends, and a port that is taken is an error."""
    (port,) = free_ports(1, ())
    settings = Settings(database=f"sqlite:///{tmp_path / 'registry.db'}", port=0, metrics=str(port))
    url = f"http://127.0.0.1:{port}"
    with running(settings):
        status, _, body = ask(url, "/ready")
        assert (status, json.loads(body)["parts"][0]["name"]) == (200, "registry")
        assert "meshport_registry_requests_total" in ask(url, "/metrics")[2]
        with pytest.raises(MetricsUnavailable), running(settings):
            pass
    with pytest.raises(ConnectionRefusedError):
        ask(url, "/health")
