"""Fixtures of the tests of the embedded broker."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from meshport.kafka.jars import JarsUnavailable, ensure_jars, read_lock


@pytest.fixture(scope="session")
def jars(kafka_cache: Path) -> Path:
    """The cache, filled and verified."""
    try:
        ensure_jars(kafka_cache, read_lock())
    except JarsUnavailable as error:
        if os.environ.get("MESHPORT_REQUIRE_KAFKA") == "1":
            raise
        pytest.skip(f"no jars of Apache Kafka: {error.message}")
    return kafka_cache


@pytest.fixture
def cache_copy(jars: Path, tmp_path: Path) -> Path:
    """A cache of the test's own, which it may spoil."""
    copy = tmp_path / "cache"
    folder = Path("jars") / read_lock().directory
    shutil.copytree(jars / folder, copy / folder)
    return copy


@pytest.fixture
def closed_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
