"""`meshport up`: a whole mesh by one command, and nothing left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from tests.cli.running import Run, process
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that name this folder: brokers, registry, guardians."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has just ended
        if str(folder) in command:
            found.append(command)
    return found


@pytest.fixture
def started(kafka_cache: Path, tmp_path: Path) -> Callable[[], tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """Start `meshport up --json` in an empty folder; the process and the line that it wrote when ready."""

    def start() -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
        up = process("up", "--json", cwd=tmp_path, MESHPORT_CACHE=str(kafka_cache))
        assert up.stdout is not None
        line = up.stdout.readline()
        if not line:
            _, err = up.communicate(timeout=PATIENCE_S)
            pytest.fail(err.decode())
        return up, json.loads(line)

    return start


def test_up_runs_until_interrupted(
    started: Callable[[], tuple[subprocess.Popen[bytes], dict[str, Any]]], cli: Run, tmp_path: Path
) -> None:
    """In an empty folder it runs Kafka and the registry alone, writes one line, is found by other commands, and ends at once."""
    up, facts = started()
    with up:
        assert facts["broker"].startswith("Apache Kafka")
        assert Admin(KafkaConfig(facts["bootstrap_servers"])).brokers() == 1
        assert httpx2.get(f"{facts['registry_url']}/health", trust_env=False).json()["status"] == "ok"
        found = cli("search", "--json")  # without a name: the mesh that runs here
        assert (found.code, found.out) == (0, "")
        second = cli("up")
        assert second.code == 2
        assert "a mesh runs here already" in second.err
        assert processes_of(tmp_path)
        up.send_signal(signal.SIGINT)
        out, err = up.communicate(timeout=PATIENCE_S)
    assert (up.returncode, out) == (0, b"")
    assert b"Traceback" not in err
    assert processes_of(tmp_path) == []
    assert cli("search").code == 3, "nobody looks for a mesh that has ended"


def test_nothing_is_left_when_it_is_killed(
    started: Callable[[], tuple[subprocess.Popen[bytes], dict[str, Any]]], cli: Run, tmp_path: Path
) -> None:
    """After kill -9 its brokers and registry end by themselves, and the folder is free for the next one."""
    up, _ = started()
    with up:
        os.kill(up.pid, signal.SIGKILL)
    wait_for(lambda: not processes_of(tmp_path), lambda: str(processes_of(tmp_path)))
    assert cli("search").code == 3
