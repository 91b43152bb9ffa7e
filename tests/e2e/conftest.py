"""What the end-to-end tests share: the flights, and one mesh of a newcomer for as many tests as can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import flights
from tests.e2e.newcomer import Newcomer
from tests.summary import note


@pytest.fixture(scope="session")
def quarter(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """The file of 20,000 flights."""
    file, which = flights.first_quarter(tmp_path_factory.mktemp("flights"))
    note(pytestconfig, "end to end", which)
    return file


@pytest.fixture(scope="package")
def newcomer(jars: Path, quarter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """A newcomer who has published the quarter to the mesh that runs; it ends with these tests, for it costs when idle."""
    assert jars.exists()
    with Newcomer(tmp_path_factory.mktemp("newcomer") / "mesh") as somebody:
        somebody.make(quarter)
        somebody.start()
        somebody.publish(quarter)
        yield somebody
        assert somebody.up.stop().endswith("stopping\nstopped\n")
