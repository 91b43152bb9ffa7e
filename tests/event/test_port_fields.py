"""Keys and times that no event could give are found in the contract."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshport.event.port_fields import misfits
from meshport.product import OutputPort
from meshport.schema import parse_schema

TIMESTAMP = {"type": "long", "logicalType": "timestamp-micros"}
PLACE = {"type": "record", "name": "Place", "fields": [{"name": "city", "type": "string"}]}


def found(role: str, kind: Any) -> list[str]:
    """Return what is wrong with a port whose key or time is a field of this type."""
    form = {"type": "record", "name": "shop.Order", "fields": [{"name": "one", "type": kind}]}
    return [each.message for each in misfits(OutputPort(**{role: "one"}), parse_schema(json.dumps(form)))]


@pytest.mark.parametrize(
    "kind",
    [
        "string",
        "int",
        "bytes",
        "boolean",
        TIMESTAMP,
        ["null", "long"],
        [PLACE, "string"],
        {"type": "enum", "name": "Kind", "symbols": ["A"]},
        {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
    ],
)
def test_a_plain_value_is_a_key(kind: Any) -> None:
    """Whatever can be written as text, in a union at least by one branch."""
    assert found("key", kind) == []


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (PLACE, "is a record"),
        (["null", PLACE], "is a record"),
        ({"type": "array", "items": "string"}, "is an array"),
        ({"type": "map", "values": "string"}, "is a map"),
        ("null", "is always null"),
        (["null"], "is always null"),
    ],
)
def test_a_value_that_is_not_plain_is_no_key(kind: Any, told: str) -> None:
    """A record, an array, a map and null: the publisher would refuse every event."""
    (message,) = found("key", kind)
    assert told in message


@pytest.mark.parametrize(
    "kind", [TIMESTAMP, "long", "string", ["null", TIMESTAMP], {"type": "int", "logicalType": "date"}]
)
def test_a_time_is_a_timestamp_a_date_milliseconds_or_text(kind: Any) -> None:
    """The types whose values are moments."""
    assert found("time", kind) == []


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("double", "is a double, which holds no times"),
        ("boolean", "is a boolean"),
        ("int", "is an int"),
        ({"type": "int", "logicalType": "time-millis"}, "is a time-millis"),
        ({"type": "string", "logicalType": "uuid"}, "is an uuid"),
        ({"type": "enum", "name": "Kind", "symbols": ["A"]}, "is an enum"),
        (PLACE, "is a record"),
        (["null", "float"], "is a float"),
        ("null", "is always null"),
    ],
)
def test_other_values_are_no_times(kind: Any, told: str) -> None:
    """No value of these types is a moment."""
    (message,) = found("time", kind)
    assert told in message
