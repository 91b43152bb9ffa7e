"""Schemas and records that several tests of codec and event share."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from meshport.schema import Schema, parse_schema

PLAY_FORM: dict[str, Any] = {
    "type": "record",
    "name": "player.Play",
    "fields": [
        {"name": "play_id", "type": "string"},
        {"name": "user_id", "type": "string"},
        {"name": "artist_id", "type": "string"},
        {"name": "played_ms", "type": "long"},
        {"name": "bitrate", "type": "long", "default": 160000},
        {"name": "device", "type": {"type": "enum", "name": "player.Device", "symbols": ["PHONE", "DESKTOP", "TV"]}},
        {"name": "volume", "type": "double"},
        {"name": "city", "type": ["null", "string"], "default": None},
        {"name": "started_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "offline", "type": "boolean"},
    ],
}
PLAY: Schema = parse_schema(json.dumps(PLAY_FORM))
STARTED = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def play(**changed: Any) -> dict[str, Any]:
    """A record of `PLAY`, 77 bytes of Avro."""
    return {
        "play_id": "play-000012345",
        "user_id": "user-00042",
        "artist_id": "artist-7",
        "played_ms": 183211,
        "bitrate": 320000,
        "device": "DESKTOP",
        "volume": 0.75,
        "city": "Berlin",
        "started_at": STARTED,
        "tags": ["rock", "live"],
        "offline": False,
    } | changed


def schema(form: Any) -> Schema:
    """A schema of JSON data."""
    return parse_schema(json.dumps(form))
