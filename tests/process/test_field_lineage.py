"""The origins of the fields of an output, as declared steps and Python's operators give them."""

from __future__ import annotations

from datetime import timedelta

from meshport.address import Address
from meshport.process.logic.field_lineage import FieldOrigin, declared_lineage, field_lineage
from meshport.process.logic.fields_read import InputContract
from meshport.process.logic.operators import (
    Aggregate,
    Apply,
    Derive,
    Filter,
    Flatten,
    Join,
    Operator,
    Rename,
    Select,
    Tumbling,
)
from meshport.process.logic.pipeline import Pipeline
from meshport.product import parse_product

FLIGHTS, CARRIERS = Address.parse("operations/departures"), Address.parse("network/carriers")
INPUTS = {
    FLIGHTS: InputContract(("flight", "carrier", "delay", "legs", "gate", "at"), ("flight",), "at"),
    CARRIERS: InputContract(("code", "name"), ("code",), compacted=True),
}


def lineage(*operators: Operator, output: str) -> tuple[dict[str, list[str]], list[str], tuple[str, ...]]:
    """Return the lineage of operators on flights, each origin as `<product>.<path> <how> <by>`."""
    found = field_lineage(Pipeline(FLIGHTS, operators), INPUTS, output.split())
    fields = {name: [shown(each) for each in origins] for name, origins in found.fields.items()}
    return fields, [shown(each) for each in found.influences], found.unknown


def shown(origin: FieldOrigin) -> str:
    """Return an origin as one text."""
    return " ".join(filter(None, (f"{origin.address.product}.{origin.path}", origin.how, origin.by)))


def test_fields_are_followed_through_joins_and_windows() -> None:
    """Copies, expressions, joins and aggregations name the fields of the inputs, and what decides is kept apart."""
    fields, influences, unknown = lineage(
        Filter("gate != 'X'"),
        Join(CARRIERS, "carrier", {"airline": "name"}),
        Derive({"hours": "delay / 60", "where": "gate"}),
        Aggregate(
            by=("airline", "where"),
            window=Tumbling(timedelta(hours=1)),
            values={"flights": "count()", "worst": "max(hours)"},
        ),
        Derive({"rounded": "round(worst, 1)"}),
        Rename({"where": "gate"}),
        output="airline gate window_start flights worst rounded",
    )
    assert fields == {
        "airline": ["carriers.name copied"],
        "gate": ["departures.gate copied"],
        "window_start": ["departures.at derived window"],
        "flights": [],
        "worst": ["departures.delay aggregated max(hours)"],
        "rounded": ["departures.delay aggregated round(worst, 1)"],
    }
    assert influences == [
        "departures.gate filters gate != 'X'",
        "departures.carrier joins on carrier",
        "carriers.code joins on carrier",
        "carriers.name groups by airline, where",
        "departures.gate groups by airline, where",
    ]
    assert unknown == ()


def test_fields_within_records_keep_their_path() -> None:
    """A field that is taken out of a record, or of the items of a list, is named by its path in the input."""
    fields, _, _ = lineage(
        Flatten("legs"), Select(("flight", "legs.from.city")), Rename({"city": "origin"}), output="flight origin"
    )
    assert fields == {"flight": ["departures.flight copied"], "origin": ["departures.legs.from.city copied"]}


def test_what_python_makes_is_unknown() -> None:
    """A field of a Python function has no origin that is guessed, nor have those that are computed from it."""
    fields, _, unknown = lineage(
        Derive({"score": lambda record: record["delay"] * 2}),
        Derive({"doubled": "score * 2"}),
        output="flight score doubled",
    )
    assert (list(fields), unknown) == (["flight"], ("score", "doubled"))
    fields, influences, unknown = lineage(
        Apply(lambda state, _event: (state, ()), ("carrier",)), output="carrier total"
    )
    assert (fields, unknown) == ({}, ("carrier", "total"))
    assert influences == ["departures.carrier groups apply"]


def test_steps_that_use_a_field_twice_do_not_explode() -> None:
    """Sixty steps that each use the one before twice keep one origin."""
    steps = [Derive({"x": "x + y", "y": "y + x"})] * 60
    fields, _, _ = lineage(Derive({"x": "delay + delay", "y": "delay"}), *steps, output="x")
    assert fields == {"x": ["departures.delay derived x + y"]}


def test_a_product_without_declared_steps_has_no_lineage() -> None:
    """A product whose steps Python returns, or which no process of the mesh builds, has no lineage of fields."""
    head = (
        "address: mesh://network/delays\nid: 1f0a3c5e-8f27-4a30-9f9e-6f1a4a2d7d51\narchetype: aggregate\n"
        "description: Delays.\nowner: network\ninputPorts: [{address: mesh://operations/departures}]\n"
        "outputPorts: [{name: events}]\n"
    )
    for process in ("", "process: {python: 'logic.py:steps'}\n"):
        assert declared_lineage(parse_product(head + process), [], ["delay"]) is None
    found = declared_lineage(parse_product(head + "process: {steps: [{select: [delay]}]}\n"), [], ["delay"])
    assert found is not None
    assert found.unknown == ("delay",)  # the contract of the input is not known
