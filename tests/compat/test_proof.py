"""Proof by data: what the samples of a schema cover, their bounds, and what only this rule finds."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any

import pytest

from meshport.codec import Codec
from meshport.codec.limits import MAX_DEPTH
from meshport.compat import corpus
from meshport.compat.comparison import Comparison
from meshport.compat.finding import Direction
from meshport.compat.judge import Past, judge_port
from meshport.compat.resolution import MAX_PAIRS, check
from meshport.compat.rules.proof import RULES, failures, unreadable_data
from meshport.compat.samples import MAX_LEAST, MAX_SAMPLES, samples
from meshport.errors import SchemaError
from meshport.schema import parse_schema
from tests.compat.generated import Author
from tests.compat.schemas import layers, numbered, schema
from tests.repeats import repeated, repeats
from tests.schema.bombs import laughs
from tests.work import counted


def values(form: Any) -> list[Any]:
    """Return the samples of a schema as its decoder reads them."""
    made = schema(form)
    return [Codec(made).decode(body) for body in samples(made)]


def test_every_branch_symbol_and_boundary_is_there() -> None:
    """Every alternative of a schema is in a sample, and there are no more samples than the largest field has alternatives."""
    enum = {"type": "enum", "name": "E", "symbols": list("ABCDEFG")}
    amount = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    inside = numbered(["null", "E", "long"], name="In")
    found = values(numbered("int", enum, ["null", inside], {"type": "array", "items": "string"}, amount))
    assert len(found) == 1 + (1 + 7 + 5)
    columns = list(zip(*(each.values() for each in found), strict=True))
    assert {-(2**31), 2**31 - 1, 0} <= set(columns[0])
    assert set(columns[1]) == set("ABCDEFG")
    assert None in columns[2]
    assert {None, *"ABCDEFG", 2**63 - 1, -(2**63)} <= {each["f0"] for each in columns[2] if each}
    assert [] in columns[3]
    assert any("é€𝄞" in each and "" in each for each in columns[3])
    assert {str(each) for each in columns[4]} == {"0.00", "9999999.99", "-9999999.99"}


@pytest.mark.parametrize(
    ("kind", "extremes"),
    [
        ({"type": "int", "logicalType": "date"}, {date.min, date.max}),
        ("boolean", {True, False}),
        ("bytes", {b"", b"\xff\xfe\0"}),
        ({"type": "fixed", "name": "F", "size": 2}, {b"\0\0", b"\xff\xff"}),
        ("null", {None}),
    ],
)
def test_leaves_are_taken_to_their_ends(kind: Any, extremes: set[Any]) -> None:
    """The smallest and the largest value that a decoder takes are among the samples."""
    assert extremes <= set(values(kind))


def test_recursive_types_are_followed_and_end() -> None:
    """The samples of a tree have no children, some, and children without children."""
    tree = numbered("int", {"type": "array", "items": "shop.Order"}, ["null", "shop.Order"])
    found = values(tree)
    assert any(each["f1"] and each["f2"] is None for each in found)
    assert any(each["f2"] and each["f2"]["f1"] == [] for each in found)


def test_a_type_that_is_named_again_is_covered_once_more_by_its_smallest_references() -> None:
    """A choice has all alternatives where its type is defined; where the type is named, a type within it has its smallest."""
    kind = {"type": "enum", "name": "Kind", "symbols": list("ABCDE")}
    made = values(numbered(kind, numbered(["null", "Kind"], name="Item"), "Item"))
    assert {each["f1"]["f0"] for each in made} == {None, *"ABCDE"}
    assert {each["f2"]["f0"] for each in made} == {None, "A"}


def test_a_branch_of_which_no_value_ends_is_not_taken() -> None:
    """A record that contains itself in a union without another branch has no values; with another branch, that one is taken."""
    endless = {"type": "record", "name": "R", "fields": [{"name": "r", "type": ["R"]}]}
    assert values(endless) == []
    assert values({"type": "array", "items": endless}) == [[]]
    assert values(["null", endless]) == [None]
    ends = {"type": "record", "name": "R", "fields": [{"name": "r", "type": ["R", numbered(name="S")]}]}
    assert {"r": {}} in values(ends)
    assert {"r": {"r": {}}} in values(ends)


@repeated
def test_samples_are_the_same_each_time_and_each_is_read_by_the_writers_own_decoder() -> None:
    """On generated schemas, nested, shared and recursive, every sample is a value of its schema; none is empty."""
    author = Author(random.Random(8))
    made = 0
    while made < repeats(100, 5_000):
        try:
            each = schema(author.schema())
        except SchemaError:
            continue
        made += 1
        bodies = samples(each)
        assert bodies
        assert samples(parse_schema(each.text)) == bodies
        decode = Codec(each).decode
        for body in bodies:
            decode(body, 0)


def _chain(length: int, holder: Any) -> Any:
    first = numbered("int", name="C0")
    types = [numbered(holder(f"C{index}"), holder(f"C{index}"), name=f"C{index + 1}") for index in range(length)]
    return numbered(first, *types)


def _within(arrays: int, form: Any) -> Any:
    """Return optional arrays of optional arrays ... of a type."""
    for _ in range(arrays):
        form = ["null", {"type": "array", "items": form}]
    return form


HOSTILE = {
    "choices of twice the type before": _chain(600, lambda name: ["null", name]),
    "arrays of twice the type before": _chain(600, lambda name: {"type": "array", "items": name}),
    "maps of twice the type before": _chain(600, lambda name: {"type": "map", "values": name}),
    "9,000 symbols": {"type": "enum", "name": "E", "symbols": [f"S{index}" for index in range(9_000)]},
    "256 branches of 20 fields": ["null", *(numbered(*["int"] * 18, name=f"R{index}") for index in range(250))],
    "4,900 numbers": numbered(*["int"] * 4_900),
    "4,900 numbers beside 600 symbols": numbered(
        *["int"] * 4_900, {"type": "enum", "name": "E", "symbols": [f"S{index}" for index in range(600)]}
    ),
    "400 choices within 20 arrays": _within(20, numbered(*[["null", "int"]] * 400)),
    "arrays of arrays of nothing": {
        "type": "array",
        "items": {"type": "array", "items": {"type": "array", "items": "null"}},
    },
    "a megabyte each": numbered({"type": "array", "items": {"type": "fixed", "name": "F", "size": 2**20 - 16}}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_samples_of_hostile_schemas_are_few_and_small(name: str) -> None:
    """However a schema multiplies its types, the work and the bytes of its samples are in proportion to its text."""
    made = schema(HOSTILE[name])
    with counted(1_500_000):
        bodies = samples(made)
    assert 0 < len(bodies) <= MAX_SAMPLES
    assert sum(map(len, bodies)) < 3 * 2**20
    decode = Codec(made).decode
    for body in bodies:
        decode(body, 0)


@pytest.mark.parametrize(
    "around", [lambda form: form, lambda form: ["null", form], lambda form: {"type": "map", "values": form}]
)
def test_types_too_large_to_be_built_are_refused(around: Any) -> None:
    """A value of at least 2^18 parts is not built: nothing is proved, and the error reports it."""
    with pytest.raises(SchemaError, match=r"has 786431 parts at least"):
        samples(schema(around(laughs(18, leaf=[{"name": "n", "type": "int"}]))))
    writer = schema(laughs(18, leaf=[{"name": "n", "type": "int"}]))
    reader = schema(laughs(18, leaf=[{"name": "n", "type": "long"}]))
    (found,) = unreadable_data(Comparison(reader, writer, Direction.BACKWARD))
    assert str(MAX_LEAST) in found.advice


def test_samples_never_nest_deeper_than_a_decoder_goes() -> None:
    """A chain whose values may nest 1,200 levels has samples within the 100 that the codec takes."""
    made = schema(_chain(600, lambda name: {"type": "array", "items": name}))
    depths = [_depth(Codec(made).decode(body)) for body in samples(made)]
    assert 2 < max(depths) <= MAX_DEPTH


def _depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inside)) if inside else 0


@pytest.mark.parametrize("fixture", corpus.fixtures(RULES[0].id), ids=lambda each: each.name)
def test_fixtures_are_judged_as_they_say(fixture: corpus.Fixture) -> None:
    """Every fixture of the rule gets its verdict from the whole gate, and Apache's checker alone passes each."""
    before, after = corpus.contract_of(fixture.before), corpus.contract_of(fixture.after)
    verdict = judge_port(Past(before, fixture.versions), after, after.product, today=date(2026, 1, 1))
    assert {each.rule for each in verdict.findings} == fixture.finds
    assert verdict.passes is not fixture.breaks
    assert check(after.schema, before.schema) == ()
    for finding in verdict.findings:
        assert finding.path
        assert finding.pointer
        assert finding.advice


def test_a_default_that_is_no_value_fails_where_it_is_needed() -> None:
    """A time of 25 h is an int to every checker, and fails in the reader that has to use it as a default."""
    far = {"name": "due", "type": {"type": "int", "logicalType": "time-millis"}, "default": 90_000_000}
    form = numbered("int")
    reader = schema(form | {"fields": [*form["fields"], far]})
    assert check(reader, schema(form)) == ()
    ((path, words, _),) = failures(schema(form), reader)
    assert (path, words) == ("", "90000000 is no default of the type int-time-millis")


def test_a_failure_names_the_field_in_arrays_maps_and_records() -> None:
    """The path of a failure consists of field names, as in other rules, wherever the value is."""

    def form(kind: str) -> Any:
        return numbered({"type": "array", "items": {"type": "map", "values": ["null", numbered(kind, name="In")]}})

    (found,) = unreadable_data(Comparison(schema(form("string")), schema(form("bytes")), Direction.FORWARD))
    assert found.path == "f0.f0"
    assert "'f0_v2'" in found.advice
    assert (found.before, found.after) == ("string", "bytes")


def test_a_pair_is_proved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome of a pair is remembered, as for each reader of a port."""
    writer, reader = schema(numbered("int", "bytes")), schema(numbered("long", "string"))
    first = failures(writer, reader)
    assert first
    monkeypatch.setattr("meshport.compat.rules.proof.ResolvingDecoder", None)
    assert failures(parse_schema(writer.text), parse_schema(reader.text)) is first


def test_the_cost_of_a_proof_is_that_of_its_decoder() -> None:
    """A pair of ten fields takes less than 5,000 lines, samples and generated decoder together."""
    for index in range(20):
        kinds = [
            "string",
            "long",
            "double",
            ["null", "string"],
            {"type": "long", "logicalType": "timestamp-millis"},
        ] * 2
        writer = schema(numbered(*kinds, name=f"A{index}"))
        reader = schema(numbered(*kinds, ["null", "int"], name=f"A{index}") | {"doc": "x"})
        form = reader.form
        form["fields"][-1]["default"] = None
        reader = schema(form)
        with counted(5_000):
            assert failures(writer, reader) == ()


def test_types_that_meet_in_all_pairs_are_refused_before_they_are_compared() -> None:
    """Types of one name in layers, each of which matches all of the other schema's, give an error and no verdict."""
    reader = schema(layers(width=90, fan=4, leaf="int", count=4))
    writer = schema(layers(width=89, fan=4, leaf="long", count=4))
    with counted(10_000_000), pytest.raises(SchemaError, match=f"more than {MAX_PAIRS} pairs of types"):
        check(reader, writer)


def test_symbols_of_a_large_enum_are_looked_up_and_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judging enums of 9,000 symbols both ways compares each symbol some times; a search in a list would be 40 million times."""
    monkeypatch.setattr(json, "loads", partial(json.loads, object_hook=_with_counted_symbols))
    symbols = [f"S{index}" for index in range(9_000)]
    enum = {"type": "enum", "name": "E", "symbols": symbols, "default": "S0"}
    before, after = schema(numbered(enum)), schema(numbered(enum | {"symbols": [*symbols, "NEW"]}))
    with counted(2_000_000):
        for reader, writer in ((before, after), (after, before)):
            assert check(reader, writer) == ()
            assert failures(writer, reader) == ()


class _Symbol(str):
    """A symbol whose comparisons are lines of Python, so that they count as work."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)


def _with_counted_symbols(form: dict[str, Any]) -> Mapping[str, Any]:
    return form | {"symbols": [_Symbol(each) for each in form["symbols"]]} if "symbols" in form else form
