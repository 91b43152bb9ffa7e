"""The small mesh that the tests of processors share: plays, artists, and products derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from meshport.address import Address
from meshport.process.engines.memory_ports import Port
from meshport.process.logic.operators import Operator
from meshport.process.logic.pipeline import Pipeline

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAYS = Address.parse("player/plays")
OUT = Address.parse("listening/out")
ARTISTS = Address.parse("artists/onboardings")
INSTANT = {"type": "long", "logicalType": "timestamp-millis"}
WINDOW = [{"name": "window_start", "type": INSTANT}, {"name": "window_end", "type": INSTANT}]


def record(name: str, *fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an Avro record."""
    return {"type": "record", "name": name, "fields": list(fields)}


def field(name: str, kind: Any) -> dict[str, Any]:
    """Return a field of a record, null by default where it may be null."""
    return {"name": name, "type": kind} | ({"default": None} if isinstance(kind, list) else {})


PLAY = record(
    "Play",
    field("user", "string"),
    field("artist", "string"),
    field("ms", "long"),
    field("quality", ["null", "double"]),
    field("tags", {"type": "array", "items": "string"}),
    field("at", INSTANT),
)
ARTIST = record("Artist", field("artist", "string"), field("label", ["null", "string"]), field("since", INSTANT))


def at(minutes: float) -> datetime:
    """Return a time in minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def play(user: str = "u1", artist: str = "a1", minutes: float = 0, ms: int = 1000, **more: Any) -> dict[str, Any]:
    """Return a play."""
    return {"user": user, "artist": artist, "ms": ms, "quality": None, "tags": [], "at": at(minutes)} | more


def ports(
    output: Mapping[str, Any], key: tuple[str, ...], *, cleanup: str = "compact", plays: int = 2, outputs: int = 2
) -> dict[str, Port]:
    """Return the ports of a processor that reads plays (and artists) and builds `listening/out`."""
    return {
        "player/plays": Port(PLAY, key=("user",), time="at", partitions=plays),
        "artists/onboardings": Port(ARTIST, key=("artist",), time="since", partitions=2, cleanup="compact"),
        "listening/out": Port(output, key=key, partitions=outputs, cleanup=cleanup),
    }


def pipeline(*operators: Operator, lateness: timedelta = timedelta(minutes=10)) -> Pipeline:
    """Return a pipeline over plays."""
    return Pipeline(PLAYS, operators, lateness)
