"""Record keys of values that change as they are stored: the key is that of the stored value."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.codec import codec_for
from meshport.event.record import record_key, retraction_key
from meshport.event.stored import stored_values
from meshport.schema import Schema, parse_schema
from tests.codec.strategies import LEAF_VALUES


def order(*kinds: Any) -> Schema:
    """A record with a field for each of these types, after one that defines the enumeration `State`."""
    state = {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}
    fields = [{"name": "state", "type": state}, *({"name": f"f{at}", "type": each} for at, each in enumerate(kinds))]
    return parse_schema(json.dumps({"type": "record", "name": "Order", "fields": fields}))


def logical(kind: str, name: str, **others: Any) -> dict[str, Any]:
    """A logical type."""
    return {"type": kind, "logicalType": name, **others}


class Colour(str, Enum):  # noqa: UP042 - whose text is not its value, unlike that of a StrEnum
    """A text."""

    RED = "red"


MONEY = logical("bytes", "decimal", precision=9, scale=2)
MILLIS = logical("long", "timestamp-millis")
AT = datetime(2026, 3, 1, 4, 5, 6, 789_000, tzinfo=UTC)
GUID = "218c3c71-5495-4d11-9379-eff0811a0f04"
EQUAL = [
    (MILLIS, [AT, AT.replace(microsecond=789_999), AT.astimezone(timezone(timedelta(hours=2))), 1_772_337_906_789]),
    (logical("long", "timestamp-micros"), [AT, 1_772_337_906_789_000]),
    (logical("long", "local-timestamp-millis"), [AT.replace(tzinfo=None), 1_772_337_906_789]),
    (logical("int", "date"), [date(2026, 3, 1), 20_513]),
    (logical("int", "time-millis"), [time(1, 2, 3, 4999), time(1, 2, 3, 4000), 3_723_004]),
    (MONEY, [Decimal("1.5"), Decimal("1.50"), Decimal("15E-1")]),
    (logical("string", "uuid"), [UUID(GUID), GUID, GUID.upper()]),
    ("float", [0.1, 0.10000000149011612]),
    ("double", [3, 3.0]),
    (["null", MILLIS], [AT, AT.replace(microsecond=789_001), ("long", AT)]),
    (["string", MONEY], [Decimal("1.5"), Decimal("1.50"), ("bytes", Decimal("1.5"))]),
    (["null", "string"], ["red", Colour.RED, ("string", "red")]),
    ("string", ["red", Colour.RED]),
    ("bytes", [b"\0\1", bytearray(b"\0\1")]),
    ("State", ["NEW"]),
]


@pytest.mark.parametrize(("kind", "values"), EQUAL)
def test_values_that_are_stored_alike_have_one_key(kind: Any, values: list[Any]) -> None:
    """Values of which a reader gets the same have the same key, alone and joined with others: that of what the reader gets."""
    schema = order(kind)
    codec = codec_for(schema)
    for fields in (("f0",), ("state", "f0")):
        keys = set()
        for value in values:
            record = {"state": "NEW", "f0": value}
            key = record_key(fields, schema)(record)
            keys.add(key)
            assert key == retraction_key(fields, schema)(record)
            assert key == record_key(fields)(codec.decode(codec.encode(record)))
        assert len(keys) == 1


@given(st.data())
def test_the_key_is_that_of_the_stored_value(data: st.DataObject) -> None:
    """For each type, the key of any value is that of the value that is decoded; a value that does not fit changes nothing."""
    for kind, values in LEAF_VALUES.items():
        if kind == "null":
            continue
        name, _, of = kind.partition("-")
        schema = order(logical(name, of) if of else name)
        value = data.draw(values)
        if value == "":
            continue
        record = {"state": "PAID", "f0": value}
        codec = codec_for(schema)
        assert record_key(("f0",), schema)(record) == record_key(("f0",))(codec.decode(codec.encode(record)))
    assert record_key(("f0",), order(MONEY))({"f0": Decimal("1.005")}) == b"1.005"


def test_only_what_may_change_is_converted() -> None:
    """Text, integers, booleans, bytes and enumerations are stored as given, so that their keys cost what they did."""
    schema = order("string", "long", "boolean", "bytes", ["null", "string"], "State", MILLIS, ["null", MONEY])
    assert set(stored_values([field["name"] for field in schema.fields], schema)) == {"f6", "f7"}
