"""The judgement of promises by what was measured: met, at risk, broken, or unknown, with the error budget that is left.

A promise of a share (completeness, uniqueness, validity, availability, errorRate) allows a part of the events to miss it: that
part of a day's events is its error budget. A promise of a delay is one of 95 in a hundred events. It is broken while, in the last
five minutes or the last hour, more miss it than it allows, and more than chance explains; it is at risk while less than a quarter
of the day's budget is left. A promise of an interval is broken as soon as nothing has come for longer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import sqrt
from typing import Final

from meshport.compat.service_levels import delay_ms, promise_text, property_of, share
from meshport.observe.levels.port_measures import Measures
from meshport.observe.levels.promises import COMPLETENESS, DELAYS, DRIFT, INTERVALS, Promises
from meshport.observe.levels.tally import SpanCount, Tally
from meshport.product import ServiceLevel
from meshport.service_levels import JudgedLevel, LevelState

__all__ = ["IN_TIME", "judged"]

IN_TIME: Final = 0.95
"""The share of events for which a promised delay holds."""
_LITTLE: Final = 0.25
_LEAST_MISSED: Final = 3
# A share is beyond chance where it is further from what is allowed than this many standard deviations.
_BEYOND_CHANCE: Final = 3.5
_NEAR: Final = 0.8

_Outcome = tuple[LevelState, str | None, float | None, str]
"""State, what was measured, budget left, reason."""
_UNMEASURED: Final = "nothing measures this promise"
_SILENT: Final = "no event has come since the observer began"
_MISSES: Final[Mapping[str, tuple[str, Callable[[Measures], Tally | None]]]] = {
    COMPLETENESS: ("is missing", lambda found: found.missing),
    "uniqueness": ("is repeated", lambda found: found.repeated),
    "validity": ("is unreadable or quarantined", lambda found: found.invalid),
    "errorrate": ("is unreadable or quarantined", lambda found: found.invalid),
    "availability": ("is away", lambda found: found.away),
}


def judged(
    promises: Promises, measures: Measures, before: Mapping[str, JudgedLevel] | None = None
) -> tuple[JudgedLevel, ...]:
    """Judge the promises of a port.

    Args:
        promises: of the port.
        measures: what was measured of it.
        before: the judgements before, by `JudgedLevel.name()`: a state that stays keeps its beginning.

    Returns:
        A judgement of each promise, in their order.
    """
    now = datetime.fromtimestamp(measures.now_ms / 1000, UTC)
    found = []
    for level in promises.levels:
        state, measured, budget, reason = _judge(level, measures)
        one = JudgedLevel(
            property=level.property,
            promised=promise_text(level),
            state=state,
            measured=measured,
            budget_left=None if budget is None else round(budget, 4),
            reason=reason,
            since=now,
        )
        was = (before or {}).get(one.name())
        found.append(one.model_copy(update={"since": was.since}) if was is not None and was.state == state else one)
    return tuple(found)


def _judge(level: ServiceLevel, measures: Measures) -> _Outcome:
    name, limit_ms, part = property_of(level), delay_ms(level), share(level)
    if name in DELAYS and limit_ms is not None:
        return _delay(limit_ms, measures)
    if name in INTERVALS and limit_ms is not None:
        return _interval(name, limit_ms, measures)
    if name == DRIFT:
        return _drift(level.value if part is None else part, measures)
    if name in _MISSES and part is not None:
        words, tally_of = _MISSES[name]
        tally = tally_of(measures)
        if tally is None:
            return _unnumbered(measures)
        return _share(part if name == "errorrate" else 1 - part, tally, measures.now_ms, words)
    return LevelState.UNKNOWN, None, None, _UNMEASURED


def _share(allowed: float, tally: Tally, now_ms: int, words: str) -> _Outcome:
    recent, hour, day = tally.recent(now_ms), tally.hour(now_ms), tally.day(now_ms)
    if not day.total:
        return LevelState.UNKNOWN, None, None, "nothing was measured in the last day"
    missed = day.missed / day.total
    budget = 1 - missed / allowed if allowed > 0 else float(not day.missed)
    shown, span = (hour, "hour") if hour.total else (day, "day")
    measured = f"{_percent(1 - shown.missed / shown.total)} in the last {span}"
    for counted, span in ((recent, "five minutes"), (hour, "hour")):
        if recent.missed and _is_beyond(counted, allowed):
            return LevelState.BROKEN, measured, budget, _misses(counted, words, span, allowed)
    if budget < _LITTLE and day.missed >= _LEAST_MISSED and _is_beyond(day, allowed * (1 - _LITTLE)):
        return LevelState.AT_RISK, measured, budget, _misses(day, words, "day", allowed)
    return LevelState.MET, measured, budget, _misses(day, words, "day", allowed)


def _misses(counted: SpanCount, words: str, span: str, allowed: float) -> str:
    missed = _percent(counted.missed / counted.total)
    return f"{missed} of {counted.total} {words} in the last {span}, and {_percent(allowed)} may be"


def _is_beyond(counted: SpanCount, allowed: float) -> bool:
    """Whether more missed the promise than is allowed, and than chance explains."""
    if allowed <= 0:
        return counted.missed > 0
    expected = allowed * counted.total
    chance = _BEYOND_CHANCE * sqrt(max(0.0, expected * (1 - allowed)))
    return counted.missed >= _LEAST_MISSED and counted.missed > expected + chance


def _delay(limit_ms: float, measures: Measures) -> _Outcome:
    tally = measures.late.get(limit_ms)
    if tally is None:
        return LevelState.UNKNOWN, None, None, _UNMEASURED
    found = measures.delay_ms
    quantiles = (
        None
        if found is None
        else f"p50 {_span(found.p50)}, p95 {_span(found.p95)}, p99 {_span(found.p99)} in the last five minutes"
    )
    if measures.is_history:
        return (
            LevelState.UNKNOWN,
            quantiles,
            None,
            "history is being filled in: the time of its facts passes much faster than the clock",
        )
    state, _, budget, reason = _share(1 - IN_TIME, tally, measures.now_ms, f"came later than {_span(limit_ms)}")
    return state, quantiles, budget, reason


def _interval(name: str, limit_ms: float, measures: Measures) -> _Outcome:
    newest = measures.newest_fact_ms if name == "freshness" else measures.newest_ms
    if newest is None:
        return LevelState.UNKNOWN, None, None, _SILENT
    if name == "freshness" and measures.is_history:
        return LevelState.UNKNOWN, None, None, "history is being filled in"
    age = max(0.0, measures.now_ms - newest)
    measured, budget = f"{_span(age)} since the newest {'fact' if name == 'freshness' else 'event'}", 1 - age / limit_ms
    if age > limit_ms:
        return LevelState.BROKEN, measured, budget, f"nothing new has come for {_span(age)}"
    if age > _NEAR * limit_ms:
        return LevelState.AT_RISK, measured, budget, f"nothing new has come for {_span(age)}"
    return LevelState.MET, measured, budget, f"something new came {_span(age)} ago"


def _drift(allowed: float, measures: Measures) -> _Outcome:
    if measures.drift is None:
        return LevelState.UNKNOWN, None, None, "the values of this time a day before are not known"
    if not measures.drift:
        return LevelState.UNKNOWN, None, None, "too few values were read to compare them"
    field = max(measures.drift, key=lambda each: measures.drift[each] if measures.drift else 0)
    distance = measures.drift[field]
    budget = 1 - distance / allowed if allowed > 0 else float(not distance)
    measured = f"{field} is {_percent(distance)} apart from the day before"
    if distance > allowed:
        return LevelState.BROKEN, measured, budget, f"the values of {measured}, and {_percent(allowed)} may be"
    state = LevelState.AT_RISK if distance > _NEAR * allowed else LevelState.MET
    return state, measured, budget, f"the values of {measured}"


def _unnumbered(measures: Measures) -> _Outcome:
    reason = "no field numbers the facts: name it as the `element` of the promise"
    volume = measures.volume
    if volume is None or not volume.day_before:
        return LevelState.UNKNOWN, None, None, reason
    measured = f"{_percent(volume.last_hour / volume.day_before)} of the same hour a day before"
    return LevelState.UNKNOWN, measured, None, reason


def _percent(part: float) -> str:
    return f"{100 * part:.4g} %"


def _span(length_ms: float) -> str:
    """Return a length of time in its largest fitting unit: `350 ms`, `12 s`, `2.5 h`."""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if length_ms >= length:
            return f"{length_ms / length:.3g} {unit}"
    return f"{length_ms:.0f} ms"
