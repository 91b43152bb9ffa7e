"""Rows of files, and records made of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.codec import codec_for
from meshport.codec.jsonform import to_json
from meshport.errors import EncodeError, FileError
from meshport.files.ingest import Format, LineRefused, Reading, Row
from meshport.files.record_file import RecordFile
from meshport.files.row_mapper import RowMapper
from meshport.rfc3339 import loose_instant
from meshport.schema import parse_schema

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-millis"}
DAY = {"type": "int", "logicalType": "date"}
CLOCK = {"type": "int", "logicalType": "time-millis"}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
GUID = {"type": "string", "logicalType": "uuid"}
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN"]}
POINT = {
    "type": "record",
    "name": "Point",
    "fields": [
        {"name": "x", "type": "double"},
        {"name": "at", "type": MILLIS},
        {"name": "n", "type": "int", "default": 0},
    ],
}


def rows(text: str, form: Format = Format.JSONL) -> list[Row | LineRefused]:
    """The rows of a file's text."""
    return list(RecordFile(io.BytesIO(text.encode()), "file", Reading(form)).rows())


def mapper(*fields: dict[str, Any], **options: Any) -> RowMapper:
    """A mapper for a record of these fields."""
    return RowMapper(parse_schema(json.dumps({"type": "record", "name": "R", "fields": list(fields)})), **options)


def value(kind: Any, given: Any) -> Any:
    """What a field of that type takes for a column's value."""
    return mapper({"name": "f", "type": kind}).record(Row(1, {"f": given}))["f"]


def refusal(kind: Any, given: Any) -> EncodeError:
    """Why a field of that type does not take a column's value."""
    with pytest.raises(EncodeError) as refused:
        value(kind, given)
    return refused.value


def lines(found: Iterable[Row | LineRefused]) -> list[int]:
    """The line of each."""
    return [each.line for each in found]


def test_json_lines_are_numbered_as_they_stand() -> None:
    """Empty lines are passed over and counted; a mark at the beginning and Windows' line ends are no part of the data."""
    found = rows('\ufeff{"a": 1}\r\n\r\n{"a": 2}\r\n  \n{"a": 3}')
    assert [(each.line, each.values) for each in found if isinstance(each, Row)] == [
        (1, {"a": 1}),
        (3, {"a": 2}),
        (5, {"a": 3}),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: is no JSON"),
        ("[1]", "line 2: holds [1], not an object"),
        ("null", "line 2: holds null, not an object"),
        ("7", "line 2: holds 7, not an object"),
        ('{"a": 1, "a": 2}', "line 2: is no JSON: 'a' is named twice"),
        ("[" * 100_000, "line 2: is no JSON"),
        ('{"a": ' + "1" * 5000 + "}", "line 2: is no JSON"),
    ],
)
def test_a_line_that_is_no_record_stops_no_other(line: str, told: str) -> None:
    """A line that holds no record comes as the error that names it; those around it are read."""
    first, bad, last = rows(f'{{"a": 1}}\n{line}\n{{"a": 3}}\n')
    assert isinstance(first, Row)
    assert isinstance(last, Row)
    assert isinstance(bad, LineRefused)
    assert (bad.line, last.line) == (2, 3)
    assert told in str(bad)


def test_quoted_line_breaks_keep_the_numbers_right() -> None:
    """A CSV record that spans lines has the number of its first; the one after it has its own."""
    found = rows('a,b\r\n1,"x\r\ny"\r\n\r\n2,z\r\n', Format.CSV)
    assert [(each.line, each.values) for each in found if isinstance(each, Row)] == [
        (2, {"a": "1", "b": "x\r\ny"}),
        (5, {"a": "2", "b": "z"}),
    ]


def test_an_empty_cell_is_null() -> None:
    """CSV has no null but the empty cell."""
    (row,) = rows("a,b\n,x\n", Format.CSV)
    assert isinstance(row, Row)
    assert row.values == {"a": None, "b": "x"}


def test_a_broken_csv_line_stops_no_other() -> None:
    """Lines with too many cells, too few, or a stray quote are named; the lines after them are read."""
    found = rows('a,b\n1,2\n1,2,3\n1\n"x"y,2\n3,4\n', Format.CSV)
    assert lines(found) == [2, 3, 4, 5, 6]
    told = [str(each) for each in found if isinstance(each, LineRefused)]
    assert told[:2] == ["line 3: has 3 cells, the header 2", "line 4: has 1 cells, the header 2"]
    assert told[2].startswith("line 5: is no CSV: ")


def refused_file(content: bytes, form: Format = Format.JSONL, **options: Any) -> str:
    """Why a file is refused as a whole, before any of its rows is used."""
    with pytest.raises(FileError) as refused:
        RecordFile(io.BytesIO(content), "file", Reading(form, **options)).check()
    return str(refused.value)


def test_a_quote_that_never_ends_is_named_at_its_beginning() -> None:
    """An open quote swallows the rest of a file, which is refused; the line at which it opened is the one to look at."""
    assert "file: line 3: a quote that opens here is not closed" in refused_file(b'a\n1\n"2\n3\n4\n', Format.CSV)
    assert "file: line 2: is no CSV" in refused_file(b'a,b\n"x"y,"2\n3",4\n5,6\n', Format.CSV)


@pytest.mark.parametrize("form", list(Format))
def test_no_utf8_refuses_the_file_with_the_exact_line(form: Format) -> None:
    """Bytes that are no UTF-8 refuse the file, with their line and how another encoding is named."""
    told = refused_file(b'{"a": 1}\n' * 5000 + b"caf\xe9\n", form)
    assert told.startswith("file: line 5001: the byte 0xe9 is not UTF-8")
    assert "--encoding windows-1252" in told


def test_a_header_that_names_a_column_twice_is_refused() -> None:
    """Two columns of one name are refused: which one a field would take is ambiguous."""
    assert "file: line 1: names the column 'a' twice" in refused_file(b"a,b,a\n1,2,3\n", Format.CSV)


NOON = datetime(2001, 2, 3, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "given", "taken"),
    [
        ("string", "ü", "ü"),
        ("string", 7, "7"),
        ("long", "7", 7),
        ("long", " -7 ", -7),
        ("long", "7.0", 7),
        ("int", 7, 7),
        ("double", "1e3", 1000.0),
        ("double", 7, 7.0),
        ("double", 2**53 + 2, 9007199254740994.0),
        ("double", "123456789012345680000", 1.2345678901234568e20),
        ("double", "1e23", 1e23),
        ("float", 2**24, 16777216.0),
        ("double", "NaN", pytest.approx(float("nan"), nan_ok=True)),
        ("boolean", "Yes", True),
        ("boolean", "f", False),
        ("boolean", 1, True),
        ("boolean", " true ", True),
        (MONEY, "12.30", Decimal("12.30")),
        (MONEY, 12, Decimal(12)),
        (GUID, "218c3c71-5495-4d11-9379-eff0811a0f04", UUID("218c3c71-5495-4d11-9379-eff0811a0f04")),
        (COLOUR, "RED", "RED"),
        ("bytes", "AP8=", b"\x00\xff"),
        (MILLIS, "2001-02-03T12:05:00Z", NOON),
        (MILLIS, "2001/02/03 12:05", NOON),
        (MILLIS, "2001-02-03T14:05+02:00", NOON),
        (MILLIS, "2001-02-03", datetime(2001, 2, 3, tzinfo=UTC)),
        (MILLIS, 981_201_900_000, NOON),
        (MILLIS, "981201900000", NOON),
        (MICROS, 981_201_900_000_001, NOON + timedelta(microseconds=1)),
        (MICROS, 253_402_300_799_999_999, datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        (MILLIS, -1, datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        (LOCAL, "2001-02-03 12:05", NOON.replace(tzinfo=None)),
        (DAY, "2001/02/03", date(2001, 2, 3)),
        (DAY, 11_356, date(2001, 2, 3)),
        (CLOCK, "12:05", time(12, 5)),
        (CLOCK, 43_500_000, time(12, 5)),
        ({"type": "array", "items": "long"}, "[1, 2]", [1, 2]),
        ({"type": "array", "items": COLOUR}, ["RED"], ["RED"]),
        ({"type": "map", "values": "double"}, '{"a": 1}', {"a": 1.0}),
        (POINT, '{"x": 1, "at": "2001/02/03 12:05"}', {"x": 1.0, "at": NOON}),
        (["null", "long"], None, None),
        (["null", "long"], "7", 7),
        (["string", "long"], 7, 7),
        (["long", "string"], "7", "7"),
        (["null", "double", MILLIS], "2001-02-03", datetime(2001, 2, 3, tzinfo=UTC)),
        (["null", {"type": "array", "items": "string"}], '["a"]', ["a"]),
    ],
)
def test_a_column_becomes_what_its_field_takes(kind: Any, given: Any, taken: Any) -> None:
    """Text of a CSV cell and JSON values alike become numbers, times, decimals and nested records, exactly."""
    found = value(kind, given)
    assert found == taken
    assert type(found) is type(taken) or isinstance(taken, type(pytest.approx(1)))
    codec_for(
        parse_schema(json.dumps({"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}))
    ).encode({"f": found})


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        ("long", "abc", "'abc' is not a whole number"),
        ("long", "7.5", "'7.5' is not a whole number"),
        ("long", True, "true is not a whole number"),
        ("long", "1e999999999", "'1e999999999' is out of range"),
        ("long", "Infinity", "'Infinity' is not a whole number"),
        ("long", "1_000", "'1_000' is not a whole number"),
        ("long", "١٢", "'١٢' is not a whole number"),
        ("long", "1,000", "'1,000' is not a whole number"),
        ("double", "1_0.5", "'1_0.5' is not a number"),
        ("double", "१.5", "'१.5' is not a number"),
        ("double", "inf", "'inf' is not a number"),
        ("double", 2**53 + 1, "9007199254740993 would lose digits: a double holds 9007199254740992"),
        ("double", "9007199254740993", "'9007199254740993' would lose digits"),
        ("float", 2**24 + 1, "16777217 would lose digits: a float holds 16777216"),
        ("float", "1e39", "'1e39' is out of range of single precision"),
        (MONEY, "1_000", "'1_000' is not a number"),
        (GUID, "٢18c3c71-5495-4d11-9379-eff0811a0f04", "'٢18c3c71-5495-4d11-9379-eff0811a0f04' is not a UUID"),
        ("double", "x", "'x' is not a number"),
        ("double", "1e999", "'1e999' is out of range"),
        ("double", [1], "[1] is not a number"),
        ("boolean", "maybe", "'maybe' is neither true nor false"),
        ("string", {"a": 1}, '{"a": 1} is not text'),
        ("string", None, "the field has no value and no default"),
        ("bytes", "?", "'?' is not base64"),
        (MONEY, "1,5", "'1,5' is not a number"),
        (MONEY, "NaN", "'NaN' is not a number"),
        (GUID, "x", "'x' is not a UUID"),
        (COLOUR, "GREN", "'GREN' is none of RED, GREEN; did you mean 'GREEN'?"),
        (COLOUR, "red", "'red' is none of RED, GREEN; did you mean 'RED'?"),
        (MILLIS, "yesterday", "'yesterday' is no time; write 2001-02-03T04:05:06Z"),
        (MILLIS, "31/12/2001", "'31/12/2001' is no time; write 2001-02-03T04:05:06Z"),
        (MILLIS, 10**18, "1000000000000000000 is a time that no calendar has"),
        (
            LOCAL,
            "2026-05-04T07:30:00+02:00",
            "'2026-05-04T07:30:00+02:00' has the zone '+02:00', and a local time has none; write 2026-05-04T07:30:00",
        ),
        (LOCAL, "2026-05-04 07:30Z", "'2026-05-04 07:30Z' has the zone 'Z'"),
        (["null", LOCAL], "2026-05-04 07:30 +02", "'2026-05-04 07:30 +02' has the zone '+02'"),
        (LOCAL, "yesterday", "'yesterday' is no time; write 2001-02-03T04:05:06"),
        (DAY, "2001-02-30", "'2001-02-30' is no date; write 2001-02-03"),
        (CLOCK, "25:00", "'25:00' is no time of day; write 13:05:00"),
        (CLOCK, 86_400_000, "86400000 is no time of day; write 13:05:00"),
        ({"type": "array", "items": "long"}, "1,2", "'1,2' is not a list in JSON"),
        ({"type": "array", "items": "long"}, '{"a": 1}', "'{\"a\": 1}' is not a list"),
        ({"type": "map", "values": "long"}, [1], "[1] is not an object"),
        (["null", "long"], "x", "'x' is not a whole number"),
        (["double", MILLIS], "x", "'x' is not a number; 'x' is no time"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_words(kind: Any, given: Any, told: str) -> None:
    """A refusal shows the value and what the field takes, and names the field."""
    error = refusal(kind, given)
    assert error.message.startswith(told)
    assert error.field == "f"


@pytest.mark.parametrize(
    ("kind", "given", "hint"),
    [
        (["null", "long"], "NA", "`--na NA` reads it as null"),
        (["null", DAY], "n/a", "`--na n/a` reads it as null"),
        (["null", COLOUR], "?", "`--na '?'` reads it as null"),
        ("long", "NA", "the field takes no null"),
        ("long", "1_000", "the digits 0 to 9, a point before its fraction"),
        ("double", "3,50", "the digits 0 to 9, a point before its fraction"),
        (LOCAL, "2026-05-04T07:30:00+02:00", "a field whose values have one is a `timestamp-millis`"),
        ("double", "-inf", 'a JSON file has it as text: "NaN"'),
    ],
)
def test_a_text_that_people_write_for_another_value_has_a_hint(kind: Any, given: str, hint: str) -> None:
    """The refusal of such a text names the option that reads it as null, how a number is written, or the type that takes it."""
    assert hint in (refusal(kind, given).hint or "")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "nan"])
def test_nan_is_no_number_of_a_cell(text: str) -> None:
    """NaN mostly stands for a missing value in CSV, so that a cell of it is refused for a double and a float."""
    for kind in ("double", "float", ["null", "double"]):
        schema = parse_schema(json.dumps({"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}))
        with pytest.raises(EncodeError, match=f"'{text}' is not a number"):
            RowMapper(schema, Format.CSV).record(Row(1, {"f": text}))


@pytest.mark.parametrize(
    ("kind", "given", "field"),
    [
        ({"type": "array", "items": "long"}, [1, "x"], "f[1]"),
        ({"type": "map", "values": "long"}, {"a": "x"}, "f.a"),
        (POINT, {"x": "?"}, "f.x"),
        (POINT, {"x": 1, "at": 1, "m": 2}, "f.m"),
        (POINT, {"x": 1}, "f.at"),
        ({"type": "array", "items": POINT}, [{"x": 1, "at": "never"}], "f[0].at"),
    ],
)
def test_a_refusal_inside_names_the_path(kind: Any, given: Any, field: str) -> None:
    """Within lists, maps and records the refusal's field is the path that leads to the value."""
    assert refusal(kind, given).field == field


def test_a_named_type_is_the_same_wherever_it_stands() -> None:
    """A type that is declared once and referred to later converts alike in both places, also within itself."""
    tree = {
        "type": "record",
        "name": "Tree",
        "fields": [
            {"name": "at", "type": MILLIS},
            {"name": "colour", "type": COLOUR},
            {"name": "other", "type": ["null", "Colour"], "default": None},
            {"name": "below", "type": {"type": "array", "items": "Tree"}, "default": []},
        ],
    }
    leaf = {"at": "2001-02-03", "colour": "RED"}
    taken = value(tree, {**leaf, "other": "GREEN", "below": [leaf]})
    assert taken["below"][0]["at"] == datetime(2001, 2, 3, tzinfo=UTC)
    assert refusal(tree, {**leaf, "other": "BLUE"}).field == "f.other"
    assert refusal(tree, {**leaf, "below": [{**leaf, "colour": "BLUE"}]}).field == "f.below[0].colour"


def test_defaults_and_nulls() -> None:
    """A lacking column takes the default; null stays null where the field takes it, else it is as good as lacking."""
    made = mapper(
        {"name": "a", "type": ["string", "null"], "default": "x"},
        {"name": "b", "type": "long", "default": 7},
        {"name": "c", "type": ["null", "long"]},
    )
    assert made.record(Row(1, {"a": None, "b": None, "c": None})) == {"a": None, "c": None}
    assert made.record(Row(1, {})) == {"c": None}


def test_an_unknown_column_is_refused_or_left_out() -> None:
    """A column that the schema does not have is refused with the nearest field, or left out on request."""
    fields = [{"name": "origin", "type": "string"}, {"name": "delay", "type": "long"}]
    row = Row(1, {"origin": "DTW", "dealy": "3", "delay": "2"})
    with pytest.raises(EncodeError, match="no field 'dealy'") as refused:
        mapper(*fields).record(row)
    assert refused.value.field == "dealy"
    assert refused.value.hint == "its fields are origin, delay; --ignore-unknown leaves the others out"
    with pytest.raises(EncodeError, match="no field 'Delay'") as refused:
        mapper(*fields).record(Row(1, {"origin": "DTW", "Delay": "3"}))
    assert refused.value.hint == "did you mean `--rename Delay=delay`?"
    assert mapper(*fields, ignore_unknown=True).record(row) == {"origin": "DTW", "delay": 2}


def test_decimals_are_exact_on_their_way_from_json() -> None:
    """A JSON number for a decimal field never passes through binary floating point."""
    (row,) = rows('{"f": 1234567890.10}\n')
    assert isinstance(row, Row)
    assert mapper({"name": "f", "type": MONEY}).record(row) == {"f": Decimal("1234567890.10")}


@pytest.mark.parametrize(
    "text", ["2001-02-03T04:05:06Z", "2001/02/03 04:05:06", " 2001-02-03 04:05:06+00:00 ", "2001-02-03T06:05:06+02:00"]
)
def test_a_time_is_read_as_people_write_it(text: str) -> None:
    """Slashes, a blank for the T, a zone or none (UTC) are one instant."""
    assert loose_instant(text) == datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)


RECORD = {
    "type": "record",
    "name": "All",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "count", "type": "long"},
        {"name": "share", "type": ["null", "double"]},
        {"name": "flag", "type": "boolean"},
        {"name": "at", "type": MILLIS},
        {"name": "exact", "type": MICROS},
        {"name": "wall", "type": LOCAL},
        {"name": "day", "type": DAY},
        {"name": "clock", "type": CLOCK},
        {"name": "price", "type": MONEY},
        {"name": "id", "type": GUID},
        {"name": "colour", "type": COLOUR},
        {"name": "raw", "type": "bytes"},
        {"name": "points", "type": {"type": "array", "items": POINT}},
        {"name": "by_name", "type": {"type": "map", "values": ["null", "Colour"]}},
    ],
}
SCHEMA = parse_schema(json.dumps(RECORD))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - st.datetimes wants it so
WHOLE_MS = MOMENTS.map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
POINTS = st.fixed_dictionaries({"x": st.floats(allow_nan=False), "at": WHOLE_MS, "n": st.integers(-(2**31), 2**31 - 1)})
RECORDS = st.fixed_dictionaries(
    {
        "text": TEXTS.filter(bool),
        "count": st.integers(-(2**63), 2**63 - 1),
        "share": st.none() | st.floats(allow_nan=False),
        "flag": st.booleans(),
        "at": WHOLE_MS,
        "exact": MOMENTS,
        "wall": WHOLE_MS.map(lambda at: at.replace(tzinfo=None)),
        "day": st.dates(),
        "clock": st.times().map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)),
        "price": st.decimals(-(10**9), 10**9, places=2),
        "id": st.uuids(),
        "colour": st.sampled_from(["RED", "GREEN"]),
        "raw": st.binary(min_size=1, max_size=8),
        "points": st.lists(POINTS, max_size=2),
        "by_name": st.dictionaries(TEXTS, st.none() | st.sampled_from(["RED", "GREEN"]), max_size=2),
    }
)


@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_what_tail_shows_can_be_published_again(records: list[dict[str, Any]]) -> None:
    """A record's JSON, as `tail --json` writes it, is read back as the same record, line by line."""
    text = "".join(json.dumps(to_json(record), ensure_ascii=False) + "\n" for record in records)
    made = RowMapper(SCHEMA)
    assert [made.record(row) for row in rows(text) if isinstance(row, Row)] == records


@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_a_csv_file_holds_the_same_records(records: list[dict[str, Any]]) -> None:
    """The same records through CSV, nested values as JSON in their cells, are the same records, at the right lines."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(SCHEMA.field_names)
    at = []
    for record in records:
        at.append(stream.getvalue().replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1)
        cells = [to_json(record[name]) for name in SCHEMA.field_names]
        writer.writerow(
            [json.dumps(each) if isinstance(each, dict | list) else "" if each is None else each for each in cells]
        )
    found = rows(stream.getvalue(), Format.CSV)
    made = RowMapper(SCHEMA)
    assert [made.record(row) for row in found if isinstance(row, Row)] == records
    assert lines(found) == at
