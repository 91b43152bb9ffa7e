"""What the encoder takes, what it refuses, and what it says then."""

from __future__ import annotations

import ast
import enum
from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from meshport.codec import Codec, codec_for, prefix, unframe
from meshport.errors import DecodeError, EncodeError, SchemaError
from tests.codec.samples import PLAY, PLAY_FORM, play, schema

NAIVE = datetime(2026, 1, 2, 3, 4)  # noqa: DTZ001 - the point of the test


@pytest.mark.parametrize(
    ("changed", "field", "message", "hint"),
    [
        ({"played_ms": 1.0}, "played_ms", "1.0 (float) where the schema takes a whole number of 64 bits", "int(value)"),
        ({"played_ms": True}, "played_ms", "True (bool)", None),
        ({"played_ms": "1"}, "played_ms", "'1' (str)", None),
        ({"played_ms": 2**63}, "played_ms", "9223372036854775808", None),
        ({"volume": "loud"}, "volume", "'loud' (str) where the schema takes a float", None),
        ({"volume": 2**53 + 1}, "volume", "9007199254740993", None),
        ({"device": "PHONES"}, "device", "'PHONES' (str) where the schema takes a symbol of player.Device", "'PHONE'"),
        ({"city": b"Berlin"}, "city", "b'Berlin' (bytes) where the schema takes a str", "value.decode()"),
        ({"started_at": NAIVE}, "started_at", "datetime with a time zone", "UTC"),
        ({"started_at": "2026-01-02"}, "started_at", "datetime with a time zone", "fromisoformat"),
        ({"started_at": date(2026, 1, 2)}, "started_at", "datetime with a time zone", "combine"),
        ({"started_at": 2**63}, "started_at", "9223372036854775808", None),
        ({"tags": ["a", None]}, "tags[1]", "None (NoneType) where the schema takes a str", None),
        ({"tags": "rock"}, "tags", "'rock' (str) where the schema takes a list", None),
        ({"tags": {"rock"}}, "tags", "{'rock'} (set) where the schema takes a list", None),
        ({"offline": 0}, "offline", "0 (int) where the schema takes a bool", None),
        ({"play_id": "\ud800"}, "play_id", "str", None),
        ({"artist": "x"}, "artist", "is no field of player.Play", "'artist_id'"),
    ],
)
def test_misfits_are_refused_by_field(changed: dict[str, Any], field: str, message: str, hint: str | None) -> None:
    """A value of another type, out of range or unknown is refused: which field, what was found, what is taken."""
    with pytest.raises(EncodeError) as caught:
        Codec(PLAY).encode(play(**changed))
    assert caught.value.field == field
    assert message in caught.value.message
    if hint is not None:
        assert hint in (caught.value.hint or "")


def test_a_missing_field_takes_its_default_or_is_refused() -> None:
    """A field with a default may be left out; one without is missed by name."""
    codec = Codec(PLAY)
    short = play()
    del short["bitrate"], short["city"]
    assert codec.decode(codec.encode(short)) == play(bitrate=160000, city=None)
    del short["user_id"]
    with pytest.raises(EncodeError, match=r"user_id is missing, and player\.Play gives it no default"):
        codec.encode(short)


def test_an_unknown_field_in_place_of_a_missing_one_is_refused() -> None:
    """A misspelled field with a default is not lost silently, though the number of fields is right."""
    record = play(bitrte=1)
    del record["bitrate"]
    with pytest.raises(EncodeError) as caught:
        Codec(PLAY).encode(record)
    assert (caught.value.field, caught.value.hint) == ("bitrte", "did you mean 'bitrate'?")


def test_something_else_than_a_record_is_refused() -> None:
    """A list in place of the record, or of one within, is refused with the type's name."""
    with pytest.raises(EncodeError, match=r"the record is \[\] \(list\)"):
        Codec(PLAY).encode([])


def test_values_that_lose_nothing_are_taken() -> None:
    """Mappings, tuples, enum members that are str, whole numbers for a double: the same bytes as the plain value."""

    class Device(enum.StrEnum):
        TV = "TV"

    codec = Codec(PLAY)
    record = MappingProxyType(play(device=Device.TV, tags=("rock",), volume=1, city=Device.TV))
    assert codec.encode(record) == codec.encode(play(device="TV", tags=["rock"], volume=1.0, city="TV"))


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ({"type": "int", "logicalType": "date"}, datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        ({"type": "int", "logicalType": "date"}, "2026-01-02"),
        ({"type": "int", "logicalType": "date"}, 2**31),
        ({"type": "int", "logicalType": "time-millis"}, time(1, 2, tzinfo=UTC)),
        ({"type": "int", "logicalType": "time-millis"}, 86_400_000),
        ({"type": "long", "logicalType": "local-timestamp-micros"}, datetime(2026, 1, 2, tzinfo=UTC)),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal("1.005")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal("100.00")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal("1E+999999")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal("NaN")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, 1.5),
        ({"type": "string", "logicalType": "uuid"}, "no uuid"),
        ("bytes", "text"),
        ("float", 1e300),
        ("int", 2**31),
        ({"type": "map", "values": "int"}, {1: 1}),
        ({"type": "fixed", "name": "F", "size": 2}, b"abc"),
        (["null", {"type": "array", "items": "int"}], [None]),
        (["int", "string"], 1.5),
    ],
)
def test_lossy_values_are_refused(form: Any, value: Any) -> None:
    """What fastavro would cut, round, take as local time or write unreadably is an EncodeError."""
    with pytest.raises(EncodeError):
        Codec(schema(form)).encode(value)


def test_decimals_uuids_and_raw_numbers_are_read_back() -> None:
    """A decimal keeps its scale, a UUID may be text, an instant a number of its unit."""
    money = Codec(schema({"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}))
    assert str(money.decode(money.encode(Decimal("-12.5")))) == "-12.50"
    identity = Codec(schema({"type": "string", "logicalType": "uuid"}))
    text = "0f6be5e8-6c0a-4c66-8f57-3f6b7f3d2b11"
    assert identity.decode(identity.encode(text)) == UUID(text)
    instant = Codec(schema({"type": "long", "logicalType": "timestamp-millis"}))
    assert instant.decode(instant.encode(1)) == datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)


def test_a_number_keeps_its_kind_in_a_union() -> None:
    """A whole number goes to the long though a double stands before it, a fraction to the double."""
    codec = Codec(schema(["null", "double", "long"]))
    for value in (5, 5.0, None, 2.5):
        assert repr(codec.decode(codec.encode(value))) == repr(value)


def test_a_union_of_records_takes_the_one_that_fits() -> None:
    """Records in a union are told apart by their fields, a tuple names its branch, a misfit is told within its branch."""
    fields = {"A": [("x", "int")], "B": [("x", "int"), ("y", "int")], "C": [("x", "string")]}
    form = [
        {"type": "record", "name": name, "fields": [{"name": each, "type": kind} for each, kind in parts]}
        for name, parts in fields.items()
    ]
    codec = Codec(schema(form))
    assert codec.encode({"x": 1})[0] == 0
    assert codec.encode({"x": 1, "y": 2})[0] == 2
    assert codec.encode({"x": "1"})[0] == 4
    assert codec.encode(("C", {"x": "1"}))[0] == 4
    with pytest.raises(EncodeError) as caught:
        codec.encode({"x": 1, "y": None})
    assert caught.value.field == "y"


def test_a_default_that_is_no_value_of_its_field_is_a_schema_error() -> None:
    """The encoder refuses to be made of a default that it could not write."""
    form = {**PLAY_FORM, "fields": [{"name": "device", "type": PLAY_FORM["fields"][5]["type"], "default": "RADIO"}]}
    with pytest.raises(SchemaError, match='"RADIO" is no default'):
        Codec(schema(form)).encode({})


def test_names_of_a_schema_never_become_code() -> None:
    """Symbols and logical types that look like code are data."""
    form = {"type": "string", "logicalType": "x');raise SystemExit('"}
    codec = Codec(schema(form))
    assert codec.decode(codec.encode("a")) == "a"


def test_frames_hold_id_and_body() -> None:
    """A frame is a 0, the id in four bytes and the body; anything else is no frame."""
    body = Codec(PLAY).encode(play(), prefix(7))
    assert body == prefix(7) + Codec(PLAY).encode(play())
    assert unframe(body) == (7, 5)
    assert Codec(PLAY).decode(body, 5) == play()
    for wrong in (b"", b"\0\0\0\7", b"\1\0\0\0\7"):
        with pytest.raises(DecodeError):
            unframe(wrong)


def test_a_codec_is_made_once_for_a_schema() -> None:
    """Equal schemas share one codec."""
    assert codec_for(schema(PLAY_FORM)) is codec_for(PLAY)


def test_types_nested_to_the_limit_are_written_and_read() -> None:
    """Sixty arrays, unions or records in one another become functions that call one another, in plain Python's limits."""
    arrays: Any = "int"
    unions: Any = "int"
    nested: Any = "int"
    values: list[Any] = [7, 7, 7]
    for level in range(60):
        arrays, values[0] = {"type": "array", "items": arrays}, [values[0]]
        nested, values[1] = (
            {"type": "record", "name": f"R{level}", "fields": [{"name": "f", "type": nested}]},
            {"f": values[1]},
        )
    for level in range(30):
        unions = ["null", {"type": "record", "name": f"U{level}", "fields": [{"name": "f", "type": unions}]}]
        values[2] = {"f": values[2]}
    for form, value in zip((arrays, nested, unions), values, strict=True):
        codec = Codec(schema(form))
        assert codec.decode(codec.encode(value)) == value
        inner = repr(value).replace("7", "'7'")
        with pytest.raises(EncodeError) as caught:
            codec.encode(ast.literal_eval(inner))
        assert caught.value.message.endswith("'7' (str) where the schema takes a whole number of 32 bits")
