"""A registry with a small mesh, whose documents the tests of all formats look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.export.mesh import delays, departures, register
from tests.interop.conftest import tool as tool  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.waiting import PATIENCE_S

Mutation = Callable[[Any], None]
"""Makes a document one that a peer has to refuse; changes it in place."""


@pytest.fixture(scope="session")
def mesh_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on SQLite with two products."""
    database = f"sqlite:///{tmp_path_factory.mktemp('exports') / 'registry.db'}"
    with (
        running(Settings(database=database, port=0, bootstrap_servers="kafka-a:9092")) as url,
        Registry(url, timeout=PATIENCE_S) as registry,
    ):
        register(registry, departures())
        register(registry, delays())
        yield registry


def mutated(document: Any, change: Mutation) -> Any:
    """Return a copy of a document with a change."""
    copy = json.loads(json.dumps(document))
    change(copy)
    return copy
