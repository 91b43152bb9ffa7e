"""The judgement of promises by what was measured: met, at risk, broken, or unknown, with the error budget that is left.

A promise of a share (completeness, uniqueness, validity, availability, errorRate) allows a part of the events to miss it: that
part of a day's events is its error budget. A promise of a delay is one of 95 in a hundred events. It is broken while, in the last
five minutes or the last hour, more miss it than it allows, and more than chance explains; it is at risk while less than a quarter
of the day's budget is left. A promise of an interval is broken as soon as nothing has come for longer. `completeness` judges by
the source's own count, `volumes` a promised volume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import sqrt
from typing import Final

from meshport.compat.service_levels import delay_ms, promise_text, property_of, share
from meshport.observe.levels.completeness import by_count, by_shape
from meshport.observe.levels.outcome import LevelOutcome, percent, span, unknown
from meshport.observe.levels.port_measures import Measures
from meshport.observe.levels.promises import COMPLETENESS, DELAYS, DRIFT, INTERVALS, Promises
from meshport.observe.levels.tally import SpanCount, Tally
from meshport.observe.levels.volumes import VOLUME_DRIFT, VOLUMES, judge_volume, judge_volume_drift
from meshport.product import ServiceLevel
from meshport.service_levels import JudgedLevel, LevelState, MeasuredBy

__all__ = ["IN_TIME", "judged"]

IN_TIME: Final = 0.95
"""The share of events for which a promised delay holds."""
_LITTLE: Final = 0.25
_LEAST_MISSED: Final = 3
# A share is beyond chance where it is further from what is allowed than this many standard deviations.
_BEYOND_CHANCE: Final = 3.5
_NEAR: Final = 0.8

_UNMEASURED: Final = "nothing measures this promise"
_UNCOUNTED: Final = (
    "the source reports no count of its events, and no field numbers them: name that as the promise's `element`"
)
_SILENT: Final = "no event has come since the observer began"
_MISSES: Final[Mapping[str, tuple[str, Callable[[Measures], Tally]]]] = {
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
        outcome = _judge(level, measures)
        one = JudgedLevel(
            property=level.property,
            promised=promise_text(level),
            state=outcome.state,
            measured=outcome.measured,
            budget_left=None if outcome.budget is None else round(outcome.budget, 4),
            reason=outcome.reason,
            measured_by=outcome.by,
            since=now,
        )
        was = (before or {}).get(one.name())
        found.append(one.model_copy(update={"since": was.since}) if was is not None and was.state == one.state else one)
    return tuple(found)


def _judge(level: ServiceLevel, measures: Measures) -> LevelOutcome:
    name, limit_ms, part = property_of(level), delay_ms(level), share(level)
    if name in DELAYS and limit_ms is not None:
        return _delay(limit_ms, measures)
    if name in INTERVALS and limit_ms is not None:
        return _interval(name, limit_ms, measures)
    if name == DRIFT:
        return _drift(level.value if part is None else part, measures)
    if name in VOLUMES:
        return judge_volume(level, measures.volumes)
    if name == VOLUME_DRIFT and part is not None:
        return judge_volume_drift(part, measures.volume)
    if name == COMPLETENESS and part is not None:
        return _completeness(1 - part, measures)
    if name in _MISSES and part is not None:
        words, tally_of = _MISSES[name]
        return _share(part if name == "errorrate" else 1 - part, tally_of(measures), measures.now_ms, words)
    return unknown(_UNMEASURED)


def _completeness(allowed: float, measures: Measures) -> LevelOutcome:
    """Judge by the source's own count, else by the numbers of the facts, else by neither."""
    if measures.counted is not None:
        return by_count(allowed, measures.counted)
    if measures.missing is not None:
        found = _share(allowed, measures.missing, measures.now_ms, "is missing")
        return found._replace(by=MeasuredBy.SEQUENCE if found.state is not LevelState.UNKNOWN else None)
    return by_shape(measures.volume, measures.uncountable or _UNCOUNTED)


def _share(allowed: float, tally: Tally, now_ms: int, words: str) -> LevelOutcome:
    recent, hour, day = tally.recent(now_ms), tally.hour(now_ms), tally.day(now_ms)
    if not day.total:
        return unknown("nothing was measured in the last day")
    missed = day.missed / day.total
    budget = 1 - missed / allowed if allowed > 0 else float(not day.missed)
    shown, within = (hour, "hour") if hour.total else (day, "day")
    measured = f"{percent(1 - shown.missed / shown.total)} in the last {within}"
    for counted, within in ((recent, "five minutes"), (hour, "hour")):
        if recent.missed and _is_beyond(counted, allowed):
            return LevelOutcome(LevelState.BROKEN, measured, budget, _misses(counted, words, within, allowed))
    if budget < _LITTLE and day.missed >= _LEAST_MISSED and _is_beyond(day, allowed * (1 - _LITTLE)):
        return LevelOutcome(LevelState.AT_RISK, measured, budget, _misses(day, words, "day", allowed))
    return LevelOutcome(LevelState.MET, measured, budget, _misses(day, words, "day", allowed))


def _misses(counted: SpanCount, words: str, within: str, allowed: float) -> str:
    missed = percent(counted.missed / counted.total)
    return f"{missed} of {counted.total} {words} in the last {within}, and {percent(allowed)} may be"


def _is_beyond(counted: SpanCount, allowed: float) -> bool:
    """Whether more missed the promise than is allowed, and than chance explains."""
    if allowed <= 0:
        return counted.missed > 0
    expected = allowed * counted.total
    chance = _BEYOND_CHANCE * sqrt(max(0.0, expected * (1 - allowed)))
    return counted.missed >= _LEAST_MISSED and counted.missed > expected + chance


def _delay(limit_ms: float, measures: Measures) -> LevelOutcome:
    tally = measures.late.get(limit_ms)
    if tally is None:
        return unknown(_UNMEASURED)
    delay = measures.delay_ms
    quantiles = (
        None
        if delay is None
        else f"p50 {span(delay.p50)}, p95 {span(delay.p95)}, p99 {span(delay.p99)} in the last five minutes"
    )
    if measures.is_history:
        return unknown("history is being filled in: the time of its facts passes much faster than the clock", quantiles)
    found = _share(1 - IN_TIME, tally, measures.now_ms, f"came later than {span(limit_ms)}")
    return found._replace(measured=quantiles)


def _interval(name: str, limit_ms: float, measures: Measures) -> LevelOutcome:
    newest = measures.newest_fact_ms if name == "freshness" else measures.newest_ms
    if newest is None:
        return unknown(_SILENT)
    if name == "freshness" and measures.is_history:
        return unknown("history is being filled in")
    age = max(0.0, measures.now_ms - newest)
    measured, budget = f"{span(age)} since the newest {'fact' if name == 'freshness' else 'event'}", 1 - age / limit_ms
    if age > limit_ms:
        return LevelOutcome(LevelState.BROKEN, measured, budget, f"nothing new has come for {span(age)}")
    if age > _NEAR * limit_ms:
        return LevelOutcome(LevelState.AT_RISK, measured, budget, f"nothing new has come for {span(age)}")
    return LevelOutcome(LevelState.MET, measured, budget, f"something new came {span(age)} ago")


def _drift(allowed: float, measures: Measures) -> LevelOutcome:
    if measures.drift is None:
        return unknown("the values of this time a day before are not known")
    if not measures.drift:
        return unknown("too few values were read to compare them")
    field = max(measures.drift, key=lambda each: measures.drift[each] if measures.drift else 0)
    distance = measures.drift[field]
    budget = 1 - distance / allowed if allowed > 0 else float(not distance)
    measured = f"{field} is {percent(distance)} apart from the day before"
    if distance > allowed:
        return LevelOutcome(
            LevelState.BROKEN, measured, budget, f"the values of {measured}, and {percent(allowed)} may be"
        )
    state = LevelState.AT_RISK if distance > _NEAR * allowed else LevelState.MET
    return LevelOutcome(state, measured, budget, f"the values of {measured}")
