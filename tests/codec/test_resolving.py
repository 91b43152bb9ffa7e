"""Schema resolution: against fastavro on random evolutions, and where it is more exact than fastavro."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from meshport.codec import Codec, ResolvingDecoder
from meshport.errors import DecodeError, SchemaError
from meshport.schema import Schema
from tests.codec.samples import PLAY, schema
from tests.codec.strategies import fastavro_write, parsed, records, schemas

PROMOTED = {
    "int": ["long", "double"],
    "long": ["double"],
    "float": ["double"],
    "string": ["bytes"],
    "bytes": ["string"],
}


def _record(*fields: Any, name: str = "R") -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "fields": [dict(zip(("name", "type", "default"), field, strict=False)) for field in fields],
    }


def _read(writer: Any, value: Any, reader: Any) -> Any:
    return ResolvingDecoder(schema(writer), schema(reader)).decode(Codec(schema(writer)).encode(value), 0)


@settings(suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_evolutions_are_resolved_as_by_fastavro(data: st.DataObject) -> None:
    """Fields dropped, added and moved, types promoted, unions widened: the value is fastavro's, or both refuse."""
    writer = data.draw(schemas())
    # fastavro reads a writer's bytes as the string that stands before them in the reader's union; Java and we do not.
    assume(not any({"string", "bytes"} <= branches for branches in _unions(writer.form)))
    record = data.draw(records(writer))
    reader = schema(_evolved(writer.form, random.Random(data.draw(st.integers(0, 2**32)))))
    body = fastavro_write(writer, record)
    theirs = _theirs(writer, reader, body)
    ours = _ours(writer, reader, body)
    assert (ours is None) == (theirs is None)
    assert _ordered(ours) == _ordered(theirs)


def _unions(form: Any) -> Iterator[set[Any]]:
    """The branches of each union that are given by name alone."""
    if isinstance(form, list):
        yield {branch for branch in form if isinstance(branch, str)}
    for each in form if isinstance(form, list) else form.values() if isinstance(form, dict) else ():
        yield from _unions(each)


def _ours(writer: Schema, reader: Schema, body: bytes) -> Any:
    try:
        return ResolvingDecoder(writer, reader).decode(body, 0)
    except DecodeError:
        return None


def _theirs(writer: Schema, reader: Schema, body: bytes) -> Any:
    try:
        return fastavro.schemaless_reader(io.BytesIO(body), parsed(writer), parsed(reader))
    except (fastavro.read.SchemaResolutionError, UnicodeDecodeError):
        return None


def _ordered(value: Any) -> Any:
    """A value whose text is the same for the same fields in any order."""
    if isinstance(value, dict):
        return repr(sorted((key, _ordered(each)) for key, each in value.items()))
    return repr([_ordered(each) for each in value] if isinstance(value, list) else value)


def _evolved(form: Any, chance: random.Random) -> Any:
    """A reader's schema that a writer's may have become."""
    if isinstance(form, list):
        branches = [_evolved(branch, chance) if isinstance(branch, dict) else branch for branch in form]
        return branches if "null" in branches or chance.random() < 0.5 else [*branches, "null"]
    if isinstance(form, str):
        return chance.choice([form, form, *PROMOTED.get(form, ())])
    evolved = dict(form)
    for held in ("items", "values"):
        if held in form:
            evolved[held] = _evolved(form[held], chance)
    if form["type"] == "record":
        fields = [{**field, "type": _evolved(field["type"], chance)} for field in form["fields"]]
        # A field that defines a type which is referred to later cannot go.
        fields = [each for each in fields if not isinstance(each["type"], str) or chance.random() < 0.8]
        if chance.random() < 0.5:
            added = {"name": "added", "type": ["null", "string"], "default": None}
            fields.insert(chance.randrange(len(fields) + 1), added)
        evolved["fields"] = fields
    return evolved


@pytest.mark.parametrize(
    ("writer", "value", "reader", "expected"),
    [
        ("int", 7, "double", 7.0),
        ("string", "ä", "bytes", "ä".encode()),
        (["null", "int"], 7, "long", 7),
        ("int", 7, ["null", "double", "long"], 7.0),
        ("int", 7, ["double", "int"], 7),
        ("long", 1000, {"type": "long", "logicalType": "timestamp-millis"}, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ({"type": "long", "logicalType": "timestamp-millis"}, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), "long", 1000),
        (
            {"type": "long", "logicalType": "timestamp-millis"},
            datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
            {"type": "long", "logicalType": "timestamp-micros"},
            datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
        ),
        (
            {"type": "enum", "name": "E", "symbols": ["A", "B"]},
            "B",
            {"type": "enum", "name": "E", "symbols": ["A", "C"], "default": "C"},
            "C",
        ),
        (_record(("a", "int")), {"a": 1}, {**_record(("b", "int"), name="S"), "aliases": ["R"]}, None),
        (
            _record(("a", "int")),
            {"a": 1},
            {"type": "record", "name": "n.R", "fields": [{"name": "b", "type": "int", "aliases": ["a"]}]},
            {"b": 1},
        ),
    ],
)
def test_values_that_can_be_resolved(writer: Any, value: Any, reader: Any, expected: Any) -> None:
    """Promotions, names and aliases, enum defaults, logical types; the reader's own type before a promoted one."""
    if expected is None:
        with pytest.raises(DecodeError, match="lacks the field 'b'"):
            _read(writer, value, reader)
    else:
        assert repr(_read(writer, value, reader)) == repr(expected)


@pytest.mark.parametrize(
    ("writer", "value", "reader", "message"),
    [
        ("string", "a", "int", "has no place in the reader's schema"),
        (["null", "string"], None, "string", "has no place in the reader's schema"),
        (
            {"type": "enum", "name": "E", "symbols": ["A", "B"]},
            "B",
            {"type": "enum", "name": "E", "symbols": ["A"]},
            "'B'",
        ),
        (_record(("a", "int")), {"a": 1}, _record(("a", "int"), ("b", "int")), "lacks the field 'b'"),
        (_record(("a", "int")), {"a": 1}, _record(("a", "int"), name="S"), "has no place"),
        ({"type": "fixed", "name": "F", "size": 2}, b"ab", {"type": "fixed", "name": "F", "size": 3}, "has no place"),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2},
            Decimal("1.50"),
            {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 3},
            "has no place",
        ),
    ],
)
def test_values_that_cannot_be_resolved(writer: Any, value: Any, reader: Any, message: str) -> None:
    """A value without a place in the reader's schema is a DecodeError that names it."""
    with pytest.raises(DecodeError, match=message):
        _read(writer, value, reader)


def test_a_branch_without_counterpart_is_refused_only_where_it_is_taken() -> None:
    """Readers may leave out branches that no value takes."""
    decoder = ResolvingDecoder(schema(["int", "string"]), schema("long"))
    assert decoder.decode(b"\0\x0e", 0) == 7
    with pytest.raises(DecodeError):
        decoder.decode(b"\2\2a", 0)


def test_defaults_are_values_of_their_type_and_nobody_elses() -> None:
    """An instant, bytes and a decimal come typed; a list may be changed without changing the next record's."""
    reader = _record(
        ("at", {"type": "long", "logicalType": "timestamp-millis"}, 1000),
        ("raw", "bytes", "\xff"),
        ("price", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "\x64"),
        ("tags", {"type": "array", "items": "string"}, ["a"]),
        ("inner", _record(("x", "int", 5), name="I"), {}),
    )
    decoder = ResolvingDecoder(schema(_record()), schema(reader))
    first = decoder.decode(b"", 0)
    assert first == {
        "at": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
        "raw": b"\xff",
        "price": Decimal("1.00"),
        "tags": ["a"],
        "inner": {"x": 5},
    }
    first["tags"].append("b")
    assert decoder.decode(b"", 0)["tags"] == ["a"]


def test_a_default_that_is_none_is_told_when_the_decoder_is_made() -> None:
    """A reader's default of the wrong type is a SchemaError before any event is read."""
    with pytest.raises(SchemaError, match="is no default of the type int-date"):
        ResolvingDecoder(schema(_record()), schema(_record(("d", {"type": "int", "logicalType": "date"}, 2**40))))


def test_recursive_and_shared_types_are_resolved() -> None:
    """A linked list is read with a field less and a field more at each level."""
    node = _record(("v", "int"), ("w", "string"), ("next", ["null", "R"]))
    reader = _record(("next", ["null", "R"]), ("v", "long"), ("u", "int", 3))
    value = {"v": 1, "w": "a", "next": {"v": 2, "w": "b", "next": None}}
    assert _read(node, value, reader) == {"next": {"next": None, "v": 2, "u": 3}, "v": 1, "u": 3}


def test_bytes_are_checked_by_the_writers_schema_whatever_the_reader_drops() -> None:
    """A fault in a field that the reader does not have is still a fault, and trailing bytes too."""
    decoder = ResolvingDecoder(schema(_record(("a", "string"), ("b", "int"))), schema(_record(("b", "int"))))
    assert decoder.decode(b"\2x\2", 0) == {"b": 1}
    for payload in (b"\2\xff\2", b"\2x\2\0", b"\2x"):
        with pytest.raises(DecodeError):
            decoder.decode(payload, 0)


def test_an_equal_schema_takes_the_plain_decoder() -> None:
    """A reader that declares the writer's schema pays nothing."""
    body = Codec(schema("string")).encode("a")
    assert ResolvingDecoder(schema("string"), schema("string")).decode(body, 0) == "a"
    assert ResolvingDecoder(PLAY, PLAY).reader is PLAY


SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1), SINGLE.map(int)), st.data())
def test_a_whole_number_read_as_a_float_is_the_nearest_single(number: int, data: st.DataObject) -> None:
    """An int and a long are rounded once, to even between two singles; NumPy's conversion in C is the oracle."""
    assume(-(2**63) <= number < 2**63)
    written = data.draw(st.sampled_from(["int", "long"])) if -(2**31) <= number < 2**31 else "long"
    nearest = float(np.int64(number).astype(np.float32))
    assert _read(written, number, "float") == nearest
    assert _read(["null", written], number, ["null", "float"]) == nearest
    # By the specification the first branch that matches; Java takes the long. A branch of the writer's own type comes first.
    if written == "int":
        assert _read("int", number, ["null", "float", "long"]) == nearest
        assert _read("int", number, ["null", "long", "float"]) == number
    assert _read(written, number, ["null", "float", written]) == number


@given(st.one_of(SINGLE, st.floats(-3e38, 3e38), st.integers(-(2**70), 2**70)))
def test_a_default_of_a_float_equals_the_value_that_was_written(number: float) -> None:
    """An event that is read with the default, one whose writer left the field out, and one that holds it are equal."""
    form = _record(("a", "int"), ("d", "float", number), ("n", {"type": "array", "items": "float"}, [number]))
    codec = Codec(schema(form))
    read = _read(_record(("a", "int")), {"a": 1}, form)
    assert read["d"] == read["n"][0] == float(np.float32(number))
    assert codec.decode(codec.encode({"a": 1})) == read
    assert codec.decode(codec.encode(read)) == read
    assert codec.encode(read) == codec.encode({"a": 1})


@pytest.mark.parametrize("default", ["NaN", "Infinity", "-Infinity"])
def test_a_default_may_be_a_number_that_json_lacks(default: str) -> None:
    """The text forms are those of Java (AVRO-4024), for a type with attributes too."""
    for kind in ("float", "double"):
        read = _read(_record(), {}, _record(("x", {"type": kind, "unit": "K"}, default)))["x"]
        assert repr(read) == repr(float(default))
