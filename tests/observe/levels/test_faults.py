"""Faults of a source in event time: each is named by the level that it breaks, and a healthy day raises no alarm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshport.observe.levels.reading import EventReading
from meshport.service_levels import JudgedLevel, LevelState
from tests.observe.levels.faulty import BEGIN_MS, FAULTS, HOUR_MS, alarms, healthy, observed, with_fault

MINUTE_MS = 60_000
# The interval of each level: two minutes of silence, five minutes of events, an hour for two lost in a hundred, and for values as
# long as it takes to read 200 of them at night.
WITHIN_MS = {"stops": 3, "late": 5, "loses": 60, "doubles": 5, "drifts": 20}


def yesterday(now_ms: int) -> Iterator[EventReading]:
    """What came in the ten minutes around this time a day before."""
    return healthy(seed=now_ms, hours=1, begin_ms=now_ms - 24 * HOUR_MS - HOUR_MS // 2)


def test_a_healthy_day_raises_no_alarm() -> None:
    """In 24 hours of a source with the shape of a day, no look finds a level at risk or broken, and all are met at the end."""
    last: tuple[JudgedLevel, ...] = ()
    for now, found in observed(healthy(1, 24), BEGIN_MS + 24 * HOUR_MS, day_before=yesterday):
        assert not alarms(found), (now, found)
        last = found
    assert {each.property: each.state for each in last} == dict.fromkeys(
        ("timeliness", "intervalOfChange", "completeness", "uniqueness", "drift"), LevelState.MET
    )
    assert all(each.budget_left is not None and each.budget_left > 0.25 for each in last)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_by_its_level(name: str) -> None:
    """A fault that begins after two hours breaks its own level within that level's interval, and no other level before."""
    broken, fault = FAULTS[name]
    begins = BEGIN_MS + 2 * HOUR_MS
    readings = with_fault(healthy(2, 3.2), fault, begins)
    for now, found in observed(readings, begins + WITHIN_MS[name] * MINUTE_MS, day_before=yesterday):
        states = {each.property: each for each in found}
        if alarms(found):
            assert now >= begins
            assert alarms(found) == {broken}
        if states[broken].state is LevelState.BROKEN:
            assert states[broken].reason
            return
    pytest.fail(f"not seen within {WITHIN_MS[name]} minutes: {states[broken]}")
