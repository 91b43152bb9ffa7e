"""The measures of a port one by one: gaps in numbers, repeats, drift, filled-in history, and how promises are judged by them."""

from __future__ import annotations

from random import Random

import pytest

from meshport.observe.levels.drift import Distribution, drift_of
from meshport.observe.levels.judgement import judged
from meshport.observe.levels.port_measures import PortMeasures
from meshport.observe.levels.promises import Promises
from meshport.observe.levels.reading import EventReading
from meshport.observe.levels.sequence import FoundFacts, NumberedFacts
from meshport.observe.levels.tally import DAY_MS, HOUR_MS, SpanCount, Tally
from meshport.product import OutputPort, Product, ServiceLevel
from meshport.service_levels import JudgedLevel, LevelState

NOW: int = 1_767_225_600_000


def look(facts: NumberedFacts, *numbers: int, key: bytes | None = None) -> FoundFacts:
    """One look at these numbers."""
    for each in numbers:
        facts.note(key, each)
    return facts.settle()


def judge(level: ServiceLevel, *readings: EventReading, now: int = NOW) -> JudgedLevel:
    """The judgement of one promise by these events."""
    promises = Promises((level,))
    measures = PortMeasures(promises, keyed=False)
    measures.note(readings, now)
    measures.end_look(now)
    (found,) = judged(promises, measures.measures(now))
    return found


def test_a_gap_counts_after_one_more_look() -> None:
    """A number that is missing has one look more to come; then it is missing, and it is taken back when it comes at last."""
    facts = NumberedFacts(by_key=True)
    assert look(facts, 1, 2, 3, 5) == FoundFacts(4, 0, 0)
    assert look(facts, 6) == FoundFacts(2, 1, 0)
    assert look(facts, 4, 7) == FoundFacts(1, -1, 0)


def test_each_key_numbers_its_own_facts() -> None:
    """Two keys count on their own; a number that comes again is a repeat; what is skipped is not missing."""
    facts = NumberedFacts(by_key=True)
    assert look(facts, 10, 11, key=b"a") + look(facts, 900, key=b"b") == FoundFacts(3, 0, 0)
    assert look(facts, 11, 12, key=b"a") == FoundFacts(1, 0, 1)
    assert facts.skip() == FoundFacts(0, 0, 0)
    assert look(facts, 50, key=b"a") == FoundFacts(1, 0, 0)


def test_the_edges_of_a_slice_are_no_gaps() -> None:
    """Of a whole port, numbers between the first ones and the last ones of a slice are its edges; read on, they are whole."""
    facts = NumberedFacts(by_key=False)
    slice_ = [1, *range(10, 50), 55, 57]
    for each in slice_:
        facts.note(None, each)
    assert facts.settle().missing == 0
    assert facts.skip().missing == 0
    for each in [*slice_[:20], *slice_[21:]]:
        facts.note(None, each)
    facts.settle()
    assert facts.skip().missing == 1
    assert look(facts, *range(100, 130)).missing == 0
    assert look(facts, *range(130, 160)).missing == 0


def test_a_source_that_is_set_up_anew_misses_nothing() -> None:
    """Numbers that begin at 1 again are a new count, and so are ones that are a million away."""
    facts = NumberedFacts(by_key=True)
    look(facts, 500, 501)
    assert look(facts, 1, 2, 3) == FoundFacts(3, 0, 0)
    assert look(facts, 5_000_000) == FoundFacts(1, 0, 0)
    assert look(facts, 5_000_001) == FoundFacts(1, 0, 0)


def test_a_gap_too_wide_to_await_counts_at_once() -> None:
    """Of 50,000 missing numbers the last 10,000 are awaited for a look, and all are missing after it."""
    facts = NumberedFacts(by_key=True)
    look(facts, 1)
    first = look(facts, 50_002)
    second = look(facts, 50_003)
    assert (first + second).missing == 50_000
    assert (first + second).facts == 50_002


def test_a_tally_keeps_a_day() -> None:
    """Counts move from the last minutes to the hour and the day, and are gone after it."""
    tally = Tally()
    tally.add(NOW, 10, 2)
    assert tally.recent(NOW) == tally.hour(NOW) == tally.day(NOW) == SpanCount(10, 2)
    assert tally.recent(NOW + 600_000) == SpanCount()
    assert tally.hour(NOW + 600_000) == SpanCount(10, 2)
    assert tally.hour(NOW + 2 * HOUR_MS) == SpanCount()
    assert tally.day(NOW + 2 * HOUR_MS).share == 0.8
    assert tally.day(NOW + 2 * DAY_MS).share is None
    tally.add(NOW, 5, 5)
    assert tally.day(NOW + 2 * DAY_MS) == SpanCount()


def test_drift_is_a_distance_beyond_chance() -> None:
    """Samples of one distribution do not drift; other numbers, other words and nulls do; ids and text are left out."""

    def sample(seed: int, mean: float, room: str, nulls: float) -> Distribution:
        random, found = Random(seed), Distribution(without=["number"])
        for each in range(2000):
            celsius = None if random.random() < nulls else random.gauss(mean, 3)
            record = {
                "celsius": celsius,
                "room": random.choice(room),
                "id": f"{seed}-{each}",
                "number": each,
                "tags": ["a"],
            }
            found.add(record)
        return found

    assert drift_of(sample(1, 10, "abc", 0), sample(2, 10, "abc", 0)) == {"celsius": 0.0, "room": 0.0}
    assert drift_of(sample(1, 20, "abc", 0), sample(2, 10, "abc", 0))["celsius"] > 0.7
    assert drift_of(sample(1, 10, "abd", 0), sample(2, 10, "abc", 0))["room"] == pytest.approx(0.25, abs=0.06)
    assert drift_of(sample(1, 10, "abc", 0.5), sample(2, 10, "abc", 0))["celsius"] > 0.3


def test_history_that_is_filled_in_is_no_delay() -> None:
    """Facts of last year that come ten times as fast as the clock say nothing about timeliness; ones that come in step do."""
    level = ServiceLevel(property="timeliness", value=1, unit="m")
    filled = [EventReading(NOW - 100 + each, NOW - 400 * DAY_MS + each * 10_000.0) for each in range(100)]
    assert judge(level, *filled).state is LevelState.UNKNOWN
    late = [EventReading(NOW - 100_000 + each * 1000, NOW - 2 * DAY_MS + each * 1000.0) for each in range(100)]
    found = judge(level, *late)
    assert (found.state, found.measured) == (LevelState.BROKEN, "p50 2 d, p95 2 d, p99 2 d in the last five minutes")


def test_an_interval_is_broken_by_silence() -> None:
    """A promise of an interval is met, at risk and broken as time passes without an event, and unknown before the first."""
    level = ServiceLevel(property="intervalOfChange", value=10, unit="m")
    states = {age: judge(level, EventReading(NOW - age * 60_000), now=NOW).state for age in (1, 9, 11)}
    assert states == {1: LevelState.MET, 9: LevelState.AT_RISK, 11: LevelState.BROKEN}
    assert judge(level).state is LevelState.UNKNOWN


def test_few_misses_are_chance() -> None:
    """Two repeats of twenty events break no promise, ten of 200 do; a promise of all is broken by one."""
    level = ServiceLevel(property="uniqueness", value=99, unit="percent")

    def events(count: int, repeated: int) -> list[EventReading]:
        return [EventReading(NOW - 1000, id=str(max(each, repeated))) for each in range(count)]

    assert judge(level, *events(20, 2)).state is LevelState.MET
    assert judge(level, *events(200, 10)).state is LevelState.BROKEN
    found = judge(level.model_copy(update={"value": 100.0}), *events(20, 1))
    assert (found.state, found.budget_left) == (LevelState.BROKEN, 0.0)


def test_what_nothing_measures_is_unknown() -> None:
    """Completeness without a field that numbers the facts, a drift without a day before and other properties are unknown."""
    for level in (
        ServiceLevel(property="completeness", value=99, unit="percent"),
        ServiceLevel(property="drift", value=20, unit="percent"),
        ServiceLevel(property="retention", value=7, unit="d"),
        ServiceLevel(property="timeliness", value=99, unit="percent"),
    ):
        found = judge(level, EventReading(NOW, NOW, record={"a": 1}))
        assert found.state is LevelState.UNKNOWN
        assert found.reason


def test_the_promises_of_a_port_come_from_its_descriptor() -> None:
    """A promise of one port overrides one of all; fields of key, time and numbers are no drift."""
    product = Product.model_validate(
        {
            "address": "mesh://operations/departures",
            "id": "1a5ff1a8-8e1c-4a0a-b2b4-6f2a0a8b1d11",
            "archetype": "source-aligned",
            "description": "d",
            "owner": "o",
            "outputPorts": [{"name": "events", "key": "flight", "time": "at"}],
            "slaProperties": [
                {"property": "timeliness", "value": 1, "unit": "h"},
                {"property": "latency", "value": 5, "unit": "s"},
                {"property": "timeliness", "value": 1, "unit": "m", "port": "events"},
                {"property": "completeness", "value": 99, "unit": "percent", "element": "number"},
                {"property": "drift", "value": 20, "unit": "percent", "element": "gate, delay"},
            ],
        }
    )
    port: OutputPort = product.default_port
    promises = Promises.of(product, port)
    assert set(promises.delays_ms) == {60_000, 5_000}
    assert (promises.number_field, promises.drift_fields) == ("number", ("gate", "delay"))
    assert promises.watches_values
    assert promises.moving_fields == ("flight", "at", "number")
