"""The canonical form: one text for one meaning."""

from __future__ import annotations

import json
from typing import Any

import fastavro
import pytest
from hypothesis import given

from meshport.errors import SchemaError
from meshport.schema import CommonTypes, Schema, parse_schema
from meshport.schema.canonical import canonical, canonical_text, take_apart
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


NULL_INNER = INNER | {"namespace": ""}


def _types(form: dict[str, Any]) -> list[Any]:
    """The types of a record's fields, definitions by name."""
    return [each["type"]["name"] if isinstance(each["type"], dict) else each["type"] for each in form["fields"]]


@pytest.mark.parametrize(
    ("fields", "types"),
    [
        ((NULL_INNER, "Inner"), ["Inner", "Inner"]),
        ((NULL_INNER, INNER, "Inner"), ["Inner", "a.Inner", "a.Inner"]),
        ((NULL_INNER, "Inner", INNER, "Inner"), ["Inner", "Inner", "a.Inner", "a.Inner"]),
        ((INNER | {"name": ".Inner"}, "Inner"), ["Inner", "Inner"]),
        ((NULL_INNER, ".Inner"), ["Inner", "Inner"]),
        ((INNER | {"namespace": None}, "a.Inner"), ["a.Inner", "a.Inner"]),
        ((NULL_INNER, {"type": "Inner", "doc": "of the name, which takes none"}), ["Inner", "Inner"]),
    ],
)
def test_a_bare_name_is_looked_up_in_its_namespace_then_in_the_null_namespace(
    fields: tuple[Any, ...], types: list[str]
) -> None:
    """As Java's library does, in the order of the text; the canonical text reads as the same names again."""
    schema = parse_schema(json.dumps(outer(*fields)))
    assert _types(schema.form) == types
    assert parse_schema(schema.text).text == schema.text


def test_a_bare_name_of_the_null_namespace_may_be_that_of_the_outermost_record() -> None:
    """A tree whose nodes have a namespace refers to its root, which has none."""
    node = {"type": "record", "name": "Node", "namespace": "a", "fields": [{"name": "up", "type": ["null", "Root"]}]}
    root = {"type": "record", "name": "Root", "fields": [{"name": "child", "type": ["null", node]}]}
    schema = parse_schema(json.dumps(root))
    assert schema.form["fields"][0]["type"][1]["fields"][0]["type"] == ["null", "Root"]
    assert parse_schema(schema.text).text == schema.text


@pytest.mark.parametrize("name", ["other.Inner", "Missing"])
def test_a_name_that_is_defined_nowhere_is_not_guessed(name: str) -> None:
    """A name with a dot is full: the null namespace is not searched for its last part."""
    with pytest.raises(SchemaError, match="is no type that is known here"):
        parse_schema(json.dumps(outer(NULL_INNER, name)))


def test_a_name_that_the_canonical_text_could_not_give_is_refused() -> None:
    """Where its namespace has the same name, a bare one would be read as that."""
    with pytest.raises(SchemaError, match="which has 'Inner' too") as refused:
        parse_schema(json.dumps(outer(NULL_INNER, INNER, ".Inner")))
    assert refused.value.hint == "give it a namespace, or use it before the other one is defined"


def test_a_shared_type_without_a_namespace_is_used_twice_within_one() -> None:
    """The first use defines it, the second names it."""
    schema = parse_schema(json.dumps(outer("Inner", "Inner")), common=CommonTypes({"Inner": INNER}))
    assert _types(schema.form) == ["Inner", "Inner"]
    assert parse_schema(schema.text).text == schema.text


@given(schemas())
def test_a_form_taken_apart_is_put_together_again(schema: Schema) -> None:
    """Whatever namespaces its types have, each name leads to the same type as before."""
    named: dict[str, Any] = {}
    root = take_apart(schema.form, named)
    assert canonical_text(canonical(root, named)) == schema.text


def test_a_form_taken_apart_keeps_equal_names_of_two_namespaces_apart() -> None:
    """The null namespace's `Inner` stays that, though `a.Inner` is known when the form is put together."""
    use = {"type": "record", "name": "Use", "fields": [{"name": "x", "type": "Inner"}]}
    schema = parse_schema(json.dumps(outer(NULL_INNER, use, INNER | {"fields": []})))
    named: dict[str, Any] = {}
    root = take_apart(schema.form, named)
    assert canonical_text(canonical(root, named)) == schema.text


def test_one_type_used_first_in_two_namespaces_is_the_same_type() -> None:
    """Where a type stands decides whether its text says that it has no namespace, and nothing else of it."""
    named: dict[str, Any] = {}
    for form in (INNER, outer(NULL_INNER)):
        take_apart(parse_schema(json.dumps(form)).form, named)
    assert set(named) == {"Inner", "a.Outer"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("strng", "did you mean 'string'? Else define"),
        ("Iner", "did you mean 'Inner'? Else define"),
        ("a.Inr", "did you mean 'Inner'? Else define"),
        ("a.Missing", "define it before its first use"),
    ],
)
def test_an_unknown_type_is_answered_with_a_name_that_resembles_it(name: str, hint: str) -> None:
    """The namespace does not count, so that no type is proposed only for being in the same one."""
    with pytest.raises(SchemaError) as refused:
        parse_schema(json.dumps(outer(NULL_INNER, name)))
    assert str(refused.value.hint).startswith(hint)
