"""The judgement of completeness, by the best that there is: the source's own count, gaps in the numbers of facts, or neither.

A source's count is exact, and so is the comparison: a promise of 99.5 percent is broken as soon as more than five in a thousand
of the facts that the source counted in its last hour are not in the topic. How many events came a day before is shown where there
is nothing better; a smaller number is no proof of a loss.
"""

from __future__ import annotations

from typing import Final

from meshport.observe.levels.outcome import LevelOutcome, instant_text, percent, unknown
from meshport.observe.levels.source_counting import CountedFacts
from meshport.service_levels import LevelState, MeasuredBy, Volume

__all__ = ["by_count", "by_shape"]

_LITTLE: Final = 0.25


def by_count(allowed: float, counted: CountedFacts) -> LevelOutcome:
    """Judge a promise of completeness by the source's own count.

    Args:
        allowed: the part of the facts that may be missing.
        counted: what the source counted, and what of it is missing.
    """
    newest, day = counted.newest, counted.day
    here = newest.total - newest.missed
    interval = f"from {instant_text(counted.begin_ms)} to {instant_text(counted.end_ms)}"
    measured = f"{percent(here / newest.total) if newest.total else '100 %'} of the source's own count {interval}"
    reason = f"{here} of the {newest.total} facts that the source counted {interval} came, and {percent(allowed)} may be missing"
    missed = day.missed / day.total if day.total else 0.0
    budget = 1 - missed / allowed if allowed > 0 else float(not day.missed)
    if newest.missed > allowed * newest.total:
        state = LevelState.BROKEN
    elif day.missed and budget < _LITTLE:
        state = LevelState.AT_RISK
        lost = f"{day.missed} of the {day.total} facts that the source counted in a day are missing"
        reason = f"{lost}, and {percent(allowed)} may be"
    else:
        state = LevelState.MET
    return LevelOutcome(state, measured, budget, reason, MeasuredBy.SOURCE_COUNT)


def by_shape(volume: Volume | None, reason: str) -> LevelOutcome:
    """Return what is known of a completeness without a count and without numbers: how many events came a day before.

    Args:
        volume: how many events came; None where nothing was measured.
        reason: why there is nothing better.
    """
    if volume is None or not volume.day_before:
        return unknown(reason)
    measured = f"{percent(volume.last_hour / volume.day_before)} of the same hour a day before"
    return LevelOutcome(LevelState.UNKNOWN, measured, None, reason, MeasuredBy.SHAPE)
