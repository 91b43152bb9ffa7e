"""Schemas inferred from a sample."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.address import Address
from meshport.codec import codec_for
from meshport.errors import SchemaError
from meshport.files.inference import DAY, EXACT_MOMENT, MOMENT, infer_schema, record_name
from meshport.files.ingest import Format, Reading, Row
from meshport.files.record_file import RecordFile
from meshport.files.row_mapper import RowMapper
from meshport.schema import Schema

PLACE = Address("network", "delays-by-airport")


def inferred(text: str, form: Format = Format.JSONL) -> Schema:
    """The schema of a file's text, which is seen to take every row of it."""
    file = RecordFile(io.BytesIO(text.encode()), "file", Reading(form))
    schema = infer_schema(PLACE, file.rows(), form).schema
    file.check()
    mapper, codec = RowMapper(schema, form), codec_for(schema)
    for row in file.rows():
        assert isinstance(row, Row)
        codec.encode(mapper.record(row))
    return schema


def types(text: str, form: Format = Format.JSONL) -> dict[str, Any]:
    """Field to type."""
    return {each["name"]: each["type"] for each in inferred(text, form).fields}


def jsonl(*rows: dict[str, Any]) -> str:
    """JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_record_is_named_after_its_product() -> None:
    """The product's words make the record's name, its domain the namespace."""
    assert record_name(PLACE) == ("DelaysByAirport", "network")
    assert record_name(Address("my-domain", "x")) == ("X", "my_domain")
    assert inferred(jsonl({"a": 1})).name == "network.DelaysByAirport"


def test_json_has_its_own_types() -> None:
    """JSON's types are taken as they are; text is a time or a day only where all of it is one, and never a number."""
    row = {
        "whole": 1,
        "share": 0.5,
        "flag": True,
        "text": "x",
        "digits": "00123",
        "number": "123",
        "at": "2001-01-31T13:05:00Z",
        "slashed": "2001/01/31 13:05",
        "day": "2001-01-31",
    }
    assert types(jsonl(row)) == {
        "whole": "long",
        "share": "double",
        "flag": "boolean",
        "text": "string",
        "digits": "string",
        "number": "string",
        "at": MOMENT,
        "slashed": MOMENT,
        "day": DAY,
    }


def test_csv_text_is_read_for_what_it_means() -> None:
    """In CSV, where all is text, digits are numbers; a code that begins with zeros, or is longer than a long, stays text."""
    head = "id,n,x,ok,zip,long_id,at,note\n"
    text = (
        head + "A,7,1.5,true,01234,12345678901234567890,2001-01-31 13:05,hi\nB,-8,2,false,99999,1,2001-01-31 13:06,7\n"
    )
    assert types(text, Format.CSV) == {
        "id": "string",
        "n": "long",
        "x": "double",
        "ok": "boolean",
        "zip": "string",
        "long_id": "string",
        "at": MOMENT,
        "note": "string",
    }


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 10**18])
def test_a_whole_number_of_64_bits_is_a_long(number: int) -> None:
    """The widest numbers that a long holds are longs, in CSV and JSON alike; the next one is text, to the last digit."""
    assert types(f"n\n{number}\n", Format.CSV) == types(jsonl({"n": number})) == {"n": "long"}
    assert types(f"n\n{2**63}\n", Format.CSV) == types(jsonl({"n": 2**63})) == {"n": "string"}


def test_what_is_empty_or_absent_somewhere_is_nullable() -> None:
    """A column that some row lacks, or holds as null, is nullable with default null, wherever it first shows up."""
    schema = inferred(jsonl({"a": 1, "b": None}, {"b": "x", "c": 2}, {"a": 3, "b": "y"}))
    fields = {each["name"]: each for each in schema.fields}
    assert {name: each["type"] for name, each in fields.items()} == {
        "a": ["null", "long"],
        "b": ["null", "string"],
        "c": ["null", "long"],
    }
    assert all(each["default"] is None for each in fields.values())
    assert types("a,b\n1,\n,x\n", Format.CSV) == {"a": ["null", "long"], "b": ["null", "string"]}


def test_numbers_widen_and_nothing_else_does() -> None:
    """Whole numbers beside fractions are doubles; text that is a number in one row only is text."""
    assert types(jsonl({"a": 1}, {"a": 1.5})) == {"a": "double"}
    assert types("a\n1\nx\n", Format.CSV) == {"a": "string"}
    assert types("a\n2001-01-31\n2001-01-31 10:00\n", Format.CSV) == {"a": "string"}


@pytest.mark.parametrize("text", ["2001-02-30", "2001-13-01", "2001-01-31 25:00", "2001-01-31T10:61:00Z"])
def test_a_form_alone_is_no_time(text: str) -> None:
    """A day or time that no calendar has is text, so that the row that holds it fits the schema read off it."""
    assert types(jsonl({"a": "2001-01-31"}, {"a": text})) == {"a": "string"}


def test_lists_and_records_nest() -> None:
    """Lists and objects become arrays and records of the narrowest types within them, nullable where they are null."""
    found = types(jsonl({"p": {"x": 1, "tags": ["a"]}, "l": [1, None, 2.5]}, {"p": {"x": None, "tags": []}, "l": []}))
    assert found["l"] == {"type": "array", "items": ["null", "double"]}
    point = found["p"]
    assert [(each["name"], each["type"]) for each in point["fields"]] == [
        ("x", ["null", "long"]),
        ("tags", {"type": "array", "items": "string"}),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no row"),
        ("{\n", "the sample's line 1: is no JSON"),
        (
            jsonl({"a": 1}, {"a": "x"}),
            r"a holds long \(1, line 1\) and string \('x', line 2\), which share no type\nhint: .*--na x",
        ),
        (jsonl({"a": True}, {"a": 1}), "boolean .* and long"),
        (jsonl({"a": [1]}, {"a": {"b": 1}}), "array .* and record"),
        (jsonl({"a": [1, "x"]}), "long .* and string"),
        (jsonl({"a b": 1}), "the column 'a b' is no Avro name"),
        (jsonl({"": 1}), "the column '' is no Avro name"),
        (jsonl({"ü": 1}), "the column 'ü' is no Avro name"),
    ],
)
def test_what_has_no_schema_is_refused(text: str, told: str) -> None:
    """A sample without rows, with types that have nothing in common, or with names that are none in Avro is refused."""
    with pytest.raises(SchemaError, match=told):
        inferred(text)


@pytest.mark.parametrize(
    ("text", "form", "kind", "note"),
    [
        ("a\n1\nNA\n", Format.CSV, "string", "1 of 2 values are whole numbers, but not 'NA' (line 3); .*`--na NA`"),
        ("a\n1.5\nNaN\n", Format.CSV, "string", "1 of 2 values are numbers, but not 'NaN' (line 3); .*`--na NaN`"),
        ("a\n1\n-\n?\n", Format.CSV, "string", "those texts stand for a missing value: `--na - --na '?'`"),
        ("a\n1_000\n", Format.CSV, "string", "'1_000' (line 2) is no number here; a number has the digits 0 to 9"),
        ('a,b\n1,"3,50"\n2,"4,10"\n', Format.CSV, "long", "b is text: '3,50' (line 2) is no number here"),
        (
            "a\n1\n2\n1 000\n",
            Format.CSV,
            "string",
            "2 of 3 values are whole numbers, but not '1 000' (line 4); a number has",
        ),
        ("a\n१\n", Format.CSV, "string", "'१' (line 2) is no number here"),
        (
            jsonl({"a": 2**63}),
            Format.JSONL,
            "string",
            "9223372036854775808 (line 1) is too large for a long or a double",
        ),
        (jsonl({"a": 2**53 + 1}, {"a": 0.5}), Format.JSONL, "string", "all digits of 9007199254740993 (line 1)"),
        ("a\n9007199254740993\n0.5\n", Format.CSV, "string", "all digits of 9007199254740993 (line 2)"),
        ("a\n1e999\n", Format.CSV, "string", "'1e999' (line 2) is too large"),
        (jsonl({"a": None}), Format.JSONL, ["null", "string"], "a is empty in every row"),
        ("a\nNA\nx\n", Format.CSV, "string", None),
        ("a\n192.168.1.1\n030 1234\n", Format.CSV, "string", None),
        ("a\n007\n", Format.CSV, "string", None),
    ],
)
def test_no_column_becomes_text_without_a_word(text: str, form: Format, kind: Any, note: str | None) -> None:
    """A column of which some values are no text, or numbers for people, has a note; one of texts has none."""
    assert types(text, form)["a"] == kind
    notes = infer_schema(PLACE, RecordFile(io.BytesIO(text.encode()), "file", Reading(form)).rows(), form).notes
    assert len(notes) == (0 if note is None else 1)
    assert all(re.search(re.sub(r"[()?]", r"\\\g<0>", note or ""), each) for each in notes)


def test_times_keep_their_digits() -> None:
    """A time of more than three digits of a second makes the column timestamp-micros."""
    assert types(jsonl({"a": "2001-01-31T13:05:00.123456Z"}, {"a": "2001-01-31T13:05:00Z"})) == {"a": EXACT_MOMENT}


def test_all_names_and_then_all_types_are_refused_at_once() -> None:
    """A refusal names every column that has no Avro name, nested ones too, with the renaming; the next, those without a type."""
    row = {"a b": 1, "c": {"d-e": 2, "d_e": 3}, "f": 1, "g": 1}
    with pytest.raises(SchemaError, match="columns 'a b', 'd-e' are no Avro names") as refused:
        inferred(jsonl(row))
    assert refused.value.hint is not None
    assert refused.value.hint.endswith("`--rename 'a b=a_b' --rename d-e=d_e_2`")
    with pytest.raises(SchemaError, match=r"f holds .*; g holds .*") as refused:
        inferred(jsonl({"f": 1, "g": 1}, {"f": "NA", "g": True}))
    assert refused.value.hint is not None
    assert "`--na NA`" in refused.value.hint


def test_records_that_nest_have_names_of_their_own() -> None:
    """Two paths that spell alike make two records."""
    inferred(jsonl({"a": {"b": {"x": 1}}, "a_b": {"y": 1}, "aB": {"z": 1}}))


SCALARS = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from("xyz"), each, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), min_size=1, max_size=4))
def test_every_row_of_a_sample_fits_its_schema(rows: list[dict[str, Any]]) -> None:
    """Whatever schema is inferred, each row that it was read off can be published under it; or none is given."""
    try:
        inferred(jsonl(*rows))
    except SchemaError as error:
        assert "share no type" in error.message or "type" in error.message  # noqa: PT017 - either way is right


@given(
    st.lists(st.lists(st.text("0123456789.-+eE/: TZaN", max_size=8), min_size=2, max_size=2), min_size=1, max_size=4)
)
def test_every_line_of_a_csv_sample_fits_its_schema(cells: list[list[str]]) -> None:
    """In CSV there always is a schema, text if nothing else, and every line of the sample fits it."""
    inferred("a,b\n" + "".join(f"{a},{b}\n" for a, b in cells), Format.CSV)
