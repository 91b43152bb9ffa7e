"""What the measures take of one message, whatever it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from meshport.event import Event

__all__ = ["EventReading"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class EventReading:
    """One event as the measures need it.

    Attributes:
        recorded_ms: when it came into the log: the Kafka timestamp (Unix time in ms).
        time_ms: when the fact happened (Unix time in ms); None where the event has no time.
        source: of the event.
        id: of the event; None for a message that is no CloudEvent, whose id is its position.
        key: of the record.
        record: the data; None for a tombstone.
    """

    recorded_ms: int
    time_ms: float | None = None
    source: str = ""
    id: str | None = None
    key: bytes | None = None
    record: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return what the measures take of an event."""
        time_ms = (event.time - _EPOCH).total_seconds() * 1000 if event.has_time else None
        record = event.data if isinstance(event.data, Mapping) else None
        return cls(event.timestamp_ms, time_ms, event.source, event.id, event.key, record)
