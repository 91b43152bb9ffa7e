"""What the specification demands of a schema."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from meshport.errors import SchemaError
from meshport.schema import parse_schema

ENUM = {"type": "enum", "name": "E"}
DECIMAL = {"type": "bytes", "logicalType": "decimal"}


def _record(*names: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": name, "type": "int"} for name in names]}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (_record("a", "a"), "stands twice among the fields"),
        (_record("a-b"), "is no Avro name"),
        (_record("a\n"), "is no Avro name"),
        ({**_record("a"), "name": "string"}, "word for a type of Avro's own"),
        ({**ENUM, "symbols": []}, "no list of `symbols`"),
        ({**ENUM, "symbols": ["A", "A"]}, "stands twice among the symbols"),
        ({**ENUM, "symbols": ["A", 1]}, "is no Avro name"),
        ({**ENUM, "symbols": ["A"], "default": "B"}, "has the default 'B'"),
        ({"type": "fixed", "name": "F"}, "the size of 'F' is null"),
        ({"type": "fixed", "name": "F", "size": -1}, "the size of 'F' is -1"),
        ({"type": "fixed", "name": "F", "size": True}, "the size of 'F' is true"),
        ({"type": "fixed", "name": "F", "size": 2**21}, "the size of 'F' is 2097152"),
        ({**DECIMAL, "precision": 1001}, "the precision of a decimal is 1001"),
        ([], "a union has 0 branches"),
        (["null", ["int"]], "directly in a union"),
        (["int", {"type": "int", "logicalType": "date"}], "the branch 'int' twice"),
        ([{"type": "array", "items": "int"}, {"type": "array", "items": "long"}], "the branch 'array' twice"),
        ([_record("a"), "R"], "the branch 'R' twice"),
        (["null"] * 600, "a union has 600 branches"),
        (["null"] * 6000, "more than 5000 types"),
    ],
)
def test_malformed_schemas_are_refused(form: Any, message: str) -> None:
    """Each is a SchemaError that names the source and says what was found."""
    with pytest.raises(SchemaError) as caught:
        parse_schema(json.dumps(form), source="play.avsc")
    assert message in caught.value.message
    assert caught.value.message.startswith("play.avsc: ")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"type":' * 20_000,
        '{"type": "record"',
        "7",
        "9" * 5000,
        "\ud800",
        '{"type": "string", "doc": "\\ud800"}',
    ],
)
def test_text_that_is_no_schema_is_refused(text: str) -> None:
    """Deep, broken or foreign JSON is a SchemaError and nothing else."""
    with pytest.raises(SchemaError):
        parse_schema(text)


def test_a_bare_primitive_is_a_schema() -> None:
    """A primitive type may stand without quotes, even the one that is a word of JSON's."""
    assert [parse_schema(text).name for text in ("null", " string\n", '"string"')] == ["null", "string", "string"]


def test_the_guid_is_the_first_half_of_the_fingerprint() -> None:
    """Confluent's clients ask for a schema by a GUID; ours follows from the schema's identity."""
    schema = parse_schema('"string"')
    assert schema.guid == uuid.UUID(schema.fingerprint[:32])


@pytest.mark.parametrize("part", ["fields", "items", "values"])
def test_a_part_of_another_kind_of_type_is_refused(part: str) -> None:
    """What walks a schema would take it for types: an enum with `fields` made the compatibility check fail by accident."""
    with pytest.raises(SchemaError, match=f"`{part}` stands at a type 'enum'"):
        parse_schema(json.dumps({"type": "enum", "name": "E", "symbols": ["A"], part: -1}))


def test_a_bad_number_or_default_makes_a_schema_invalid() -> None:
    """What Python reads as infinite or as no number is no JSON of a schema, and a default has to be a number of its type."""
    for kind, default in (("double", "NaN"), ("double", "-Infinity"), ("double", "1e400"), ("float", "1" * 400)):
        with pytest.raises(SchemaError):
            parse_schema(
                f'{{"type":"record","name":"R","fields":[{{"name":"a","type":"{kind}","default":{default}}}]}}'
            )
    assert parse_schema('{"type":"record","name":"R","fields":[{"name":"a","type":"double","default":1e308}]}')


INNER = {"type": "record", "name": "Inner", "fields": []}


@pytest.mark.parametrize(
    ("kind", "default", "fits"),
    [
        ("null", None, True),
        ("null", 0, False),
        ("boolean", 0, False),
        ("int", True, False),
        ("int", 1.0, False),
        ("long", "1", False),
        ("double", 0, True),
        ({"type": "double", "unit": "m"}, 0, True),
        ({"type": "float", "unit": "m"}, False, False),
        ("double", "NaN", True),
        ("double", "much", False),
        ("string", 1, False),
        ("bytes", [], False),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4}, "\u0001", True),
        ({"type": "array", "items": "int"}, {}, False),
        ({"type": "map", "values": "int"}, {}, True),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, 0, False),
        ({"type": "fixed", "name": "F", "size": 1}, "a", True),
        (INNER, [], False),
        (["null", "int"], 1, True),
        (["null", INNER], {}, True),
        (["null", "int"], "1", False),
    ],
)
def test_a_default_is_of_the_json_type_of_its_field(kind: Any, default: Any, fits: bool) -> None:
    """Of any branch of a union; attributes of the type, such as a unit, make no difference."""
    record = {"type": "record", "name": "R", "fields": [{"name": "a", "type": kind, "default": default}]}
    if fits:
        assert parse_schema(json.dumps(record)).fields[0]["default"] == default
        return
    with pytest.raises(SchemaError, match="the default of the field 'a' of 'R' is") as refused:
        parse_schema(json.dumps(record))
    assert refused.value.rule == "DEFAULT_MISFIT"


def test_a_default_of_a_named_type_is_checked_where_the_type_is_only_named() -> None:
    """The second use of a record is a name, and its default still an object."""
    fields = [{"name": "a", "type": INNER}, {"name": "b", "type": "Inner", "default": 1}]
    with pytest.raises(SchemaError, match="'b' of 'R' is 1, which is no record"):
        parse_schema(json.dumps({"type": "record", "name": "R", "fields": fields}))
