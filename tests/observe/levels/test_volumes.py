"""Promises of a volume: the least and the most that comes in a time, and the shape of the day and week."""

from __future__ import annotations

import pytest

from meshport.compat.service_levels import LevelChange, level_change
from meshport.observe.levels.judgement import judged
from meshport.observe.levels.port_measures import PortMeasures
from meshport.observe.levels.promises import Promises
from meshport.observe.levels.tally import DAY_MS, HOUR_MS, RECENT_MS
from meshport.observe.levels.volumes import CountInSpan
from meshport.product import ServiceLevel
from meshport.service_levels import JudgedLevel, LevelState, Volume

NOW: int = 1_767_225_600_000


def judge(
    name: str, value: float, unit: str, *, came: int | None = None, whole: bool = True, volume: Volume | None = None
) -> JudgedLevel:
    """The judgement of a promise of a volume, where so many events came in its time."""
    level = ServiceLevel(property=name, value=value, unit=unit)
    promises = Promises((level,))
    measures = PortMeasures(promises, keyed=False)
    if came is not None:
        measures.note_volumes({each: CountInSpan(came, whole) for each in promises.volume_spans_ms})
    if volume is not None:
        measures.note_volume(volume)
    (found,) = judged(promises, measures.measures(NOW))
    return found


@pytest.mark.parametrize(
    ("name", "came", "state", "budget"),
    [
        ("volume", 2000, "met", 0.5),
        ("volume", 1050, "at-risk", 0.0476),
        ("volume", 1000, "at-risk", 0.0),
        ("volume", 999, "broken", -0.001),
        ("volume", 0, "broken", 0.0),
        ("maximumVolume", 0, "met", 1.0),
        ("maximumVolume", 950, "at-risk", 0.05),
        ("MAXIMUMVOLUME", 1000, "at-risk", 0.0),
        ("maximumVolume", 1001, "broken", -0.001),
    ],
)
def test_the_least_and_the_most_are_kept(name: str, came: int, state: str, budget: float) -> None:
    """Of 1000 events an hour, one fewer or one more breaks the promise, and within a tenth of it it is at risk."""
    found = judge(name, 1000, "events/h", came=came)
    assert (found.state, found.budget_left) == (state, budget)
    assert found.measured == f"{came} events came in the last 1 h"
    assert found.reason == (
        f"{came} events came in the last 1 h, and 1000 at {'least' if name == 'volume' else 'most'} are promised"
    )


def test_the_time_is_that_of_the_unit() -> None:
    """A promise is measured over the time of its unit, five minutes at least; the figure is that of this time."""
    spans = {
        unit: Promises((ServiceLevel(property="volume", value=1, unit=unit),)).volume_spans_ms
        for unit in ("events/s", "per minute", "1/h", "records per day", "percent")
    }
    assert spans == {
        "events/s": (RECENT_MS,),
        "per minute": (RECENT_MS,),
        "1/h": (HOUR_MS,),
        "records per day": (DAY_MS,),
        "percent": (),
    }
    assert judge("volume", 2, "events/s", came=600).state is LevelState.AT_RISK
    assert judge("volume", 2, "events/s", came=599).reason == (
        "599 events came in the last 5 min, and 600 at least are promised"
    )


def test_what_is_not_known_is_unknown() -> None:
    """A log that does not reach back says nothing of the least, and enough of the most; another unit is none."""
    young = judge("volume", 10, "events/d", came=3, whole=False)
    assert (young.state, young.reason) == (LevelState.UNKNOWN, "the log does not reach back 1 d")
    assert judge("maximumVolume", 10, "events/d", came=11, whole=False).state is LevelState.BROKEN
    assert judge("volume", 10, "events/d").reason == "nothing was measured yet"
    assert judge("volume", 10, "rows").reason == (
        "a volume is promised in events of a time, such as events/h, and its unit is 'rows'"
    )
    assert judge("volumeDrift", 30, "percent", volume=Volume(last_hour=5)).state is LevelState.UNKNOWN


@pytest.mark.parametrize(
    ("last", "day", "week", "state"),
    [
        (10_000, 10_000, 10_000, "met"),
        (10_300, 10_000, None, "met"),
        (4_000, 10_000, 4_100, "met"),
        (10_000, None, 4_000, "broken"),
        (5_000, 10_000, 9_000, "broken"),
        (13_400, 10_000, 10_000, "at-risk"),
        (0, 12, 9, "met"),
        (0, 0, 0, "met"),
        (0, 1_000, 1_000, "broken"),
    ],
)
def test_the_shape_of_a_day_or_a_week_is_kept(last: int, day: int | None, week: int | None, state: str) -> None:
    """A volume is compared with the nearer one of a day and a week before, beyond chance."""
    found = judge("volumeDrift", 35, "percent", volume=Volume(last_hour=last, day_before=day, week_before=week))
    assert found.state == state, found


def test_a_change_of_a_promised_volume_has_a_direction() -> None:
    """Fewer at least, and more at most, is a weaker promise; the same rate in another unit is kept."""

    def change(name: str, before: str, after: str) -> LevelChange:
        (was, unit), (now, other) = before.split(), after.split()
        return level_change(
            ServiceLevel(property=name, value=float(was), unit=unit),
            ServiceLevel(property=name, value=float(now), unit=other),
        )

    assert change("volume", "60 events/min", "1 events/s") is LevelChange.KEPT
    assert change("throughput", "100 events/s", "90 events/s") is LevelChange.WEAKER
    assert change("volume", "60 events/h", "50 events/h") is LevelChange.WEAKER
    assert change("maximumVolume", "60 events/h", "50 events/h") is LevelChange.STRONGER
    assert change("volumeDrift", "30 percent", "40 percent") is LevelChange.WEAKER
