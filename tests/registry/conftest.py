"""A real service on each of the two databases."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.plain_http import plain_http
from tests.postgres_session import postgres as postgres  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.registry.sheet import V1, V2, register
from tests.waiting import PATIENCE_S


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Return a function that returns the URL of an empty database. Every test that uses it runs on both databases."""
    if request.param == "postgres":
        new: Callable[[], str] = request.getfixturevalue("postgres")
        return new
    numbers = itertools.count(1)
    return lambda: f"sqlite:///{tmp_path / f'registry{next(numbers)}.db'}"


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    """Return the URL of an empty database. Every test that uses it runs on both databases."""
    return new_database()


@pytest.fixture
def service(database: str) -> Iterator[str]:
    """Run a service on that database and yield its URL."""
    with running(Settings(database=database, port=0, bootstrap_servers="kafka:9092")) as url:
        yield url


@pytest.fixture
def http(service: str) -> Iterator[httpx2.Client]:
    """Yield a plain HTTP client of the service."""
    with plain_http(service) as client:
        yield client


@pytest.fixture
def registry(service: str) -> Iterator[Registry]:
    """Yield the library's client of the service, without its cache of bindings."""
    with Registry(service, keep=0, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture
def sheet(http: httpx2.Client) -> httpx2.Client:
    """Return a client of a registry with live, half deleted and deleted subjects.

    `a` has the versions 1 (id 1) and 2 (id 2). `half` has lost version 1, `gone` is soft deleted.
    """
    for subject, texts in (("a", (V1, V2)), ("half", (V1, V2)), ("gone", (V1,)), ("s/1", (V1,))):
        for text in texts:
            assert register(http, subject, text).status_code == 200
    assert http.delete("/subjects/half/versions/1").status_code == 200
    assert http.delete("/subjects/gone").status_code == 200
    return http


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """Return the URL of an empty SQLite database, for tests in which the database plays no part."""
    return f"sqlite:///{tmp_path / 'registry.db'}"
