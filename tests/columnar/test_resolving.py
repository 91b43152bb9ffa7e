"""Batches of a writer's schema as a reader's: what the codec's resolution reads of each payload."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from meshport.codec import Codec, ResolvingDecoder
from meshport.columnar import ColumnarDecoder, supports
from meshport.errors import DecodeError, SchemaError
from meshport.schema import Schema
from tests.codec.samples import schema

pytest.importorskip("pyruhvro", reason="the extra `columnar` is not installed")

import pyarrow as pa

from meshport.columnar.native import Refused
from meshport.columnar.plan import Unsupported
from meshport.columnar.resolving import Resolution
from tests.columnar.evolutions import evolved
from tests.columnar.generated import Generator
from tests.columnar.rows import rows_of, same
from tests.repeats import repeated, repeats

_REFUSED: Final = object()


def _expected(writer: Schema, reader: Schema, bodies: list[bytes]) -> list[Any]:
    decode = ResolvingDecoder(writer, reader).decode
    values: list[Any] = []
    for body in bodies:
        try:
            values.append(decode(body, 0))
        except DecodeError:
            values.append(_REFUSED)
    return values


def evolve(seeds: range, records: int) -> dict[str, int]:
    """Resolve random evolutions of random schemas both ways; what was counted of pairs and rows."""
    counted = dict.fromkeys(("pairs", "unsupported", "impossible", "rows", "refused", "refused needlessly"), 0)
    for seed in seeds:
        generator, chance = Generator(seed), random.Random(seed)
        writer = generator.schema()
        if supports(writer):
            continue
        bodies = [Codec(writer).encode(generator.record(writer)) for _ in range(records)]
        batch = ColumnarDecoder(writer).decode(bodies)
        reader = evolved(writer, chance, chance.choice([0.02, 0.1, 0.3]))
        counted["pairs"] += 1
        try:
            resolution = Resolution(writer, reader)
        except (Unsupported, SchemaError):
            counted["unsupported"] += 1
            continue
        expected = _expected(writer, reader, bodies)
        counted["impossible"] += all(each is _REFUSED for each in expected)
        made, refused = resolution.apply_good(batch)
        made.validate(full=True)
        assert made.schema == resolution.arrow
        assert refused == sorted(set(refused))
        kept = [at for at in range(records) if at not in refused]
        for at, row in zip(kept, rows_of(reader, made), strict=True):
            assert same(row, expected[at]), (seed, at, row, expected[at])
        counted["rows"] += records
        counted["refused"] += len(refused)
        counted["refused needlessly"] += sum(expected[at] is not _REFUSED for at in refused)
    return counted


@repeated
def test_random_evolutions_are_resolved_as_by_the_codec() -> None:
    """Whatever became of a schema, a row that is made is what the codec reads of its payload."""
    pairs = repeats(40, 1_000)
    counted = evolve(range(pairs), 30)
    assert counted["pairs"] - counted["unsupported"] > pairs * 0.6
    assert counted["rows"] - counted["refused"] > pairs * 15


def _order(*fields: Any) -> Schema:
    return schema(
        {"type": "record", "name": "Order", "fields": [{"name": name, "type": form} for name, form in fields]}
    )


def _made(writer: Schema, reader: Schema, records: list[Any]) -> tuple[Any, list[int]]:
    codec = Codec(writer)
    return Resolution(writer, reader).apply_good(
        ColumnarDecoder(writer).decode([codec.encode(each) for each in records])
    )


STATE: Final = {"type": "enum", "name": "State", "symbols": ["NEW", "PAID", "SENT"]}


@pytest.mark.parametrize(
    ("written", "read", "values"),
    [
        (["null", "string"], "string", ["a", None]),
        (STATE, {**STATE, "symbols": ["PAID", "NEW"]}, ["PAID", "SENT"]),
        ("bytes", "string", [b"a", b"\xff"]),
        (
            {"type": "long", "logicalType": "timestamp-millis"},
            {"type": "long", "logicalType": "timestamp-micros"},
            [datetime(2026, 1, 1, tzinfo=UTC), 2**62],
        ),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            {"type": "long", "logicalType": "timestamp-millis"},
            [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)],
        ),
        ("string", {"type": "string", "logicalType": "uuid"}, ["F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", "none"]),
        (
            {"type": "array", "items": ["null", "int"]},
            {"type": "array", "items": "int"},
            [[1, 2], [1, None]],
        ),
    ],
)
def test_only_the_rows_without_a_place_are_refused(written: Any, read: Any, values: list[Any]) -> None:
    """One value that the reader's type does not hold costs its neighbours at most, not the batch."""
    good, bad = ({"n": 1, "x": value} for value in values)
    records = [good] * 40 + [bad] + [good] * 59
    made, refused = _made(_order(("n", "long"), ("x", written)), _order(("x", read), ("n", "long")), records)
    assert 40 in refused
    assert len(refused) < 8
    assert made.num_rows == 100 - len(refused)
    assert made.column("x").null_count == 0


def test_many_that_are_refused_end_the_search() -> None:
    """Where one row in ten has no place, all that is left after some halvings goes to the codec; nothing is lost."""
    records = [{"x": None if at % 10 == 0 else "a"} for at in range(4000)]
    made, refused = _made(_order(("x", ["null", "string"])), _order(("x", "string")), records)
    assert made.num_rows + len(refused) == 4000
    assert set(range(0, 4000, 10)) <= set(refused)


def test_an_unknown_symbol_takes_the_readers_default() -> None:
    """A symbol that came later reads as the default of the reader's enum; a null stays one."""
    reader = {**STATE, "symbols": ["NEW", "OTHER"], "default": "OTHER"}
    records = [{"x": value} for value in ("NEW", "PAID", None, "SENT")] * 3
    made, refused = _made(_order(("x", ["null", STATE])), _order(("x", ["null", reader])), records)
    assert refused == []
    assert made.column("x").to_pylist() == ["NEW", "OTHER", None, "OTHER"] * 3


def test_a_null_record_hides_what_is_in_it() -> None:
    """A field that may be null is none where its record is null: only a null of its own is refused."""

    def with_note(note: Any) -> Schema:
        lines = {"type": "record", "name": "Lines", "fields": [{"name": "note", "type": note}]}
        return _order(("lines", ["null", lines]))

    records: list[dict[str, Any]] = [{"lines": {"note": "a"}}, {"lines": None}] * 20
    made, refused = _made(with_note(["null", "string"]), with_note("string"), records)
    assert refused == []
    assert made.column("lines").to_pylist() == [record["lines"] for record in records]
    _, refused = _made(with_note(["null", "string"]), with_note("string"), [*records, {"lines": {"note": None}}])
    assert 40 in refused


@pytest.mark.parametrize(
    ("written", "read", "why"),
    [
        ("string", "long", "'x' is written as string and read as long"),
        ({"type": "string", "logicalType": "uuid"}, "string", "'x' is written as string-uuid and read as string"),
        ({"type": "string", "logicalType": "uuid"}, "bytes", "'x' is written as string-uuid and read as bytes"),
        (
            {"type": "fixed", "name": "F", "size": 4},
            {"type": "fixed", "name": "F", "size": 8},
            "'x' is written as fixed and read as fixed",
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 4},
            "bytes",
            "'x' is written as bytes-decimal and read as bytes",
        ),
        (
            {"type": "array", "items": {"type": "map", "values": "int"}},
            {"type": "array", "items": {"type": "map", "values": "string"}},
            "'x[]{}' is written as int and read as string",
        ),
    ],
)
def test_what_columns_do_not_resolve_is_said(written: Any, read: Any, why: str) -> None:
    """The reason names the field and both types; these are read row by row."""
    with pytest.raises(Unsupported) as caught:
        Resolution(_order(("x", written)), _order(("x", read)))
    assert str(caught.value) == why


def test_two_fields_of_one_name_are_the_first() -> None:
    """Where the reader's field has the name of one field and an alias of another, the one that is written first is read."""
    reader = schema(
        {"type": "record", "name": "Order", "fields": [{"name": "total", "type": "long", "aliases": ["sum"]}]}
    )
    for first, second in (("total", "sum"), ("sum", "total")):
        made, _ = _made(_order((first, "long"), (second, "long")), reader, [{first: 1, second: 2}] * 8)
        assert made.column("total").to_pylist() == [1] * 8


@pytest.mark.parametrize(
    ("written", "read", "number", "value"),
    [
        ("long", "double", 2**53 + 1, float(2**53)),
        ("int", "float", 16777217, 16777216.0),
        ("int", "float", 2**31 - 1, 2.0**31),
        # Between two singles: rounded to a double first, it would lie in the middle and go to the even one.
        ("long", "float", 2**62 + 2**38 + 1, 2.0**62 + 2.0**39),
        ("long", "float", -(2**63), -(2.0**63)),
    ],
)
def test_whole_numbers_are_rounded_as_by_the_codec(written: str, read: str, number: int, value: float) -> None:
    """A whole number that is read as a float or a double is the nearest one of that type."""
    made, refused = _made(_order(("x", written)), _order(("x", read)), [{"x": number}] * 8)
    assert refused == []
    assert made.column("x").to_pylist() == [value] * 8


@pytest.mark.parametrize(
    ("form", "default", "value"),
    [
        ("float", 0.1, 0.10000000149011612),
        ("float", 16777217, 16777216.0),
        ("float", "-Infinity", float("-inf")),
        ({"type": "double", "unit": "K"}, 0, 0.0),
        ({"type": "array", "items": "float"}, [0.1], [0.10000000149011612]),
        ("double", "NaN", float("nan")),
    ],
)
def test_a_default_is_a_value_of_its_type(form: Any, default: Any, value: Any) -> None:
    """A float that a default gives has single precision, by columns as by rows."""
    fields = [{"name": "x", "type": "long"}, {"name": "rate", "type": form, "default": default}]
    made, refused = _made(
        _order(("x", "long")), schema({"type": "record", "name": "Order", "fields": fields}), [{"x": 1}] * 8
    )
    assert refused == []
    assert repr(made.column("rate").to_pylist()) == repr([value] * 8)


def test_a_field_without_a_value_is_said() -> None:
    """A field that is not written needs a default."""
    with pytest.raises(Unsupported, match="'y' is not written, and has no default"):
        Resolution(_order(("x", "long")), _order(("y", "long")))


def test_a_slice_is_resolved_as_what_it_shows() -> None:
    """A batch that is a part of another gives that part's rows; `apply` refuses as a whole."""
    writer = _order(("n", ["null", "int"]), ("x", {"type": "array", "items": "int"}))
    reader = _order(("x", {"type": "array", "items": "long"}), ("n", "long"))
    codec = Codec(writer)
    records = [{"n": at or None, "x": [at] * (at % 3)} for at in range(20)]
    batch = ColumnarDecoder(writer).decode([codec.encode(record) for record in records])
    resolution = Resolution(writer, reader)
    made = resolution.apply(batch.slice(5, 10))
    assert made.to_pylist() == [{"x": record["x"], "n": record["n"]} for record in records[5:15]]
    assert made.schema.field("x").type == pa.list_(pa.field("item", pa.int64(), nullable=False))
    with pytest.raises(Refused):
        resolution.apply(batch)
