"""Three brokers of which one is killed while events are published, and `meshport up` itself killed after that."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e import flights
from tests.e2e.newcomer import DELAYS, DEPARTURES, Newcomer
from tests.kafka.processes import ended
from tests.running import environment, lines
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("jars")]


def test_a_mesh_outlives_a_broker_and_itself(quarter: Path, tmp_path: Path) -> None:
    """A broker killed -9 while flights are published loses none; `up` killed -9 leaves no process and no gap."""
    text = quarter.read_text().splitlines(keepends=True)
    with Newcomer(tmp_path / "mesh") as somebody:
        somebody.make(quarter)
        somebody.start("--brokers", "3")
        assert "3 brokers" in somebody.up.facts["broker"]
        publishing = subprocess.Popen(
            ["meshport", "publish", DEPARTURES, "--from", "-", "--json"],
            cwd=somebody.folder, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert publishing.stdin is not None
        publishing.stdin.writelines(text[:10_000])
        publishing.stdin.flush()
        somebody.await_stored(DEPARTURES, 5000)
        os.kill(somebody.up.pids["kafka-2"], signal.SIGKILL)
        told, _ = publishing.communicate("".join(text[10_000:]), timeout=PATIENCE_S)
        (facts,) = lines(told)
        assert (facts["stored"], facts["refused"], facts["unknown"]) == (20_000, 0, 0)
        somebody.published += flights.read(quarter)
        assert len({event["id"] for event in somebody.tail(DEPARTURES)}) == 20_000
        somebody.up.wait_for_words("broker 2 of 3 runs again")
        assert somebody.delays() == somebody.truth()

        everything = _descendants(somebody.up.process.pid)
        assert {*somebody.up.pids.values()} < everything
        somebody.up.process.kill()
        somebody.up.process.wait()
        assert [pid for pid in everything if not ended(pid)] == []

        somebody.start("--brokers", "3")
        somebody.publish_some(flights.later(flights.read(quarter)[:1000], 1))
        assert len(somebody.tail(DEPARTURES)) == 21_000
        assert somebody.delays() == somebody.truth()
        assert somebody.standing(DELAYS).stored == 21_000
        somebody.up.process.kill()  # to end it in order takes 6 s, and other tests do


def _descendants(pid: int) -> set[int]:
    """Every process below this one: guardians, brokers, registry, processors."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}
