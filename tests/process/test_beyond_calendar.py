"""Processors over dates and timestamps that Python does not have: passed on as their numbers, computed with by no operator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from meshport.address import Address
from meshport.errors import EventError
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import Port
from meshport.process.logic.operators import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Filter,
    Flatten,
    Join,
    JoinStream,
    Occurrence,
    Operator,
    Rename,
    Select,
)
from meshport.process.logic.pipeline import Pipeline
from meshport.process.runtime.quarantine import QuarantinedEvent, quarantined_event
from meshport.process.stages.source import SourceStage
from tests.process.plays import INSTANT, NOON, at, field, record
from tests.process.test_columns import ByColumns

LEASES = Address.parse("rental/leases")
NOTES = Address.parse("rental/notes")
HOUSES = Address.parse("rental/houses")
YEAR_10000 = 253_402_300_800_000
FOREVER = 2**63 - 1
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-millis"}
DAY = {"type": "int", "logicalType": "date"}
TERM = record("Term", field("until", INSTANT), field("days", "long"))
TIMES = [
    field("until", INSTANT),
    field("seen", ["null", MICROS]),
    field("slot", ["null", LOCAL]),
    field("day", ["null", DAY]),
    field("terms", {"type": "array", "items": TERM}),
]
LEASE = record("Lease", field("house", "string"), field("rent", "long"), *TIMES)
FAR: list[dict[str, Any]] = [
    {"until": FOREVER},
    {"until": -FOREVER - 1},
    {"until": YEAR_10000},
    {"seen": FOREVER},
    {"slot": YEAR_10000},
    {"day": 2_932_897},
    {"terms": [{"until": at(0), "days": 1}, {"until": FOREVER, "days": 2}]},
]


def lease(house: str, **more: Any) -> dict[str, Any]:
    """A lease of which all times are ordinary, but for those that are given."""
    usual = {"until": at(1), "seen": at(2), "slot": at(3).replace(tzinfo=None), "day": at(4).date(), "terms": []}
    return {"house": house, "rent": 7, **usual} | more


def harness_of(
    made: type[Harness], output: dict[str, Any], *operators: Operator, key: tuple[str, ...] = ("house",)
) -> Harness:
    """A processor over leases; every port has one partition, so that outputs are in the order of their events."""
    note = record("Note", field("house", "string"), field("text", "string"), field("until", INSTANT))
    house = record("House", field("house", "string"), field("sold", INSTANT), field("built", ["null", DAY]))
    ports = {
        str(LEASES): Port(LEASE, key=("house",)),
        str(NOTES): Port(note, key=("house",)),
        str(HOUSES): Port(house, key=("house",), cleanup="compact"),
        "rental/out": Port(output, key=key),
    }
    return made(Pipeline(LEASES, operators, timedelta(days=1)), output="rental/out", ports=ports)


def given(harness: Harness) -> list[dict[str, Any]]:
    """Publish enough leases for columns, among them one for each kind of far time; return them."""
    leases = [lease(f"h{number % 5}", rent=number) for number in range(60)]
    for number, far in enumerate(FAR):
        leases[10 + number] |= far
    for each in leases:
        harness.publish(str(LEASES), each, time=NOON)
    harness.run()
    return leases


def refused(harness: Harness) -> list[QuarantinedEvent]:
    """The quarantined events."""
    return [quarantined_event(*each.parts[:3]) for each in harness.quarantine()]


BOTH = pytest.mark.parametrize("made", [Harness, ByColumns])
OUT = record("Out", field("house", "string"), field("rent", "long"), *TIMES)


@BOTH
@pytest.mark.parametrize(
    "operators",
    [
        (),
        (Select(("house", "rent", "until", "seen", "slot", "day", "terms")),),
        (Filter("rent >= 0"), Deduplicate(timedelta(hours=1), ("house", "rent"))),
        (Derive({"rent": "rent * 1"}), Rename({"until": "x"}), Rename({"x": "until"})),
    ],
)
def test_a_far_time_is_passed_on_as_it_is(
    made: type[Harness], operators: tuple[Operator, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that does not compute with a field passes its number on, by columns too; nothing is quarantined."""
    harness = harness_of(made, OUT, *operators)
    if made is ByColumns:
        monkeypatch.setattr(SourceStage, "_process_message", None)  # no event is left to the row path
    leases = given(harness)
    assert harness.records() == leases
    assert refused(harness) == []


@BOTH
def test_other_fields_are_aggregated(made: type[Harness]) -> None:
    """An aggregate over other fields counts the events whose times are far, in rows and in columns."""
    harness = harness_of(
        made,
        record("Total", field("house", "string"), field("rent", "long")),
        Aggregate(("house",), {"rent": "sum(rent)"}),
    )
    leases = given(harness)
    totals = {house: sum(each["rent"] for each in leases if each["house"] == house) for house in ("h0", "h1", "h4")}
    assert {house: harness.table()[house]["rent"] for house in totals} == totals
    assert refused(harness) == []


@BOTH
@pytest.mark.parametrize(
    ("operators", "output", "path"),
    [
        ((Aggregate(("house",), {"until": "max(until)"}),), [field("until", INSTANT)], "until"),
        ((Aggregate(("house",), {"n": "count()"}), Filter("n > 0")), [field("n", "long")], ""),
        ((Aggregate(("house", "day"), {"n": "count()"}),), [field("day", ["null", DAY]), field("n", "long")], "day"),
        ((Derive({"on": "date(until)"}),), [field("on", DAY)], "until"),
        ((Derive({"hour": "hour(slot)"}),), [field("hour", ["null", "long"])], "slot"),
        ((Rename({"until": "end"}), Filter("end > seen")), [field("end", INSTANT)], "until seen"),
        ((Derive({"left": "seconds(until - seen)"}),), [field("left", ["null", "double"])], "until seen"),
        ((Flatten("terms"), Filter("terms.until != None")), [field("rent", "long")], "terms.until"),
        ((Deduplicate(timedelta(hours=1), ("house", "rent", "seen")),), [field("rent", "long")], "seen"),
    ],
)
def test_an_operator_that_reads_a_far_time_costs_its_event(
    made: type[Harness], operators: tuple[Operator, ...], output: list[dict[str, Any]], path: str
) -> None:
    """The event is quarantined with field and number, as one that cannot be read; rows and columns agree, after a restart too."""
    form = record("Out", field("house", "string"), *output)
    operators = (*operators, Select(("house", *(each["name"] for each in output))))
    harness = harness_of(made, form, *operators)
    leases = given(harness)
    far = {
        (number, name): each
        for number, row in enumerate(leases)
        for name in path.split()
        for each in _numbers(row, name.split("."))
    }
    assert len(far) == len({number for number, _ in far})
    found = refused(harness)
    assert [(each.offset, each.error) for each in found] == [(number, EventError.__name__) for number, _ in far]
    for each, ((_, name), number) in zip(found, far.items(), strict=True):
        place = f"{each.topic}[{each.partition}]@{each.offset}"
        assert (
            f"{place}: the field {name!r} holds {number}, a date or timestamp whose year is not 1 to 9999"
            in each.reason
        )
    other = harness_of(ByColumns if made is Harness else Harness, form, *operators)
    given(other)
    assert [each.parts for each in other.outputs()] == [each.parts for each in harness.outputs()]
    harness.restart()
    harness.publish(str(LEASES), lease("h1"), time=NOON)
    harness.run()
    assert len(refused(harness)) == len(found)


def _numbers(value: Any, path: list[str]) -> list[int]:
    """The far numbers at a path."""
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each, path)]
    return _numbers(value[path[0]], path[1:]) if path else [value] if type(value) is int else []


@BOTH
def test_a_row_of_a_joined_product_is_joined(made: type[Harness]) -> None:
    """A far time that is taken from a joined product is passed on; a row of which the process computes with one is left out."""
    joined = record("Out", field("house", "string"), field("sold", ["null", INSTANT]), field("built", ["null", DAY]))
    take = {"sold": "sold", "built": "built"}
    passed = harness_of(made, joined, Join(HOUSES, "house", take, "keep"), Select(("house", "sold", "built")))
    computed = harness_of(
        made,
        record("Out", field("house", "string"), field("on", ["null", DAY])),
        Join(HOUSES, "house", take, "keep"),
        Derive({"on": "date(sold)"}),
        Select(("house", "on")),
    )
    for harness in (passed, computed):
        harness.publish(str(HOUSES), {"house": "h1", "sold": at(0), "built": None}, time=at(-9))
        harness.publish(str(HOUSES), {"house": "h1", "sold": FOREVER, "built": 2_932_897}, time=at(-8))
        given(harness)
        assert refused(harness) == []
    assert passed.table()["h1"] == {"house": "h1", "sold": FOREVER, "built": 2_932_897}
    assert computed.table()["h1"] == {"house": "h1", "on": at(0).date()}


@BOTH
def test_streams_that_are_joined_pass_it_on(made: type[Harness]) -> None:
    """A join of two streams keeps numbers of both sides in its state, and passes them on."""
    out = record("Out", field("house", "string"), field("until", INSTANT), field("ends", INSTANT))
    join = JoinStream(NOTES, "house", timedelta(minutes=5), {"ends": "until"})
    harness = harness_of(made, out, join, Select(("house", "until", "ends")))
    for number in range(40):
        house = f"h{number}"
        harness.publish(str(NOTES), {"house": house, "text": "", "until": FOREVER - number}, time=NOON)
        harness.publish(str(LEASES), lease(house, until=YEAR_10000 + number), time=NOON)
    harness.run()
    expected = {f"h{n}": {"house": f"h{n}", "until": YEAR_10000 + n, "ends": FOREVER - n} for n in range(40)}
    assert harness.table() == expected
    assert refused(harness) == []


@BOTH
def test_a_function_gets_the_number(made: type[Harness]) -> None:
    """A Python function of a product gets the number, as a subscriber does, and may keep it in its state."""

    def latest(state: Any, event: Occurrence) -> tuple[Any, list[dict[str, Any]]]:
        until = event.data["until"]
        kept = [*(state or []), until][-2:]
        return kept, [{"house": str(event.key[0]), "until": until}]

    harness = harness_of(
        made, record("Out", field("house", "string"), field("until", INSTANT)), Apply(latest, ("house",))
    )
    leases = given(harness)
    assert harness.records() == [{"house": each["house"], "until": each["until"]} for each in leases]
    assert refused(harness) == []


@BOTH
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (("until",), lambda row: str(row["until"]) if type(row["until"]) is int else "2026-03-01T12:01:00Z"),
        (
            ("house", "slot"),
            lambda row: f"{row['house']}|{row['slot'] if type(row['slot']) is int else row['slot'].isoformat()}",
        ),
    ],
)
def test_an_output_is_keyed_by_the_number(
    made: type[Harness], key: tuple[str, ...], expected: Callable[[dict[str, Any]], str]
) -> None:
    """The record key of a far time is its number in decimal digits, in rows and in columns."""
    harness = harness_of(made, OUT, key=key)
    leases = given(harness)
    assert [(each.key or b"").decode() for each in harness.outputs()] == [expected(each) for each in leases]
