"""What the end-to-end tests share: the flights, and one mesh of a newcomer for as many tests as can."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshport.kafka.jars import JarsUnavailable, ensure_jars, read_lock
from tests.e2e import flights
from tests.e2e.newcomer import Newcomer

_used = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def quarter(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """The file of 20,000 flights."""
    file, note = flights.first_quarter(tmp_path_factory.mktemp("flights"))
    pytestconfig.stash[_used] = note
    return file


@pytest.fixture(scope="session")
def real_kafka(kafka_cache: Path) -> Path:
    """The cache with the jars of Apache Kafka in it: `meshport up` would go on with a stand-in where they are missing."""
    try:
        ensure_jars(kafka_cache, read_lock())
    except JarsUnavailable as error:
        if os.environ.get("MESHPORT_REQUIRE_KAFKA") == "1":
            raise
        pytest.skip(f"no real Kafka: {error.message}")
    return kafka_cache


@pytest.fixture(scope="session")
def newcomer(real_kafka: Path, quarter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """A newcomer who has published the quarter to the mesh that runs."""
    assert real_kafka.exists()
    with Newcomer(tmp_path_factory.mktemp("newcomer") / "mesh") as somebody:
        somebody.make(quarter)
        somebody.start()
        somebody.publish(quarter)
        yield somebody
        assert somebody.up.stop().endswith("stopping\nstopped\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which flights were used."""
    if note := config.stash.get(_used, ""):
        terminalreporter.section("end to end")
        terminalreporter.write_line(note)
