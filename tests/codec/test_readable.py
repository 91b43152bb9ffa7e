"""The part of a reader's schema that a writer's can give: what is left out, and that nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshport.codec import ResolvingDecoder, codec_for
from meshport.codec.readable import readable
from meshport.errors import DecodeError
from tests.codec.samples import schema
from tests.codec.strategies import records, schemas
from tests.repeats import EXAMPLES, repeats

INNER = {"type": "record", "name": "Inner", "fields": [{"name": "x", "type": "int"}]}


def record(*fields: tuple[Any, ...], name: str = "R", **more: Any) -> dict[str, Any]:
    """Return a record; a field is its name, its type and, if it has one, its default."""
    made = [{"name": each[0], "type": each[1]} | ({"default": each[2]} if len(each) > 2 else {}) for each in fields]
    return {"type": "record", "name": name, "fields": made, **more}


def inner(*fields: tuple[Any, ...]) -> dict[str, Any]:
    """Return the record `Inner`."""
    return record(*fields, name="Inner")


@pytest.mark.parametrize(
    ("writer", "reader", "left"),
    [
        (record(("a", "int")), record(("a", "int"), ("b", "int", 5)), "a b"),
        (record(("a", "int")), record(("a", "int"), ("b", "int")), "a"),
        (record(("a", "int")), record(("a", "int"), ("b", "int", 2**40)), "a"),
        (record(("a", "int"), ("b", "int")), record(("a", "int")), "a"),
        (record(("a", "int")), record(("a", "double")), "a"),
        (record(("a", "double")), record(("a", "int")), ""),
        (record(("a", ["null", "int"])), record(("a", "int")), "a"),
        (record(("a", ["null", "string"])), record(("a", "int")), ""),
        (record(("a", "string")), record(("a", ["null", "string"])), "a"),
        (record(("a", "string")), record(("a", ["null", "long"])), ""),
        (record(("a", {"type": "array", "items": "int"})), record(("a", {"type": "array", "items": "string"})), ""),
        (record(("a", {"type": "map", "values": "int"})), record(("a", {"type": "map", "values": "long"})), "a"),
        (record(("a", inner(("x", "int")))), record(("a", inner(("x", "int"), ("y", "int")))), "a a.x"),
        (
            record(("a", ["null", inner(("x", "int"))])),
            record(("a", ["null", inner(("x", "int"), ("y", "int", 1))])),
            "a a.x a.y",
        ),
        (
            record(("a", {"type": "array", "items": inner(("x", "int"))})),
            record(("a", {"type": "array", "items": inner(("x", "string"), ("y", "int", 1))})),
            "a a.y",
        ),
        (
            record(("old", "int")),
            record(("b", "int")) | {"fields": [{"name": "b", "type": "int", "aliases": ["old"]}]},
            "b",
        ),
    ],
    ids=str,
)
def test_only_what_the_writer_cannot_give_is_left_out(writer: Any, reader: Any, left: str) -> None:
    """A field without a value and a valid default goes, also within records; all other fields stay."""
    made = readable(schema(writer), schema(reader))
    assert made is not None
    assert " ".join(_paths(made.form)) == left
    ResolvingDecoder(schema(writer), made)  # every default that is left is valid


def _paths(form: Any, prefix: str = "") -> list[str]:
    if isinstance(form, list):
        return [path for branch in form for path in _paths(branch, prefix)]
    if not isinstance(form, dict):
        return []
    if "items" in form:
        return _paths(form["items"], prefix)
    return [
        path
        for each in form.get("fields", ())
        for path in (prefix + each["name"], *_paths(each["type"], f"{prefix}{each['name']}."))
    ]


def test_records_of_other_names_are_none_of_the_readers() -> None:
    """A record that does not match by name or alias has no readable part."""
    writer = schema(record(("a", "int"), name="Other"))
    assert readable(writer, schema(record(("a", "int")))) is None
    assert readable(writer, schema(record(("a", "int"), aliases=["Other"]))) is not None
    assert readable(writer, schema("string")) is None


def test_the_same_schema_stays_the_same() -> None:
    """A schema is its own readable part, and one that gives every field leaves the reader's as it is."""
    one, two = schema(record(("a", "int"))), schema(record(("a", "long"), ("b", "int", 1)))
    assert readable(one, one) is one
    assert readable(one, two) is two


def test_a_shared_type_loses_a_field_wherever_it_is_used() -> None:
    """A named type has one definition: a field that one of its uses cannot give is left out of all of them."""
    writer = record(("a", inner(("x", "int"))), ("b", inner(("x", "int")) | {"name": "Inner2"}))
    reader = record(("a", inner(("x", "int"), ("y", "int"))), ("b", "Inner"))
    made = readable(schema(writer), schema(reader))
    assert made is not None
    assert _paths(made.form) == ["a", "a.x"]  # `Inner2` is no `Inner`


@settings(max_examples=repeats(EXAMPLES, 5_000), suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_field_is_left_that_no_value_has(data: st.DataObject) -> None:
    """For any two contracts, a value that is refused is refused for what it is, not for a field that the writer lacks."""
    writer, reader = data.draw(schemas()), data.draw(schemas())
    made = readable(writer, reader)
    assert made is not None
    body = codec_for(writer).encode(data.draw(records(writer)))
    decode = ResolvingDecoder(writer, made).decode
    try:
        names = set(decode(body, 0))
    except DecodeError as error:
        refused = error.message
    else:
        assert names == set(made.field_names)
        return
    assert "lacks the field" not in refused
