"""Promises of a volume: how many events come in a time, and whether that is as it was a day and a week before.

A `volume` is the least that comes, a `maximumVolume` the most, in a time of the promise's unit (`events/h`). A promise of less
than five minutes is measured over five minutes. Events are counted as differences of offsets. A promise is broken by one event
too few or too many; it is at risk within a tenth of that, so that a promise needs some room to be met. A `volumeDrift` is how far
the events of the last hour are from those of the same hour a day before or a week before, whichever is nearer: a Sunday is like a
Sunday. What chance explains is taken off.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

from meshport.compat.service_levels import property_of, rate_of
from meshport.observe.levels.outcome import LevelOutcome, percent, span, unknown
from meshport.observe.levels.tally import RECENT_MS
from meshport.product import ServiceLevel
from meshport.service_levels import LevelState, Volume

__all__ = ["LEAST", "MOST", "VOLUMES", "VOLUME_DRIFT", "CountInSpan", "judge_volume", "judge_volume_drift", "span_of"]

LEAST: Final = "volume"
MOST: Final = "maximumvolume"
VOLUMES: Final = frozenset({LEAST, MOST})
VOLUME_DRIFT: Final = "volumedrift"
_LITTLE: Final = 0.1
# Two counts of one source differ by chance by more than this many times the root of their sum once in 2,000 times.
_BEYOND_CHANCE: Final = 3.5
_NEAR: Final = 0.8


@dataclass(frozen=True, slots=True)
class CountInSpan:
    """How many offsets a topic had in a span of time before now.

    Attributes:
        events: how many.
        whole: whether the log reaches back to the begin of the span.
    """

    events: int
    whole: bool


def span_of(level: ServiceLevel) -> int | None:
    """Return over which time a promise of a volume is measured, in ms; None where it is none, or its unit is no rate."""
    found = rate_of(level) if property_of(level) in VOLUMES else None
    return None if found is None else max(RECENT_MS, found[1])


def judge_volume(level: ServiceLevel, found: dict[int, CountInSpan]) -> LevelOutcome:
    """Judge a promise of a volume.

    Args:
        level: the promise.
        found: how many events came, by the span of time in ms.
    """
    rate, length = rate_of(level), span_of(level)
    if rate is None or length is None:
        return unknown(f"a volume is promised in events of a time, such as events/h, and its unit is {level.unit!r}")
    counted = found.get(length)
    if counted is None:
        return unknown("nothing was measured yet")
    limit, least = rate[0] * length / rate[1], property_of(level) == LEAST
    came, within = f"{counted.events} events came in the last {span(length)}", span(length)
    if least and not counted.whole:
        return unknown(f"the log does not reach back {within}", came)
    promise = f"{limit:.6g} {'at least' if least else 'at most'} are promised"
    if least:
        kept = counted.events >= limit
        budget = 1 - limit / counted.events if counted.events else float(limit <= 0)
    else:
        kept = counted.events <= limit
        budget = 1 - counted.events / limit if limit > 0 else float(kept)
    state = LevelState.BROKEN if not kept else LevelState.AT_RISK if budget < _LITTLE else LevelState.MET
    return LevelOutcome(state, came, budget, f"{came}, and {promise}")


def judge_volume_drift(allowed: float, volume: Volume | None) -> LevelOutcome:
    """Judge a promise that the volume keeps the shape of its day or week.

    Args:
        allowed: the promised part, 0.3 for 30 percent.
        volume: how many events came; None where nothing was measured.
    """
    before = (
        {}
        if volume is None
        else {
            name: count
            for name, count in (("a day before", volume.day_before), ("a week before", volume.week_before))
            if count is not None
        }
    )
    if volume is None or not before:
        return unknown("how many events came in this hour of a day before is not known")
    distances = {name: _apart(volume.last_hour, count) for name, count in before.items()}
    nearest = min(distances, key=lambda name: distances[name])
    distance = distances[nearest]
    measured = f"{volume.last_hour} events came in the last hour, and {before[nearest]} in the same hour {nearest}"
    budget = 1 - distance / allowed if allowed > 0 else float(not distance)
    if distance > allowed:
        reason = f"{measured}: {percent(distance)} apart beyond chance, and {percent(allowed)} may be"
        return LevelOutcome(LevelState.BROKEN, measured, budget, reason)
    state = LevelState.AT_RISK if distance > _NEAR * allowed and distance > 0 else LevelState.MET
    return LevelOutcome(state, measured, budget, measured)


def _apart(now: int, before: int) -> float:
    """Return how far two counts are apart as a part of the earlier one, without what chance explains."""
    beyond = abs(now - before) - _BEYOND_CHANCE * sqrt(now + before)
    return max(0.0, beyond) / max(1, before)
