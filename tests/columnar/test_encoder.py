"""Writing columns: the codec's bytes and the codec's refusals, whatever way the batch was made."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from meshport.codec import Codec, prefix
from meshport.codec.limits import MAX_PAYLOAD
from meshport.columnar import ColumnarDecoder, ColumnarEncoder
from meshport.errors import EncodeError
from tests.codec.samples import PLAY, STARTED, play, schema
from tests.columnar.generated import Generator


def _one(form: Any) -> ColumnarEncoder:
    held = {"type": "record", "name": "Held", "fields": [{"name": "f", "type": form}]}
    return ColumnarEncoder(schema(held))


def _batch(column: Any) -> Any:
    return pa.RecordBatch.from_arrays([column], names=["f"])


def _logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


def test_rows_are_written_as_the_codec_writes_them() -> None:
    """A batch that was built from records gives the codec's bytes behind the prefix, its columns in any order."""
    records = [
        play(play_id=f"p{index}", city=None if index % 3 else "Köln", tags=["a"] * (index % 4)) for index in range(50)
    ]
    codec, encoder = Codec(PLAY), ColumnarEncoder(PLAY)
    batch = pa.RecordBatch.from_pylist(records, schema=encoder.arrow)
    shuffled = batch.select(sorted(batch.schema.names))
    assert encoder.encode(shuffled, prefix(9)) == [codec.encode(record, prefix(9)) for record in records]
    assert encoder.encode(batch.slice(0, 0)) == []


def test_slices_are_written_as_what_they_show() -> None:
    """A slice of nested columns, which the library by itself writes wrongly, gives the bytes of its rows."""
    for seed in range(1, 60):
        generator = Generator(seed)
        held = generator.schema()
        bodies = [Codec(held).encode(generator.record(held)) for _ in range(40)]
        batch = ColumnarDecoder(held).decode(bodies)
        encoder = ColumnarEncoder(held)
        assert encoder.encode(batch.slice(13, 20)) == bodies[13:33]
        assert encoder.encode(batch.take(pa.array(range(39, -1, -1)))) == bodies[::-1]
        masked = batch.filter(pa.array([index % 3 == 0 for index in range(40)]))
        assert encoder.encode(masked) == bodies[::3]


def test_what_loses_nothing_is_cast() -> None:
    """Large, viewed and encoded text, wider numbers, instants of a finer unit and other lists are written as their type."""
    assert _one("string").encode(_batch(pa.array(["a"], pa.large_string()))) == [b"\2a"]
    assert _one("string").encode(_batch(pa.array(["a"], pa.string_view()))) == [b"\2a"]
    assert _one("string").encode(_batch(pa.array(["a"]).dictionary_encode())) == [b"\2a"]
    assert _one("int").encode(_batch(pa.array([5], pa.int64()))) == [b"\n"]
    assert _one("float").encode(_batch(pa.array([1.5, float("inf")]))) == [b"\0\0\xc0?", b"\0\0\x80\x7f"]
    assert _one("double").encode(_batch(pa.array([1], pa.int32()))) == [b"\0\0\0\0\0\0\xf0?"]
    assert _one({"type": "array", "items": "int"}).encode(_batch(pa.array([[1]], pa.large_list(pa.int64())))) == [
        b"\2\2\0"
    ]
    before = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    millis = _one(_logical("long", "timestamp-millis"))
    assert millis.encode(_batch(pa.array([before, None], pa.timestamp("us", "UTC")).slice(0, 1))) == [b"\1"]
    assert Codec(millis.schema).encode({"f": before}) == b"\1"
    assert _one(["null", "string"]).encode(_batch(pa.nulls(2))) == [b"\0", b"\0"]


@pytest.mark.parametrize(
    ("form", "column"),
    [
        ("string", pa.array(["a", None])),
        ("string", pa.array([b"a"])),
        ("string", pa.array([1])),
        ("string", pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())),
        ("bytes", pa.array(["a"])),
        ("int", pa.array([2**31])),
        ("int", pa.array([1.0])),
        ("int", pa.array([True])),
        ("long", pa.array([2**63], pa.uint64())),
        ("double", pa.array([2**53 + 1])),
        ("float", pa.array([1.0, 1e300])),
        ("boolean", pa.array([1])),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, pa.array(["A", "B"])),
        ({"type": "fixed", "name": "F", "size": 4}, pa.array([b"abc"])),
        ({"type": "map", "values": "int"}, pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int32()))),
        ({"type": "array", "items": "int"}, pa.array([[1, None]])),
        ({"type": "array", "items": "int"}, pa.array([1])),
        (_logical("string", "uuid"), pa.array(["1234"])),
        (_logical("int", "date"), pa.array([2**31])),
        (_logical("long", "timestamp-micros"), pa.array([2**62], pa.timestamp("ms", "UTC"))),
        (_logical("int", "time-millis"), pa.array([86_400_000], pa.int32())),
        (_logical("long", "timestamp-millis"), pa.array([0], pa.timestamp("ms"))),
        (_logical("long", "local-timestamp-millis"), pa.array([0], pa.timestamp("ms", "UTC"))),
        (_logical("long", "timestamp-millis"), pa.array(["2026-01-01T00:00:00Z"])),
        (_logical("long", "local-timestamp-millis"), pa.array(["2026-05-04T07:30:00+02:00"])),
        (_logical("bytes", "decimal", precision=4, scale=2), pa.array([Decimal("123.45")])),
        (_logical("bytes", "decimal", precision=4, scale=2), pa.array([Decimal("1.234")])),
        (_logical("bytes", "decimal", precision=4, scale=2), pa.array([1.5])),
    ],
)
def test_what_does_not_fit_is_refused(form: Any, column: Any) -> None:
    """A value that the codec refuses for a type is refused in a column, where the library writes something else."""
    with pytest.raises(EncodeError):
        _one(form).encode(_batch(column))


def test_the_field_is_named() -> None:
    """The error has the path of the column that does not fit, through lists and structs."""
    inner = {"type": "record", "name": "Inner", "fields": [{"name": "n", "type": "int"}]}
    encoder = _one({"type": "array", "items": inner})
    bad = pa.array([[{"n": 1}], [{"n": None}]], pa.list_(pa.struct([("n", pa.int32())])))
    with pytest.raises(EncodeError, match=r"f\[\]\.n is null") as caught:
        encoder.encode(_batch(bad))
    assert caught.value.field == "f[].n"


def test_a_null_struct_hides_what_its_fields_hold() -> None:
    """Nulls of fields within a null struct are no nulls where none may be, and nothing that stands there is written."""
    inner = {"type": "record", "name": "Inner", "fields": [{"name": "id", "type": _logical("string", "uuid")}]}
    structs = pa.StructArray.from_arrays([pa.array(["no id"])], names=["id"], mask=pa.array([True]))
    assert _one(["null", inner]).encode(_batch(structs)) == [b"\0"]
    with pytest.raises(EncodeError, match=r"f\.id is null"):
        _one(["null", inner]).encode(_batch(pa.array([{"id": None}], pa.struct([("id", pa.string())]))))


def test_a_column_that_is_not_there_takes_its_default() -> None:
    """A field with a default needs no column; one without does, and a column of no field is refused."""
    encoder = ColumnarEncoder(PLAY)
    record = play(city=None, bitrate=160000)
    batch = pa.RecordBatch.from_pylist([record], schema=encoder.arrow)
    assert encoder.encode(batch.drop_columns(["city", "bitrate"])) == [Codec(PLAY).encode(record)]
    with pytest.raises(EncodeError, match="started_at is missing"):
        encoder.encode(batch.drop_columns(["started_at"]))
    with pytest.raises(EncodeError, match="extra is a column of which the schema has no field"):
        encoder.encode(batch.append_column("extra", pa.array([STARTED])))


def test_a_row_that_could_not_be_read_is_not_written() -> None:
    """A payload beyond the decoder's limit is refused, as the codec refuses it."""
    with pytest.raises(EncodeError, match="can be read back"):
        _one("string").encode(_batch(pa.array(["a", "a" * MAX_PAYLOAD])))
