"""Pipelines loaded from product.yaml: their operators, and what is refused before a processor runs."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from meshport.address import Address
from meshport.errors import DescriptorError, ProcessError, ProjectError
from meshport.process import (
    Aggregate,
    Deduplicate,
    Derive,
    Filter,
    Hopping,
    Join,
    JoinStream,
    Pipeline,
    Session,
    Tumbling,
    check_pipeline,
    derive_schema,
    load_pipeline,
    make_plan,
)
from meshport.process.engines.memory_ports import Port, Ports
from meshport.product import Product, parse_product
from meshport.schema import Schema, parse_schema
from tests.process.plays import ARTIST, ARTISTS, OUT, PLAY, PLAYS, pipeline, ports, record
from tests.process.plays import field as avro

HOUR = timedelta(hours=1)
COUNT = {"n": "count()"}
HEAD = """
address: mesh://network/delays
id: 1f0a3c5e-8f27-4a30-9f9e-6f1a4a2d7d51
archetype: aggregate
description: Delays.
owner: network
inputPorts: [{address: mesh://player/plays}, {address: mesh://artists/onboardings}]
outputPorts: [{name: events}]
process:
"""


def product(process: str) -> Product:
    """Return a product with this `process`."""
    return parse_product(HEAD + "".join(f"  {line}\n" for line in process.strip().splitlines()))


def schema(form: object) -> Schema:
    """Return the schema of JSON data."""
    return parse_schema(json.dumps(form))


def test_an_input_can_be_repartitioned_always(tmp_path: Path) -> None:
    """`repartition: always` re-keys the records of an aggregate by the key of its input; by default they stay."""
    for word, rekeyed in (("when-needed", False), ("always", True)):
        step = "aggregate: {by: [user], values: {n: count()}}"
        found = load_pipeline(product(f"repartition: {word}\nsteps: [{{{step}}}]"), tmp_path)
        plan = make_plan(found, OUT, Ports(ports(record("N", avro("user", "string"), avro("n", "long")), ("user",))))
        assert plan.rekeyed is rekeyed
        assert plan.sources[0].checks_partitions is not rekeyed


def test_declared_steps(tmp_path: Path) -> None:
    """Every declared step becomes the operator of its name."""
    found = load_pipeline(
        product("""
lateness: 2h
steps:
  - filter: ms > 0
  - deduplicate: {within: 1h}
  - derive: {minutes: ms / 60000}
  - join: {with: mesh://artists/onboardings, on: artist, take: {label: label}, missing: keep}
  - aggregate: {by: [artist], window: {hopping: 1h, every: 10m}, values: {n: count()}}
"""),
        tmp_path,
    )
    assert found == Pipeline(
        PLAYS,
        (
            Filter("ms > 0"),
            Deduplicate(timedelta(hours=1)),
            Derive({"minutes": "ms / 60000"}),
            Join(ARTISTS, "artist", {"label": "label"}, "keep"),
            Aggregate(("artist",), {"n": "count()"}, Hopping(timedelta(hours=1), timedelta(minutes=10))),
        ),
        timedelta(hours=2),
    )


def test_python(tmp_path: Path) -> None:
    """A product's own Python returns operators with functions; it is loaded by its path, and sys.path stays unchanged."""
    (tmp_path / "logic.py").write_text(
        "from meshport.process import Filter\ndef pipeline():\n    return [Filter(lambda play: play['ms'] > 5)]\n"
    )
    before = list(sys.path)
    found = load_pipeline(product("python: logic.py:pipeline"), tmp_path)
    (only,) = found.operators
    assert isinstance(only, Filter)
    assert callable(only.test)
    assert [only.test({"ms": ms}) for ms in (5, 6)] == [False, True]
    assert sys.path == before


def test_a_join_within_a_time_is_one_of_streams(tmp_path: Path) -> None:
    """A join with `within` is a join of streams, where a missing partner is by default dropped, not quarantined."""
    words = "with: mesh://artists/onboardings, on: artist, within: 5m, take: {label: label}"
    given: dict[str, Literal["drop", "keep"]] = {"": "drop", ", missing: drop": "drop", ", missing: keep": "keep"}
    for more, missing in given.items():
        found = load_pipeline(product(f"steps: [{{join: {{{words}{more}}}}}]"), tmp_path)
        assert found.operators == (JoinStream(ARTISTS, "artist", timedelta(minutes=5), {"label": "label"}, missing),)
        assert (found.stream, found.tables, found.joined, found.timed) == (ARTISTS, (), (ARTISTS,), True)
    again = product(f"steps: [{{join: {{{words}}}}}]")
    assert Product.model_validate_json(again.model_dump_json(by_alias=True, exclude_none=True)) == again


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("{join: {with: a/b, on: x, within: 5m, take: {y: z}, missing: quarantine}}", "no mistake.*missing: drop"),
        ("{join: {with: a/b, on: x, within: 5, take: {y: z}}}", "5 is no length of time"),
        ("{join: {with: a/b, on: x, within: 5m, take: {}}}", "at least 1"),
        (
            "{join: {with: a/b, on: x, within: 5m, take: {y: z}}}, {aggregate: {by: [x], values: {n: count()}}}",
            "groups once",
        ),
        ("{join: {with: mesh://no/input, on: x, within: 5m, take: {y: z}}}", "not among the inputPorts"),
    ],
)
def test_words_of_a_join_that_are_refused(steps: str, said: str) -> None:
    """A join of streams with `missing: quarantine`, a negative window or no field, and a second one are refused."""
    with pytest.raises(DescriptorError, match=said):
        product(f"steps: [{steps}]".replace("a/b", "mesh://artists/onboardings"))


@pytest.mark.parametrize(
    ("process", "said"),
    [
        ("steps: [{filter: ms > 0}, {filter: ms >}]", r"process.steps\[1\].filter"),
        ("steps: [{derive: {x: open(1)}}]", r"process.steps\[0\].derive.*calls 'open'"),
        ("steps: [{aggregate: {by: [user], values: {n: count()}}}, {deduplicate: {within: 1h}}]", "after the grouping"),
        ("python: logic.py:nothing", "returned NoneType"),
    ],
)
def test_refused(process: str, said: str, tmp_path: Path) -> None:
    """A step that cannot be run is refused when it is loaded; the message names the step."""
    (tmp_path / "logic.py").write_text("def nothing(): pass\n")
    with pytest.raises(ProcessError, match=said):
        load_pipeline(product(process), tmp_path)


def test_missing_python(tmp_path: Path) -> None:
    """A function that does not exist is refused by its name."""
    with pytest.raises(ProjectError, match="missing"):
        load_pipeline(product("python: missing.py:pipeline"), tmp_path)


@pytest.mark.parametrize(
    ("process", "said"),
    [
        ("steps: [{filter: mss > 0}]", r"steps\[0\].filter: 'mss > 0' reads 'mss'.*\n.*did you mean 'ms'"),
        ("steps: [{select: [user, artits]}]", r"steps\[0\].select.*'artits'"),
        ("steps: [{rename: {a: b}}]", r"steps\[0\].rename"),
        ("steps: [{flatten: ms}]", r"no list to flatten"),
        ("steps: [{aggregate: {by: [user], values: {x: sum(artist)}}}]", "no number to add up"),
        ("steps: [{aggregate: {by: [nobody], values: {x: count()}}}]", "'nobody'"),
        ("steps: [{join: {with: mesh://artists/onboardings, on: artist, take: {l: lable}}}]", "did you mean 'label'"),
        ("steps: [{deduplicate: {by: [usr], within: 1h}}]", "'usr'"),
        (
            "steps: [{join: {with: mesh://artists/onboardings, on: artist, within: 1h, take: {l: lable}}}]",
            r"steps\[0\].join: an event of mesh://artists/onboardings has no field 'lable'",
        ),
        (
            "steps: [{join: {with: mesh://artists/onboardings, on: artits, within: 1h, take: {l: label}}}]",
            "did you mean 'artist'",
        ),
    ],
)
def test_fields_are_checked(process: str, said: str, tmp_path: Path) -> None:
    """A field that does not exist, or has the wrong type, is refused with the step that reads it and the nearest field."""
    with pytest.raises(ProcessError, match=said):
        check_pipeline(load_pipeline(product(process), tmp_path), schema(PLAY), {ARTISTS: schema(ARTIST)})


def test_the_output_is_checked() -> None:
    """A field that only the output's schema has, or only the pipeline makes, is refused."""
    logic = pipeline(Aggregate(("user",), {"n": "count()"}))
    check_pipeline(logic, schema(PLAY), {}, schema(record("Out", avro("user", "string"), avro("n", "long"))))
    for fields in ([avro("user", "string"), avro("m", "long")], [avro("user", "string")]):
        with pytest.raises(ProcessError, match=r"'[mn]'"):
            check_pipeline(logic, schema(PLAY), {}, schema(record("Out", *fields)))


def test_a_schema_is_derived(tmp_path: Path) -> None:
    """The schema of a declared pipeline's record is derived from its operators."""
    found = load_pipeline(
        product("""
steps:
  - join: {with: mesh://artists/onboardings, on: artist, take: {label: label, since: since}, missing: keep}
  - derive: {minutes: ms / 60000, day: date(at), long_ago: seconds(at - since), loud: quality > 0.5, twice: ms * 2}
  - aggregate:
      by: [label, day]
      window: {tumbling: 1h}
      values:
        n: count()
        ms: sum(twice)
        mean: mean(quality)
        most: max(minutes)
        who: collect(artist)
        ago: min(long_ago)
        loud: last(loud)
  - derive: {share: ms / n}
"""),
        tmp_path,
    )
    derived = derive_schema(found, "network.Delays", schema(PLAY), {ARTISTS: schema(ARTIST)})
    assert {each["name"]: each["type"] for each in derived.fields} == {
        "label": ["null", "string"],
        "day": {"type": "int", "logicalType": "date"},
        "window_start": {"type": "long", "logicalType": "timestamp-millis"},
        "window_end": {"type": "long", "logicalType": "timestamp-millis"},
        "n": "long",
        "ms": "long",
        "mean": ["null", "double"],
        "most": "double",
        "who": {"type": "array", "items": "string"},
        "ago": ["null", "double"],
        "loud": "boolean",
        "share": "double",
    }
    assert next(each for each in derived.fields if each["name"] == "mean")["default"] is None
    check_pipeline(found, schema(PLAY), {ARTISTS: schema(ARTIST)}, derived)


def test_named_and_decimal_types_are_derived() -> None:
    """An enum keeps its definition through a pipeline, and decimals their scale."""
    euro = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 6}
    kind = {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}
    sale = schema(record("Sale", avro("kind", kind), avro("price", euro), avro("count", "int"), avro("other", "Kind")))
    logic = pipeline(
        Derive({"paid": "price * count"}),
        Aggregate(("kind",), {"other": "last(other)", "sum": "sum(paid)"}),
        Derive({"cents": "round(sum, 2)"}),
    )
    derived = derive_schema(logic, "Sales", sale, {})
    kinds = {each["name"]: each["type"] for each in derived.fields}
    assert (kinds["kind"], kinds["other"]) == ({"name": "Kind", "type": "enum", "symbols": ["A", "B"]}, "Kind")
    assert (kinds["sum"]["scale"], kinds["cents"]["scale"]) == (6, 2)


def test_what_python_made_has_no_type() -> None:
    """The type of a field that a Python function makes is unknown, so that no schema is derived."""
    with pytest.raises(ProcessError, match="'x' is unknown"):
        derive_schema(pipeline(Derive({"x": lambda play: play["ms"]})), "Out", schema(PLAY), {})


def bound(
    logic: Pipeline, *, key: tuple[str, ...] = ("user",), cleanup: str = "delete", output: tuple[str, ...] = ("user",)
) -> str:
    """Return the repartition topic of a pipeline over a port with this key, "" without one; raise where it is refused."""
    out = record("Out", avro("user", "string"), avro("artist", "string"))
    ports = Ports({
        "player/plays": Port(PLAY, key, "at", 2, cleanup),
        "artists/onboardings": Port(ARTIST, ("artist",), "since", 2, "delete"),
        "listening/out": Port(out, output, None, 3, "compact"),
    })  # fmt: skip
    plan = make_plan(logic, Address.parse("listening/out"), ports)
    return plan.stages[-1].topic if len(plan.stages) > 1 else ""


def test_groups_are_rekeyed_only_where_needed() -> None:
    """Records are re-keyed unless the group's key holds the whole record key of the input, under any names."""
    count = {"n": "count()"}
    assert not bound(pipeline(Aggregate(("user",), count)))
    assert not bound(pipeline(Aggregate(("artist", "user"), count)))
    assert bound(pipeline(Aggregate(("user",), count)), key=("user", "artist"))
    assert bound(pipeline(Aggregate(("user",), count)), key=())
    assert bound(pipeline(Derive({"user": "artist"}), Aggregate(("user",), count))) == "listening.out.events.v1.rekey"


@pytest.mark.parametrize(
    ("logic", "options", "said"),
    [
        (pipeline(Deduplicate(timedelta(hours=1))), {"key": ()}, "different partitions"),
        (pipeline(Deduplicate(timedelta(hours=1), ("artist",))), {}, "different partitions"),
        (pipeline(Deduplicate(timedelta(hours=1))), {"cleanup": "compact"}, "nothing to de-duplicate"),
        (pipeline(Aggregate(("user",), COUNT, Session(HOUR))), {"cleanup": "compact"}, "no window ever closes"),
        (pipeline(Aggregate(("user",), COUNT, Tumbling(HOUR), "close")), {"cleanup": "compact"}, "no window ever closes"),
        (pipeline(Filter("ms > 1")), {"cleanup": "compact", "output": ("artist",)}, "could not be told"),
        (pipeline(Join(ARTISTS, "artist", {"label": "label"})), {}, "cannot be joined"),
        (pipeline(Aggregate(("user",), {"n": "count()"})), {"output": ("users",)}, "did you mean 'user'"),
    ],
)  # fmt: skip
def test_pipelines_without_deterministic_results_are_refused(
    logic: Pipeline, options: dict[str, object], said: str
) -> None:
    """Pipelines whose results would not be deterministic are refused with the reason, before they run."""
    with pytest.raises(ProcessError, match=said):
        bound(logic, **options)  # type: ignore[arg-type]  # options of `bound`


def test_groupings() -> None:
    """Two groupings, a running total that closes and a grouping without a key are refused when they are constructed."""
    count = Aggregate(("user",), {"n": "count()"})
    with pytest.raises(ProcessError, match="groups once"):
        pipeline(count, count)
    with pytest.raises(ProcessError, match="never closes"):
        Aggregate(("user",), {"n": "count()"}, emit="close")
    with pytest.raises(ProcessError, match="`by`"):
        Aggregate("user", {"n": "count()"})  # type: ignore[arg-type]  # what people write first
