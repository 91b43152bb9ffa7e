"""Dates and timestamps that Python does not have are read as their numbers, and written as the same bytes."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from meshport.codec import Codec, ResolvingDecoder
from meshport.codec.jsonform import from_json, to_json
from meshport.codec.logical import CALENDAR
from meshport.codec.varint import LONG_MAX, LONG_MIN, long_varint
from meshport.errors import DecodeError
from meshport.schema import Schema, parse_schema

UNITS = {"millis": 1, "micros": 1000}
YEAR_10000 = 253_402_300_800_000  # milliseconds
YEAR_0 = -62_167_219_200_000
MILLIS = (YEAR_10000, YEAR_0, LONG_MAX, LONG_MIN)
DAYS = (2_932_897, -719_163, 2**31 - 1, -(2**31))


def schema_of(logical: str, **more: Any) -> Schema:
    """A record with one field of a logical type."""
    kind = {"type": "int" if logical == "date" else "long", "logicalType": logical}
    field = {"name": "at", "type": kind, **more}
    return parse_schema(json.dumps({"type": "record", "name": "Row", "fields": [field]}))


KINDS = [kind.partition("-")[2] for kind in sorted(CALENDAR)]


@pytest.mark.parametrize("logical", KINDS)
def test_a_number_beyond_the_calendar_is_read_and_written(logical: str) -> None:
    """A date or timestamp before year 1 or after 9999 is its number, in JSON as well, and is written as the bytes it came in."""
    codec = Codec(schema_of(logical))
    numbers = DAYS if logical == "date" else [max(LONG_MIN, min(n * UNITS[logical[-6:]], LONG_MAX)) for n in MILLIS]
    for number in numbers:
        record = codec.decode(long_varint(number))
        assert record == {"at": number}
        assert type(record["at"]) is int
        assert codec.encode(record) == long_varint(number)
        assert codec.encode(from_json(codec.schema, json.loads(json.dumps(to_json(record))))) == long_varint(number)


@pytest.mark.parametrize("logical", KINDS)
def test_the_ends_of_the_calendar_are_dates_and_datetimes(logical: str) -> None:
    """The first and the last value that Python has are read as such, and the numbers next to them as numbers."""
    codec = Codec(schema_of(logical))
    if logical == "date":
        first, last = -719_162, 2_932_896
        ends: list[Any] = [date.min, date.max]
    else:
        unit = UNITS[logical[-6:]]
        first, last = -62_135_596_800_000 * unit, YEAR_10000 * unit - 1
        zone = None if "local" in logical else UTC
        step = timedelta(milliseconds=1) if unit == 1 else timedelta(microseconds=1)
        ends = [datetime.min.replace(tzinfo=zone), datetime.max.replace(microsecond=0, tzinfo=zone)]
        ends[1] += timedelta(seconds=1) - step
    assert [codec.decode(long_varint(each))["at"] for each in (first, last)] == ends
    assert [codec.decode(long_varint(each))["at"] for each in (first - 1, last + 1)] == [first - 1, last + 1]
    assert [codec.encode({"at": each}) for each in ends] == [long_varint(first), long_varint(last)]


def test_a_datetime_whose_instant_is_in_the_year_10000_is_written() -> None:
    """A datetime of year 9999 in a zone west of UTC is an instant of year 10000, which is read as its number."""
    codec = Codec(schema_of("timestamp-millis"))
    west = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-1)))
    assert codec.decode(codec.encode({"at": west})) == {"at": YEAR_10000}


@pytest.mark.parametrize(
    ("written", "read", "number", "expected"),
    [
        ("timestamp-millis", "timestamp-micros", YEAR_10000, YEAR_10000 * 1000),
        ("timestamp-micros", "timestamp-millis", YEAR_10000 * 1000, YEAR_10000),
        ("timestamp-micros", "timestamp-millis", YEAR_0 * 1000 - 1, YEAR_0 - 1),
        ("local-timestamp-millis", "local-timestamp-micros", YEAR_0, YEAR_0 * 1000),
        ("date", "date", DAYS[0], DAYS[0]),
    ],
)
def test_a_number_is_in_the_unit_of_the_reader(written: str, read: str, number: int, expected: int) -> None:
    """Resolution between units converts the number too, and truncates it as the encoder truncates instants."""
    reader = schema_of(read, doc="of the reader")
    assert ResolvingDecoder(schema_of(written), reader).decode(long_varint(number), 0) == {"at": expected}


def test_a_number_beyond_the_reader_s_long_is_refused_by_its_field() -> None:
    """Milliseconds that no long of microseconds holds have no value in the reader's schema."""
    decode = ResolvingDecoder(schema_of("timestamp-millis"), schema_of("timestamp-micros")).decode
    with pytest.raises(DecodeError, match=f"'at' .* is {LONG_MAX} ms, which no long of microseconds holds"):
        decode(long_varint(LONG_MAX), 0)


def test_a_default_may_be_beyond_the_calendar() -> None:
    """A contract whose default is the year 10000 can be read: the default is its number."""
    writer = parse_schema('{"type": "record", "name": "Row", "fields": []}')
    assert ResolvingDecoder(writer, schema_of("timestamp-millis", default=YEAR_10000)).decode(b"", 0) == {
        "at": YEAR_10000
    }


@pytest.mark.parametrize(("logical", "form"), [("time-millis", "int"), ("time-micros", "long")])
def test_a_time_of_day_ends_with_its_day(logical: str, form: str) -> None:
    """24:00 is outside of what Avro defines, "after midnight" of one day, and is refused by field and number, as by Java."""
    kind = {"type": form, "logicalType": logical}
    schema = parse_schema(json.dumps({"type": "record", "name": "R", "fields": [{"name": "t", "type": kind}]}))
    number = 86_400_000 * UNITS[logical[-6:]]
    with pytest.raises(DecodeError, match=f"'t' .* is {number}"):
        Codec(schema).decode(long_varint(number))


@pytest.mark.parametrize("logical", KINDS)
def test_columns_hold_the_same_numbers(logical: str) -> None:
    """Arrow's columns hold them as they are, natively and row by row, and write the same bytes."""
    pytest.importorskip("pyruhvro")
    from meshport.columnar import ColumnarDecoder, ColumnarEncoder  # noqa: PLC0415 - needs pyarrow
    from meshport.columnar.rows import batch_of  # noqa: PLC0415 - as above
    from meshport.columnar.values import python_values  # noqa: PLC0415 - as above

    schema = schema_of(logical)
    codec = Codec(schema)
    bodies = [long_varint(number) for number in (0, *(DAYS if logical == "date" else MILLIS), 17) * 4]
    values = [codec.decode(body)["at"] for body in bodies]
    batch = ColumnarDecoder(schema)._columns(bodies)  # no payload is left to the codec
    assert python_values(batch.column(0)) == values
    assert batch.equals(batch_of(schema, [{"at": each} for each in values]))
    assert batch.equals(ColumnarDecoder(schema).decode(bodies))
    assert ColumnarEncoder(schema).encode(batch) == bodies


def test_nested_columns_hold_the_same_numbers() -> None:
    """Within lists, maps and records, columns give the numbers too; Arrow's own conversion would raise."""
    pytest.importorskip("pyruhvro")
    from meshport.columnar import ColumnarDecoder  # noqa: PLC0415 - needs pyarrow
    from meshport.columnar.values import python_values  # noqa: PLC0415 - as above

    at = {"type": "long", "logicalType": "timestamp-millis"}
    inner = {"type": "record", "name": "In", "fields": [{"name": "at", "type": at}]}
    fields = [
        {"name": "one", "type": inner},
        {"name": "many", "type": {"type": "array", "items": "In"}},
        {"name": "named", "type": {"type": "map", "values": ["null", at]}},
    ]
    schema = parse_schema(json.dumps({"type": "record", "name": "Out", "fields": fields}))
    far, near = {"at": LONG_MAX}, {"at": datetime(2026, 1, 1, tzinfo=UTC)}
    record = {"one": far, "many": [near, far], "named": {"a": YEAR_0, "b": None}}
    codec = Codec(schema)
    assert codec.decode(codec.encode(record)) == record
    batch = ColumnarDecoder(schema).decode([codec.encode(record)] * 9)
    one, many, named = (python_values(column)[0] for column in batch.columns)
    assert (one, many, dict(named)) == tuple(record.values())
