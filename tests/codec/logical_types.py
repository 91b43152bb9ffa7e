"""Avro's types without a name, as schemas write them: what generators of schemas draw from."""

from __future__ import annotations

from typing import Any, Final

PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
LOGICAL: Final[tuple[dict[str, Any], ...]] = (
    {"type": "long", "logicalType": "timestamp-millis"},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "long", "logicalType": "timestamp-nanos"},
    {"type": "long", "logicalType": "local-timestamp-millis"},
    {"type": "long", "logicalType": "local-timestamp-micros"},
    {"type": "int", "logicalType": "date"},
    {"type": "int", "logicalType": "time-millis"},
    {"type": "long", "logicalType": "time-micros"},
    {"type": "string", "logicalType": "uuid"},
    {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 4},
    {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 4},
    {"type": "bytes", "logicalType": "decimal", "precision": 40},
    {"type": "string", "logicalType": "unheard-of"},
)
