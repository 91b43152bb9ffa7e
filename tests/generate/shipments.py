"""Shipments: a contract with every kind of type, with names and documentation that no language takes as they are."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

HOSTILE: Final = (
    "ends */ /* \"\"\" ''' \\ \\u002a\\u002f <!-- ]]> @see #{x} ${x} `x` {x} %s\n// \u2028 \u202e </summary> end\\"
)
"""Documentation that would end a comment or a literal, if it were written as it is."""

STOP: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Stop",
    "namespace": "tests.depots",
    "doc": HOSTILE,
    "fields": [
        {"name": "depot", "type": "string"},
        {"name": "arrived_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "next", "type": ["null", "Stop"], "default": None},
    ],
}
SHIPMENT: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Shipment",
    "namespace": "tests.shipments",
    "doc": HOSTILE,
    "fields": [
        {"name": "shipment_id", "type": {"type": "string", "logicalType": "uuid"}, "doc": HOSTILE},
        {"name": "sent_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "customer", "type": "string"},
        {"name": "class", "type": "string", "default": 'the "usual" \\ one'},
        {"name": "self", "type": "int", "default": -3},
        {"name": "model_config", "type": "long", "default": 7},
        {
            "name": "state",
            "type": {"type": "enum", "name": "State", "symbols": ["PACKED", "SENT", "class", "None"], "doc": HOSTILE},
            "default": "PACKED",
        },
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "due", "type": {"type": "int", "logicalType": "date"}},
        {"name": "window", "type": ["null", {"type": "int", "logicalType": "time-millis"}], "default": None},
        {"name": "local", "type": ["null", {"type": "long", "logicalType": "local-timestamp-millis"}], "default": None},
        {"name": "seal", "type": {"type": "fixed", "name": "Seal", "size": 4}},
        {"name": "label", "type": "bytes"},
        {"name": "weight", "type": "double", "default": 1.5},
        {"name": "ratio", "type": "float", "default": 0.25},
        {"name": "insured", "type": "boolean", "default": False},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
        {"name": "counts", "type": {"type": "map", "values": "long"}, "default": {}},
        {"name": "route", "type": ["null", STOP], "default": None},
        {"name": "stops", "type": {"type": "array", "items": "tests.depots.Stop"}, "default": []},
        {"name": "value", "type": ["null", "long", "string", "tests.depots.Stop"], "default": None},
        {
            "name": "other",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "State",
                    "namespace": "tests.depots",
                    "fields": [{"name": "a", "type": "int"}],
                },
            ],
            "default": None,
        },
    ],
}
PORT: Final[dict[str, Any]] = {"key": "customer", "time": "sent_at"}
_SENT_AT: Final = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def stop(depot: str, following: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a stop."""
    return {"depot": depot, "arrived_at": _SENT_AT.replace(microsecond=123_456), "next": following}


def shipment(number: int) -> dict[str, Any]:
    """Return the shipment of that number, every second one with all that may be left out."""
    full = number % 2 == 0
    return {
        "shipment_id": UUID(int=number),
        "sent_at": _SENT_AT.replace(second=number),
        "customer": f"größe-{number}",
        "class": f"class {number}",
        "self": number,
        "model_config": 2**40 + number,
        "state": ("PACKED", "SENT", "class", "None")[number % 4],
        "price": Decimal(number * 1999 - 5000).scaleb(-2),
        "due": date(2026, 3, 1 + number),
        "window": time(12, 30, 15, 250_000) if full else None,
        "local": datetime(2026, 3, 1, 12, 0, number) if full else None,  # noqa: DTZ001 - local timestamps have no zone
        "seal": bytes((0, 1, 254, 255)),
        "label": b"label \xff" if full else b"",
        "weight": number / 7,
        "ratio": number / 4,
        "insured": full,
        "tags": [f"tag-{each}" for each in range(number % 3)],
        "counts": {"boxes": number} if full else {},
        "route": stop("hamburg", stop("köln")) if full else None,
        "stops": [stop("a"), stop("b")] if full else [],
        "value": (None, 5, "text", stop("c"))[number % 4],
        "other": {"a": number} if full else None,
    }
