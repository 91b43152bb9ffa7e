"""What a newcomer's mesh bears: kills in the middle of the work, poison in the middle of a topic, hostile payloads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import flights
from tests.e2e.newcomer import DELAYS, Newcomer
from tests.running import wait_for

pytestmark = pytest.mark.kafka

SOURCE = "operations.departures.events.v1"
OUTPUT = "network.delays-by-airport.events.v1"


def test_totals_survive_kill_9(newcomer: Newcomer, quarter: Path) -> None:
    """Killed with SIGKILL three times with some of the aggregate out and some not, the totals are those of sqlite3."""
    newcomer.settle(DELAYS)
    done = newcomer.count(OUTPUT)
    newcomer.publish_some(flights.later(flights.read(quarter), 5))
    seen = []
    for _ in range(3):
        seen.append(newcomer.count(OUTPUT))
        wait_for(lambda: newcomer.count(OUTPUT) > seen[-1], lambda: newcomer.up.said)
        newcomer.up.kill(DELAYS)
        assert newcomer.standing(DELAYS).waiting > 0
    assert done <= seen[0] < seen[1] < seen[2] < done + flights.COUNT
    assert newcomer.delays() == newcomer.truth()
    assert newcomer.up.said.count(f"{DELAYS} was killed by SIGKILL; it starts again in") >= 3
