"""Records as JSON data and back."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from meshport.codec import Codec
from meshport.codec.jsonform import from_json, to_json
from meshport.errors import DecodeError, EncodeError
from tests.codec.samples import PLAY, play, schema
from tests.work import counted

FORMS: list[tuple[Any, Any, Any]] = [
    ("null", None, None),
    ("boolean", True, True),
    ("long", 2**62, 2**62),
    ("double", 0.5, 0.5),
    ("double", math.inf, "Infinity"),
    ("double", -math.inf, "-Infinity"),
    ("bytes", b"\x00\xff", "AP8="),
    ("string", "ä", "ä"),
    ({"type": "long", "logicalType": "timestamp-millis"}, datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00Z"),
    ({"type": "long", "logicalType": "local-timestamp-micros"}, datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),  # noqa: DTZ001
    ({"type": "int", "logicalType": "date"}, date(2026, 1, 2), "2026-01-02"),
    ({"type": "long", "logicalType": "time-micros"}, time(3, 4, 5, 6), "03:04:05.000006"),
    ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, Decimal("-1.50"), "-1.50"),
    (
        {"type": "string", "logicalType": "uuid"},
        UUID("0f6be5e8-6c0a-4c66-8f57-3f6b7f3d2b11"),
        "0f6be5e8-6c0a-4c66-8f57-3f6b7f3d2b11",
    ),
    ({"type": "fixed", "name": "F", "size": 2}, b"ab", "YWI="),
    (["null", {"type": "int", "logicalType": "date"}, "string"], date(2026, 1, 2), "2026-01-02"),
    (["null", {"type": "int", "logicalType": "date"}, "string"], "soon", "soon"),
    ({"type": "map", "values": {"type": "array", "items": "bytes"}}, {"k": [b"a"]}, {"k": ["YQ=="]}),
]


@pytest.mark.parametrize(("form", "value", "data"), FORMS)
def test_values_and_their_json(form: Any, value: Any, data: Any) -> None:
    """Each kind of value has one form as JSON, which is read back as the same value."""
    assert to_json(value) == data
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert from_json(schema(form), data) == value
    codec = Codec(schema(form))
    assert codec.decode(codec.encode(value)) == value


def test_not_a_number_is_text_in_json() -> None:
    """NaN has no JSON; its text is read back."""
    assert to_json(math.nan) == "NaN"
    assert math.isnan(from_json(schema("double"), "NaN"))


@pytest.mark.parametrize("text", ["1_0.50", "१.50", "NaN", " 1.50", "1e9999999999999999999"])
def test_a_text_that_is_no_number_is_no_decimal(text: str) -> None:
    """Decimals are read off ASCII digits, a point and an exponent; any other text stays text, which the encoder refuses."""
    money = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    guid = {"type": "string", "logicalType": "uuid"}
    assert from_json(schema(money), text) == text
    assert from_json(schema(guid), "१f6be5e8-6c0a-4c66-8f57-3f6b7f3d2b11") == "१f6be5e8-6c0a-4c66-8f57-3f6b7f3d2b11"


def test_a_record_and_its_json() -> None:
    """A whole record comes back; what its type does not take is left for the encoder to refuse."""
    data = to_json(play())
    assert from_json(PLAY, data) == play()
    assert from_json(PLAY, data | {"started_at": "soon", "other": 1}) == play(started_at="soon", other=1)


def test_deep_data_is_refused() -> None:
    """JSON data that nests deeper than any value may is a DecodeError, not a RecursionError."""
    form = {"type": "record", "name": "T", "fields": [{"name": "kids", "type": {"type": "array", "items": "T"}}]}
    data: Any = {"kids": []}
    for _ in range(200):
        data = {"kids": [data]}
    with pytest.raises(DecodeError, match="levels deep"):
        from_json(schema(form), data)


def test_alike_branches_cost_no_exponential_work() -> None:
    """Two record branches of the same fields, nested and wrong at the bottom, are checked once at each level."""
    kinds = ["null", "A", "B", "int"]
    second = {"type": "record", "name": "B", "fields": [{"name": "x", "type": kinds}]}
    first = {"type": "record", "name": "A", "fields": [{"name": "x", "type": ["null", "A", second, "int"]}]}
    data: Any = "wrong"
    for _ in range(40):
        data = {"x": data}
    with counted(1_000_000), pytest.raises(EncodeError):  # checked twice at each level it would be 2^40 checks
        Codec(schema(first)).encode(from_json(schema(first), data))
