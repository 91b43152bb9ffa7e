"""Rows by columns to values, keys and times: those that publishing each record gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from meshport.codec import Codec, codec_for
from meshport.errors import EncodeError, MeshError, PublishError
from meshport.event.attributes import rfc3339
from meshport.event.record import event_time, record_key
from meshport.schema import Schema, parse_schema

pytest.importorskip("pyruhvro", reason="the extra `columnar` is not installed")

import pyarrow as pa

from meshport.event.column_writer import ColumnWriter, Parts

PREFIX = b"\0\0\0\0\7"
AT = datetime(2026, 3, 1, 4, 5, 6, 789_000, tzinfo=UTC)
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
GUID = {"type": "string", "logicalType": "uuid"}
_UUID = "218c3c71-5495-4d11-9379-eff0811a0f04"


def order(*fields: tuple[str, Any]) -> Schema:
    """A record of these fields."""
    form = {"type": "record", "name": "Order", "fields": [{"name": name, "type": kind} for name, kind in fields]}
    return parse_schema(json.dumps(form))


def parts(schema: Schema, frame: Any, key: tuple[str, ...] = (), time: str | None = None) -> Parts:
    """The parts of all rows of a frame that are made at once."""
    (made,) = ColumnWriter(schema, PREFIX, key, time).parts(frame)
    return made


def outcome(make: Callable[[Any], Any], record: Any) -> Any:
    """What is made of a record, or the text of its refusal."""
    try:
        return make(record)
    except PublishError as error:
        return str(error)


@pytest.mark.parametrize(
    ("kind", "arrow", "values"),
    [
        ("string", pa.string(), ["a", "", None, "né|b", "c"]),
        ("string", pa.large_string(), ["a", "b"]),
        ("string", pa.string_view(), ["a", "a text that is longer than twelve bytes"]),
        ("string", pa.dictionary(pa.int8(), pa.string()), ["a", "b", "a"]),
        ("long", pa.int32(), [1, -7, None]),
        ("boolean", pa.bool_(), [True, False, None]),
        ("bytes", pa.binary(), [b"\0\xff", b""]),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            pa.decimal128(9, 2),
            [Decimal("1.50")],
        ),
        ({"type": "int", "logicalType": "date"}, pa.date32(), [date(2026, 3, 1)]),
        ({"type": "long", "logicalType": "timestamp-millis"}, pa.timestamp("ns", "UTC"), [AT, None]),
        ({"type": "long", "logicalType": "timestamp-millis"}, pa.timestamp("ms", "UTC"), [AT, 2**62, None]),
        ({"type": "int", "logicalType": "date"}, pa.date32(), [date(2026, 3, 1), 2_932_897]),
        ({"type": "array", "items": "long"}, pa.list_(pa.int64()), [[1]]),
    ],
)
@pytest.mark.parametrize("key", [("x",), ("n", "x"), ()])
def test_a_key_is_that_of_the_record(kind: Any, arrow: Any, values: list[Any], key: tuple[str, ...]) -> None:
    """Each row's key is what `record_key` makes of its values, or its refusal."""
    nullable = ["null", kind]
    batch = pa.RecordBatch.from_arrays([pa.array(values, arrow), pa.array([7] * len(values))], names=["x", "n"])
    made = parts(order(("x", nullable), ("n", "long")), batch, key)
    keys = dict(zip(made.rows, made.keys, strict=True))
    for row, value in enumerate(values):
        expected = outcome(record_key(key), {"x": value, "n": 7})
        assert expected == (str(made.errors[row]) if row in made.errors else keys[row])
    assert sorted([*made.rows, *made.errors]) == list(range(len(values)))


@pytest.mark.parametrize(
    ("kind", "arrow", "values"),
    [
        (
            {"type": "long", "logicalType": "timestamp-millis"},
            pa.timestamp("ms", "UTC"),
            [AT, None, datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)],
        ),
        ({"type": "long", "logicalType": "timestamp-micros"}, pa.timestamp("us", "Europe/Berlin"), [AT, AT]),
        ({"type": "long", "logicalType": "timestamp-micros"}, pa.timestamp("s", "UTC"), [AT.replace(microsecond=0)]),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            pa.timestamp("ns", "UTC"),
            [AT, AT - timedelta(days=99_999)],
        ),
        ({"type": "long", "logicalType": "local-timestamp-micros"}, pa.timestamp("us"), [AT.replace(tzinfo=None)]),
        ({"type": "int", "logicalType": "date"}, pa.date32(), [date(2026, 3, 1), 2_932_897]),
        ({"type": "long", "logicalType": "timestamp-micros"}, pa.timestamp("us", "UTC"), [AT, 2**62]),
        ({"type": "long", "logicalType": "timestamp-micros"}, pa.int64(), [1_700_000_000_000_000]),
        ("long", pa.int64(), [1_700_000_000_000, 2**62]),
        ("string", pa.string(), ["2026-03-01T00:00:00Z", "yesterday"]),
    ],
)
def test_a_time_is_that_of_the_record(kind: Any, arrow: Any, values: list[Any]) -> None:
    """Each row's time is what `event_time` makes of its value, or its refusal."""
    schema = order(("x", ["null", kind]))
    made = parts(schema, pa.RecordBatch.from_arrays([pa.array(values, arrow)], names=["x"]), time="x")
    times = dict(zip(made.rows, made.times, strict=True))
    for row, value in enumerate(values):
        expected = outcome(lambda record: rfc3339(event_time("x", schema)(record)), {"x": value})
        assert expected == (str(made.errors[row]) if row in made.errors else times[row])


def test_now_is_the_time_where_the_port_has_none() -> None:
    """Without a time field, the events of a batch happen when it is written."""
    before = datetime.now(UTC)
    made = parts(order(("x", "long")), pa.table({"x": [1, 2]}))
    assert all(before <= datetime.fromisoformat(each.decode()) <= datetime.now(UTC) for each in made.times)


def test_a_row_that_does_not_fit_is_refused_alone() -> None:
    """Of many rows, those that do not fit are named; the others are what they are without them."""
    schema = order(
        ("x", "long"), ("state", {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}), ("at", "string")
    )
    rows: list[dict[str, Any]] = [
        {"x": at, "state": "NEW", "at": f"2026-03-01T00:00:{at % 60:02d}Z"} for at in range(1000)
    ]
    rows[0] |= {"x": None}
    rows[500] |= {"state": "LOST"}
    rows[700] |= {"at": "yesterday"}
    rows[999] |= {"x": None}
    made = parts(schema, pa.Table.from_pylist(rows), ("state",), "at")
    assert {row: type(error) for row, error in made.errors.items()} == {
        0: EncodeError,
        500: EncodeError,
        999: EncodeError,
        700: PublishError,
    }
    assert made.rows == [at for at in range(1000) if at not in made.errors]
    codec = codec_for(schema)
    assert made.values == [codec.encode(rows[at], PREFIX) for at in made.rows]
    assert made.times == [rfc3339(datetime.fromisoformat(rows[at]["at"])) for at in made.rows]


def test_rows_are_counted_over_all_batches() -> None:
    """Indices go on from one batch of a stream to the next; empty ones count nothing."""
    schema = order(("x", "long"))
    batches = [
        pa.RecordBatch.from_arrays([pa.array(range(count), pa.int64())], names=["x"]) for count in (12_000, 0, 3)
    ]
    made = list(ColumnWriter(schema, PREFIX, (), None).parts(pa.Table.from_batches(batches)))
    assert [row for each in made for row in each.rows] == list(range(12_003))
    codec = codec_for(schema)
    assert [value for each in made for value in each.values] == [
        codec.encode({"x": x}, PREFIX) for count in (12_000, 0, 3) for x in range(count)
    ]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pa.table({"y": [1], "x": [1]}), "y is a column of which the schema has no field"),
        (pa.table({"z": [1]}), "z is a column of which the schema has no field"),
        (pa.table({}), "x is missing"),
        (pa.table({"x": ["1"]}), "x is string, where int64 is asked for"),
    ],
)
def test_columns_that_never_fit_are_refused_at_once(frame: Any, message: str) -> None:
    """A column too many, too few or of another type is an error before anything is made."""
    with pytest.raises(EncodeError, match=message):
        next(ColumnWriter(order(("x", "long")), PREFIX, (), None).parts(frame))


def test_an_offset_is_the_same_instant() -> None:
    """A column in another zone tells the same instants in UTC."""
    berlin = AT.astimezone(timezone(timedelta(hours=1)))
    schema = order(("x", {"type": "long", "logicalType": "timestamp-millis"}))
    made = parts(schema, pa.table({"x": pa.array([berlin], pa.timestamp("us", "+01:00"))}), time="x")
    assert made.times == [b"2026-03-01T04:05:06.789Z"]
    assert not any(isinstance(each, MeshError) for each in made.keys)


@pytest.mark.parametrize(
    ("kind", "arrow", "values", "keys"),
    [
        ("float", pa.float64(), [0.1, 1.0, 16777217.0], [b"0.10000000149011612", b"1.0", b"16777216.0"]),
        (["null", "float"], pa.int64(), [3, 16777216], [b"3.0", b"16777216.0"]),
        ("double", pa.int64(), [3, 2**53], [b"3.0", b"9007199254740992.0"]),
        ("double", pa.float64(), [0.1, float("nan")], [b"0.1", b"nan"]),
        (MILLIS, pa.timestamp("us", "UTC"), [AT.replace(microsecond=789_999)], [b"2026-03-01T04:05:06.789000Z"]),
        (MILLIS, pa.int64(), [1_772_337_906_789], [b"2026-03-01T04:05:06.789000Z"]),
        (MONEY, pa.decimal128(9, 1), [Decimal("1.5")], [b"1.50"]),
        (GUID, pa.string(), [_UUID.upper(), _UUID], [_UUID.encode()] * 2),
    ],
)
def test_the_key_is_that_of_the_value_that_is_read(kind: Any, arrow: Any, values: list[Any], keys: list[bytes]) -> None:
    """The key has the stored value: single precision, the unit of the type, the scale, lower case.

    So a record that was read and published again has the same key.
    """
    schema = order(("x", kind))
    made = parts(schema, pa.RecordBatch.from_arrays([pa.array(values, arrow)], names=["x"]), ("x",))
    assert made.keys == [record_key(("x",), schema)({"x": each}) for each in values] == keys
    codec = Codec(schema)
    assert [record_key(("x",))(codec.decode(codec.encode({"x": each}))) for each in values] == keys
