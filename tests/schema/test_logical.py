"""Which logical types are valid, and that an invalid one changes nothing but the text of its schema."""

from __future__ import annotations

import json
from decimal import Context, Decimal
from typing import Any

import pytest

from meshport.codec import Codec, ResolvingDecoder
from meshport.codec.logical import kind_of
from meshport.columnar import ColumnarDecoder
from meshport.schema import Schema, parse_schema
from meshport.schema.logical import ANNOTATES, flaw, logical_type, underlying

TYPES: list[Any] = [
    *({"type": kind} for kind in ("null", "boolean", "int", "long", "float", "double", "bytes", "string")),
    {"type": "fixed", "name": "F", "size": 4},
    {"type": "enum", "name": "E", "symbols": ["A"]},
    {"type": "array", "items": "int"},
    {"type": "map", "values": "int"},
    {"type": "record", "name": "N", "fields": [{"name": "a", "type": "int"}]},
]
VALUES: dict[str, Any] = {
    "null": None,
    "boolean": True,
    "int": 7,
    "long": 7,
    "float": 0.5,
    "double": 0.5,
    "bytes": b"\1\2\3",
    "string": "abc",
    "fixed": b"\1\2\3\4",
    "enum": "A",
    "array": [7],
    "map": {"a": 7},
    "record": {"a": 7},
}
DECIMALS: list[tuple[dict[str, Any], str]] = [
    ({}, "has no precision"),
    ({"precision": 5, "scale": 127}, "has the scale 127, more than its precision 5"),
    ({"precision": 38, "scale": -3}, "has the scale -3, which is no whole number from 0 on"),
    ({"precision": 0}, "has the precision 0, which is no whole number above 0"),
    ({"precision": -1}, "has the precision -1, which is no whole number above 0"),
    ({"precision": "10", "scale": "2"}, "has the precision '10', which is no whole number above 0"),
    ({"precision": 10, "scale": "2"}, "has the scale '2', which is no whole number from 0 on"),
    ({"precision": 10.0}, "has the precision 10.0, which is no whole number above 0"),
    ({"precision": True}, "has the precision True, which is no whole number above 0"),
    ({"precision": None}, "has the precision None, which is no whole number above 0"),
    ({"precision": 4, "scale": None}, "has the scale None, which is no whole number from 0 on"),
    ({"precision": 2**31}, "has the precision beyond 32 bits, which is no whole number above 0"),
]


def invalid() -> list[dict[str, Any]]:
    """Return every logical type on each type on which readers ignore it, and some that the specification does not know."""
    decimals = [{"type": "bytes", "logicalType": "decimal", **rest} for rest, _ in DECIMALS]
    decimals += [
        {"type": "fixed", "name": "F", "size": 4, "logicalType": "decimal", "precision": each} for each in (10, 20)
    ]
    misplaced = [
        {**form, "logicalType": name, **({"precision": 4} if name == "decimal" else {})}
        for form in TYPES
        for name in (*ANNOTATES, "unheard-of", 7, None, ["date"])
        if logical_type({"size": 0, **form, "logicalType": name, "precision": 4}) is None
    ]
    return decimals + misplaced


def in_record(form: Any) -> Schema:
    """Return a record with a field of the type."""
    return parse_schema(json.dumps({"type": "record", "name": "R", "fields": [{"name": "n", "type": form}]}))


def test_an_invalid_logical_type_is_the_underlying_type() -> None:
    """A schema with an invalid logical type is written and read, by rows and by columns, as the same schema without it."""
    for form in invalid():
        ignored, bare = in_record(form), in_record(underlying(form))
        assert form["logicalType"] == ignored.fields[0]["type"]["logicalType"], "the author's text is kept"
        record = {"n": VALUES[form["type"]]}
        body = Codec(bare).encode(record)
        assert Codec(ignored).encode(record) == body, form
        assert Codec(ignored).decode(body) == record, form
        assert (
            ResolvingDecoder(bare, ignored).decode(body, 0) == ResolvingDecoder(ignored, bare).decode(body, 0) == record
        )
        if form["type"] != "null":
            rows = ColumnarDecoder(ignored).decode([body] * 3)
            assert rows.equals(ColumnarDecoder(bare).decode([body] * 3)), form


@pytest.mark.parametrize(("attributes", "why"), DECIMALS)
def test_the_flaw_of_a_decimal_is_said(attributes: dict[str, Any], why: str) -> None:
    """The reason names the attribute and what was found."""
    assert flaw({"type": "bytes", "logicalType": "decimal", **attributes}) == why


@pytest.mark.parametrize(("size", "digits"), [(1, 2), (2, 4), (4, 9), (8, 18), (16, 38), (64, 153), (416, 1001)])
def test_a_fixed_holds_so_many_digits(size: int, digits: int) -> None:
    """The most digits of a decimal on a fixed, by the formula of the specification: floor(log10(2^(8n - 1) - 1))."""
    form = {"type": "fixed", "name": "F", "size": size, "logicalType": "decimal"}
    assert flaw({**form, "precision": digits}) is None
    assert (
        flaw({**form, "precision": digits + 1})
        == f"has the precision {digits + 1}, and {size} bytes hold {digits} digits"
    )
    assert len(str(2 ** (8 * size - 1) - 1)) - 1 == digits


def test_the_codec_converts_only_what_is_valid() -> None:
    """A kind names a logical type if the codec converts it, and the bare type otherwise."""
    assert kind_of({"type": "bytes", "logicalType": "decimal", "precision": 1000}) == "bytes-decimal"
    assert kind_of({"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}) == "fixed"
    assert {kind_of(each) for each in invalid()} == {each["type"] for each in TYPES}


def test_a_decimal_of_1000_digits_is_read_and_written() -> None:
    """The widest decimal, such as PostgreSQL's numeric(1000, 500), keeps every digit."""
    schema = in_record({"type": "bytes", "logicalType": "decimal", "precision": 1000, "scale": 500})
    value = Decimal((1, (9,) * 1000, -500))
    body = Codec(schema).encode({"n": value})
    assert Codec(schema).decode(body)["n"].compare_total(value, Context(prec=1000)) == 0
