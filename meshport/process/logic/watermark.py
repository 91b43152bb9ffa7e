"""The watermark of an input partition, which decides the events that are late.

The watermark of an event is the largest event time seen earlier *in its own partition*; the event is late if its time
is before the watermark less the lateness. So the verdict follows from the log alone: every reader of the partition,
alone or in a group, today or in a year, in batches of any size, reaches the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from meshport.process.logic.event_time import duration_micros

MAX_AHEAD: Final = timedelta(hours=24)
"""How far an event may be ahead of its Kafka timestamp. Clocks of devices are wrong by minutes, time zones by up to 14
hours; more is a broken clock, and one such event would make all later ones late (Kafka's retention suffers the same,
KAFKA-7910). There is no limit in the other direction: a replay of history is much older than its Kafka timestamps."""

MAX_AHEAD_US: Final = duration_micros(MAX_AHEAD)
"""The same in microseconds."""


@dataclass(slots=True)
class Watermark:
    """The watermark of one partition.

    Attributes:
        lateness: how much earlier than the watermark an event may be, microseconds.
        at: the watermark, microseconds; None before the first event.
    """

    lateness: int
    at: int | None = None

    def is_late(self, time: int) -> bool:
        """Whether an event of this time (microseconds) is late."""
        return self.at is not None and time < self.at - self.lateness

    def advance(self, time: int) -> bool:
        """Advance the watermark to an event's time (microseconds), and return whether it moved."""
        if self.at is None or time > self.at:
            self.at = time
            return True
        return False

    @property
    def horizon(self) -> int | None:
        """The event time before which events are late, microseconds; None before the first event."""
        return None if self.at is None else self.at - self.lateness


def is_ahead(time: int, stored_ms: int) -> bool:
    """Whether an event is more than `MAX_AHEAD` ahead of its Kafka timestamp, so that its clock must be wrong.

    Args:
        time: event time, microseconds.
        stored_ms: the Kafka timestamp, milliseconds; -1 where the message has none, and then the event is not ahead.
    """
    return stored_ms >= 0 and time > stored_ms * 1000 + MAX_AHEAD_US
