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
