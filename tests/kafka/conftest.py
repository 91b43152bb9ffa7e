"""Fixtures of the tests of the embedded broker."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from meshport.local.jars import read_lock


@pytest.fixture
def cache_copy(jars: Path, tmp_path: Path) -> Path:
    """A cache of the test's own, which it may spoil."""
    copy = tmp_path / "cache"
    folder = Path("jars") / read_lock().directory
    shutil.copytree(jars / folder, copy / folder)
    return copy


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which no process listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
