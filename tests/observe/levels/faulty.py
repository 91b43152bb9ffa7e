"""Sources of events in event time: a healthy one, and ones with a fault that begins at a known time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import pi, sin
from random import Random
from typing import Final

from meshport.observe.levels.judgement import judged
from meshport.observe.levels.port_measures import PortMeasures
from meshport.observe.levels.promises import Promises
from meshport.observe.levels.reading import EventReading
from meshport.product import ServiceLevel
from meshport.service_levels import JudgedLevel, LevelState

BEGIN_MS: Final = 1_767_225_600_000
LOOK_MS: Final = 10_000
HOUR_MS: Final = 3_600_000

LEVELS: Final = (
    ServiceLevel(property="timeliness", value=1, unit="m"),
    ServiceLevel(property="intervalOfChange", value=2, unit="m"),
    ServiceLevel(property="completeness", value=99.5, unit="percent", element="number"),
    ServiceLevel(property="uniqueness", value=99, unit="percent"),
    ServiceLevel(property="drift", value=20, unit="percent", element="celsius, room"),
)

Fault = Callable[[Random, EventReading], list[EventReading]]
"""What becomes of a reading while the fault lasts."""


def value(record: EventReading, **fields: object) -> EventReading:
    """A reading with other values."""
    return _with(record, record={**(record.record or {}), **fields})


def _with(reading: EventReading, **parts: object) -> EventReading:
    given = {name: getattr(reading, name) for name in reading.__slots__}
    return EventReading(**{**given, **parts})


FAULTS: Final[dict[str, tuple[str, Fault]]] = {
    "stops": ("intervalOfChange", lambda *_: []),
    "late": ("timeliness", lambda _, each: [_with(each, time_ms=(each.time_ms or 0) - 180_000)]),
    "loses": ("completeness", lambda random, each: [] if random.random() < 0.02 else [each]),
    "doubles": ("uniqueness", lambda _, each: [each, each]),
    "drifts": ("drift", lambda _, each: [value(each, celsius=float((each.record or {})["celsius"]) + 9)]),
}
"""The level that each fault breaks, and the fault."""


def healthy(seed: int, hours: float, *, begin_ms: int = BEGIN_MS) -> Iterator[EventReading]:
    """A source with the shape of a day: few events at night, and warmer by day; some events are late, and none is lost."""
    random = Random(seed)
    at, number = float(begin_ms), 0
    while at < begin_ms + hours * HOUR_MS:
        day = 1 + sin(2 * pi * ((at - BEGIN_MS) / HOUR_MS - 9) / 24)
        at += random.expovariate((0.4 + 0.6 * day) / 1000)
        delay = random.expovariate(1 / 4000) + (120_000 if random.random() < 0.01 else 0)
        number += 1
        record = {"number": number, "celsius": random.gauss(14 + 4 * day, 3), "room": random.choice("abc")}
        yield EventReading(int(at), at - delay, "mesh://tests/sensors/events@1", f"n-{number}", None, record)


def with_fault(readings: Iterator[EventReading], fault: Fault, begin_ms: int, seed: int = 7) -> Iterator[EventReading]:
    """The readings of a source whose fault begins at a time."""
    random = Random(seed)
    for each in readings:
        yield from [each] if each.recorded_ms < begin_ms else fault(random, each)


def observed(
    readings: Iterator[EventReading],
    until_ms: int,
    *,
    day_before: Callable[[int], Iterator[EventReading]] | None = None,
) -> Iterator[tuple[int, tuple[JudgedLevel, ...]]]:
    """The judgements of each look at a source, ten seconds of event time after another."""
    promises = Promises(LEVELS, ("number",))
    measures = PortMeasures(promises, keyed=False)
    before: dict[str, JudgedLevel] = {}
    compared_ms = 0
    for now, came in by_look(readings, until_ms):
        if day_before is not None and now - compared_ms >= HOUR_MS:
            compared_ms = now
            measures.note_before(day_before(now))
        measures.note(came, now)
        measures.end_look(now)
        found = judged(promises, measures.measures(now), before)
        before = {each.name(): each for each in found}
        yield now, found


def by_look(
    readings: Iterator[EventReading], until_ms: int, *, begin_ms: int = BEGIN_MS, look_ms: int = LOOK_MS
) -> Iterator[tuple[int, list[EventReading]]]:
    """The end of each look, and what was recorded since the one before."""
    end, came = begin_ms + look_ms, list[EventReading]()
    for each in readings:
        while each.recorded_ms > end:
            if end >= until_ms:
                return
            yield end, came
            end, came = end + look_ms, []
        came.append(each)
    while end < until_ms:
        yield end, came
        end, came = end + look_ms, []


def alarms(found: tuple[JudgedLevel, ...]) -> set[str]:
    """The properties that are broken or at risk."""
    return {each.property for each in found if each.state in {LevelState.BROKEN, LevelState.AT_RISK}}
