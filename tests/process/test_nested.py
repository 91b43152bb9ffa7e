"""Fields within records, and fields that are named like Python's keywords: wherever a step names a field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import pytest

from meshport.address import Address
from meshport.errors import ProcessError
from meshport.process import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Expression,
    Filter,
    Flatten,
    Join,
    JoinStream,
    Occurrence,
    Operator,
    Pipeline,
    Rename,
    Select,
    Tumbling,
    derive_schema,
)
from meshport.process.columns.source import ColumnarSource
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import Port
from meshport.process.logic.fields_read import InputContract, fields_read, paths_in
from meshport.process.logic.state_shape import describe
from meshport.product import parse_product
from meshport.product.declared_state import declared_state
from meshport.schema import Schema, parse_schema
from tests.process.plays import INSTANT, at, record
from tests.process.plays import field as avro
from tests.process.test_columns import ByColumns
from tests.process.test_load import HEAD

MATCHES: Final = Address.parse("football/matches")
TEAMS: Final = Address.parse("football/teams")
PASSES: Final = Address.parse("football/passes")
PLAYER: Final = record("Player", avro("id", "string"), avro("class", "string"))
SHOT: Final = record(
    "Shot", avro("xg", "double"), avro("player", ["null", PLAYER]), avro("tags", {"type": "array", "items": "string"})
)
EVENT: Final = record(
    "MatchEvent",
    avro("id", "string"), avro("from", "string"), avro("is", "boolean"), avro("shot", ["null", SHOT]), avro("at", INSTANT),
)  # fmt: skip
TEAM: Final = record(
    "Team", avro("key", "string"), avro("coach", record("Coach", avro("name", "string"))), avro("since", INSTANT)
)
PASS: Final = record(
    "Pass", avro("receiver", "string"), avro("inner", record("Inner", avro("length", "double"))), avro("at", INSTANT)
)


def event(number: int, player: str | None = "p1", xg: float | None = 0.5, **more: Any) -> dict[str, Any]:
    """Return an event of a match: without a shot where there is no xg, of nobody where there is no player."""
    by = None if player is None else {"id": player, "class": "striker" if player == "p1" else "keeper"}
    shot = None if xg is None else {"xg": xg, "player": by, "tags": ["a", "b"]}
    return {"id": f"e{number}", "from": "pass", "is": True, "shot": shot, "at": at(number)} | more


EVENTS: Final = [
    event(1), event(2, "p2", 0.25), event(3, None, 0.125), event(4, xg=None),
    event(5, xg=1.5), event(5, xg=1.5), event(7, "p2", 2.0)
]  # fmt: skip


def schema(form: object) -> Schema:
    """Return the schema of JSON data."""
    return parse_schema(json.dumps(form))


SCHEMAS: Final = {TEAMS: schema(TEAM), PASSES: schema(PASS)}


def harness(kind: type[Harness], *operators: Operator, made: Mapping[str, Any] | None = None, key: str) -> Harness:
    """Return a processor over the events of matches, which has read them all."""
    pipeline = Pipeline(MATCHES, operators, timedelta(hours=1))
    form = made or derive_schema(pipeline, "Out", schema(EVENT), SCHEMAS).form
    ports = {
        str(MATCHES): Port(EVENT, key=("id",), time="at", partitions=1),
        str(TEAMS): Port(TEAM, key=("key",), time="since", partitions=1, cleanup="compact"),
        str(PASSES): Port(PASS, key=("receiver",), time="at", partitions=1),
        "football/out": Port(form, key=(key,), partitions=1, cleanup="delete"),
    }
    found = kind(pipeline, output="football/out", ports=ports)
    found.publish(str(TEAMS), {"key": "p1", "coach": {"name": "Ana"}, "since": at(0)}, id="t1")
    found.publish(str(PASSES), {"receiver": "p1", "inner": {"length": 7.5}, "at": at(1)}, id="x1")
    for number, each in enumerate(EVENTS * 5):  # enough of them for columns
        found.publish(str(MATCHES), each | {"at": at(number)}, id=f"{number}")
    found.run()
    assert not found.quarantine(), found.quarantine()[0]
    return found


def shots(state: Any, shot: Occurrence) -> tuple[Any, list[dict[str, Any]]]:
    """Count the shots of a player; the record of the event is as it was published."""
    assert set(shot.data) == {"id", "from", "is", "shot", "at"}
    return (state or 0) + 1, [{"player": str(shot.key[0]), "n": (state or 0) + 1}]


HOUR: Final = timedelta(hours=1)
CASES: Final[Mapping[str, tuple[tuple[Operator, ...], str, dict[str, Any], int]]] = {
    "total by a path": (
        (
            Filter("shot.player.class == 'striker'"),
            Aggregate(("shot.player.id",), {"xg": "sum(shot.xg)", "from": "last(from)", "kinds": "distinct(shot.player.class)"}),
        ),
        "id", {"id": "p1", "xg": 17.5, "from": "pass", "kinds": 1}, 15,
    ),
    "windows of a path that may be null": (
        (Filter("shot is not None and `is`"), Aggregate(("from",), {"n": "count()", "best": "max(shot.xg)"}, Tumbling(HOUR))),
        "from", {"from": "pass", "n": 30, "best": 2.0, "window_start": at(0), "window_end": at(60)}, 30,
    ),
    "select": ((Select(("id", "shot.player.class", "shot.xg")),), "id", {"id": "e7", "class": "keeper", "xg": 2.0}, 35),
    "flatten": ((Flatten("shot.tags"), Select(("id", "tags"))), "id", {"id": "e7", "tags": "b"}, 60),
    "derive": (
        (Derive({"xg": "coalesce(shot.xg, 0.0)", "def": "shot.player.class"}), Select(("id", "xg", "def"))),
        "id", {"id": "e7", "xg": 2.0, "def": "keeper"}, 35,
    ),
    "deduplicate": (
        (Deduplicate(HOUR, ("id", "shot.player.id")), Select(("id", "shot.xg")), Rename({"xg": "import"})),
        "id", {"id": "e7", "import": 2.0}, 6,
    ),
    "join": (
        (Join(TEAMS, "shot.player.id", {"coach": "coach.name", "lambda": "key"}, "keep"), Select(("id", "coach", "lambda"))),
        "id", {"id": "e7", "coach": None, "lambda": None}, 35,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rows_and_columns_reach_fields_within_records(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step reaches fields within records, null where a record is, with the same bytes from rows and columns."""
    operators, key, last, count = CASES[name]
    by_rows = harness(Harness, *operators, key=key)
    spans: list[bool] = []
    compute = ColumnarSource._compute

    def counted(self: ColumnarSource, *arguments: Any) -> Any:
        spans.append(True)
        return compute(self, *arguments)

    monkeypatch.setattr(ColumnarSource, "_compute", counted)
    by_columns = harness(ByColumns, *operators, key=key)
    records = by_rows.records()
    assert (records[-1], len(records)) == (last, count)
    assert [each.parts for each in by_columns.outputs()] == [each.parts for each in by_rows.outputs()]
    assert spans, "columns computed nothing"


def test_a_joined_row_gives_a_field_within_a_record() -> None:
    """A join takes a field of a record of the row, on a field within a record of the event."""
    found = harness(Harness, *CASES["join"][0], key="id").records()
    assert {"id": "e1", "coach": "Ana", "lambda": "p1"} in found


def test_a_function_by_a_path_receives_the_record_as_it_is() -> None:
    """`apply` by a field within a record calls the function with the record alone."""
    made = record("Shots", avro("player", "string"), avro("n", "long"))
    operators = (Filter("shot.player is not None"), Apply(shots, ("shot.player.id",)))
    for kind in (Harness, ByColumns):
        assert harness(kind, *operators, made=made, key="player").records()[-1] == {"player": "p2", "n": 10}


def test_streams_are_joined_on_a_path() -> None:
    """A join of streams matches on a field within a record, and takes one of the other stream's."""
    join = JoinStream(PASSES, "shot.player.id", HOUR, {"length": "inner.length"})
    for kind in (Harness, ByColumns):
        found = harness(kind, join, Select(("id", "length")), key="id").records()
        assert found[0] == {"id": "e1", "length": 7.5}
        assert len(found) == 15


@pytest.mark.parametrize(
    ("operator", "said"),
    [
        (Filter("shot.gx > 1"), "'shot' of the record has no field 'gx'"),
        (Aggregate(("shot.player.nme",), {"n": "count()"}), "'shot.player' of the record has no field 'nme'"),
        (Aggregate(("id",), {"n": "sum(from.x)"}), "'from' is no record, but string"),
        (Aggregate(("id",), {"n": "sum(shot.player.id)"}), "no number to add up"),
        (Join(TEAMS, "id", {"c": "coach.nam"}), "'coach' of a row of mesh://football/teams has no field 'nam'"),
        (Rename({"shot.xg": "xg"}), "`rename` cannot reach 'shot.xg'"),
        (Deduplicate(HOUR, ("shot.player.id.x",)), "'shot.player.id' is no record"),
    ],
)  # fmt: skip
def test_unknown_paths_are_refused(operator: Operator, said: str) -> None:
    """A path that leads to no field is refused before the processor starts, and the step that names it."""
    with pytest.raises(ProcessError, match=rf"process\.steps\[0\]\.\w+:.*{said}"):
        derive_schema(Pipeline(MATCHES, (operator,)), "Out", schema(EVENT), SCHEMAS)


def test_two_fields_of_one_name_are_refused() -> None:
    """Two paths that end in one name cannot both be fields of the result."""
    with pytest.raises(ProcessError, match=r"'shot.player.id' are both named 'id'"):
        Aggregate(("id", "shot.player.id"), {"n": "count()"})


def test_the_gate_knows_the_paths() -> None:
    """The fields that a process reads are known by their paths, so that their owner may change the other ones."""
    operators = (
        Filter("shot.player.class == 'striker'"),
        Join(TEAMS, "shot.player.id", {"coach": "coach.name"}),
        Aggregate(("from", "coach"), {"xg": "sum(shot.xg)"}),
    )
    inputs = {MATCHES: InputContract(schema(EVENT).field_names, ("id",), "at"), TEAMS: InputContract(("key", "coach"))}
    found = fields_read(Pipeline(MATCHES, operators), inputs)
    assert found.paths == {
        MATCHES: ("from", "shot.player.class", "shot.player.id", "shot.xg", "at"),
        TEAMS: ("coach.name",),
    }
    tested = (Filter("shot is not None and shot.player is not None"), Aggregate(("from",), {"xg": "sum(shot.xg)"}))
    assert fields_read(Pipeline(MATCHES, tested), inputs).paths[MATCHES] == ("from", "shot.player", "shot.xg", "at")
    selected = (Select(("shot.player", "at")), Aggregate(("player.id",), {"n": "count()"}))
    assert fields_read(Pipeline(MATCHES, selected), inputs).paths[MATCHES] == ("shot.player.id", "at")


def test_the_declared_state_is_that_of_the_operators() -> None:
    """The gate derives from product.yaml the state that the processor keeps, also by paths and after a rename."""
    steps = """  steps:
    - rename: {shot: attempt}
    - deduplicate: {by: [id, attempt.player.id], within: 1h}
    - aggregate: {by: [attempt.player.id], values: {xg: sum(attempt.xg)}}
"""
    declared = declared_state(parse_product(HEAD + steps))
    operators = (
        Rename({"shot": "attempt"}),
        Deduplicate(HOUR, ("id", "attempt.player.id")),
        Aggregate(("attempt.player.id",), {"xg": "sum(attempt.xg)"}),
    )
    binding = harness(Harness, Select(("id",)), key="id").plan.source
    shape = describe(Pipeline(MATCHES, operators), binding)
    assert declared is not None
    assert declared.groups is not None
    assert shape.groups is not None
    assert (declared.duplicates, declared.groups.by, declared.groups.values) == (
        shape.duplicates, shape.groups.by, shape.groups.values
    )  # fmt: skip
    assert declared.groups.origins == ("shot.player.id",)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("class + from", 3), ("`class`", 1), ("`is` == 7 and True", True), ("rec.is", 9), ("rec.`in` + rec . class", 21),
        ("'class' if `None` is None else 'from'", "class"), ("rec.None", 0), ("not `not`", False), ("__op", "c"),
        ("lambda", 4), ("'a.in' in ('a.in', \"from\")", True), ("round(1.5) + 1.0 + class", 4.0), ("rec.rec.class", None),
    ],
)  # fmt: skip
def test_names_that_are_keywords(text: str, value: Any) -> None:
    """A field named like a keyword is read by its name, and in backquotes where expressions use the word themselves."""
    given = {
        "class": 1, "from": 2, "is": 7, "None": None, "not": True, "lambda": 4, "__op": "c",
        "rec": {"is": 9, "in": 10, "class": 11, "None": 0, "rec": None},
    }  # fmt: skip
    assert Expression(text)(given) == value


def test_what_backquotes_hold() -> None:
    """Backquotes hold one name, and the message says how a path is written."""
    with pytest.raises(ProcessError, match="no name of a field") as caught:
        Expression("`shot.class` > 1")
    assert "`shot`.`class`" in str(caught.value.hint)
    assert paths_in(Expression("`shot`.`class` > `from`")) == {"shot.class", "from"}
