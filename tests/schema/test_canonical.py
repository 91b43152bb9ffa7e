"""The canonical form: one text for one meaning."""

from __future__ import annotations

import json
from typing import Any

import fastavro
import pytest
from hypothesis import given

from meshport.errors import SchemaError
from meshport.schema import CommonTypes, Schema, parse_schema
from tests.codec.strategies import schemas

INNER = {"type": "record", "name": "Inner", "fields": [{"name": "x", "type": "int"}]}


def outer(*fields: Any, **more: Any) -> dict[str, Any]:
    """A record `a.Outer` with fields f0, f1, ... of these types."""
    named = [{"name": f"f{index}", "type": each} for index, each in enumerate(fields)]
    return {"type": "record", "name": "Outer", "namespace": "a", "fields": named} | more


@given(schemas())
def test_the_canonical_form_is_its_own_canonical_form(once: Schema) -> None:
    """Reading a canonical text gives the same text and fingerprint again."""
    again = parse_schema(once.text)
    assert again.text == once.text
    assert again.fingerprint == once.fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (outer("string"), outer({"type": "string"})),
        (outer(INNER), outer(INNER | {"namespace": "a"})),
        (outer(INNER, "Inner"), outer(INNER, "a.Inner")),
        (outer(INNER | {"aliases": ["Old"]}), outer(INNER | {"aliases": ["a.Old"]})),
        (outer("string"), {"name": "a.Outer", "fields": [{"type": "string", "name": "f0"}], "type": "record"}),
    ],
)
def test_schemas_that_are_only_written_differently_have_one_fingerprint(one: Any, other: Any) -> None:
    """Name qualification, attribute order and needless objects do not make another schema."""
    assert parse_schema(json.dumps(one)).fingerprint == parse_schema(json.dumps(other)).fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (outer("long"), outer({"type": "long", "logicalType": "timestamp-millis"})),
        (outer(INNER), outer(INNER | {"aliases": ["Old"]})),
        (outer(INNER), outer(INNER | {"namespace": ""})),
        (outer("string", doc="one"), outer("string", doc="two")),
        (
            {"type": "enum", "name": "E", "symbols": ["A"]},
            {"type": "enum", "name": "E", "symbols": ["A"], "default": "A"},
        ),
    ],
)
def test_whatever_the_author_wrote_makes_another_schema(one: Any, other: Any) -> None:
    """Logical types, aliases, namespaces, docs and defaults are part of a schema's identity."""
    assert parse_schema(json.dumps(one)).fingerprint != parse_schema(json.dumps(other)).fingerprint


def test_a_type_without_a_namespace_inside_of_one_keeps_its_name() -> None:
    """The canonical text means to fastavro what the author's text meant: `Inner`, not `a.Inner`."""
    schema = parse_schema(json.dumps(outer(INNER | {"namespace": ""})))
    assert schema.form["fields"][0]["type"]["namespace"] == ""
    parsed: Any = fastavro.parse_schema(json.loads(schema.text))
    assert "Inner" in parsed["__named_schemas"]


def test_shared_types_are_put_in_at_their_first_use() -> None:
    """A type of schemas/common/ is defined in full once and by name after that, so that the text stands by itself."""
    common = CommonTypes({"common.Inner": INNER | {"namespace": "common"}})
    schema = parse_schema(json.dumps(outer("common.Inner", "common.Inner")), common=common)
    first, second = (each["type"] for each in schema.fields)
    assert first["name"] == second == "common.Inner"
    assert parse_schema(schema.text).text == schema.text


def test_a_type_that_cannot_be_named_twice_is_refused_the_second_time() -> None:
    """A shared type without a namespace works once inside of a namespace; a second use says what would be right."""
    common = CommonTypes({"Inner": INNER})
    once = parse_schema(json.dumps(outer("Inner")), common=common)
    assert parse_schema(once.text).text == once.text
    with pytest.raises(SchemaError, match="has no namespace") as refused:
        parse_schema(json.dumps(outer("Inner", "Inner")), common=common)
    assert refused.value.hint == "give it a namespace"
