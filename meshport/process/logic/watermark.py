"""How far event time has come, per input partition, and which events came too late.

The watermark of an event is the largest event time seen earlier *in its own partition*; the event is late if its time
is before the watermark less the lateness. That is told from the log alone: whoever reads the partition from its
beginning, alone or with others, today or in a year, in batches of any size, gives the same verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from meshport.process.logic.event_time import duration_micros

MAX_AHEAD: Final = timedelta(hours=24)
"""How far an event may be ahead of its Kafka timestamp. Clocks of devices go wrong by minutes, time zones by 14 hours;
more is a broken clock, and one such event would make everything after it late (Kafka's own retention suffers the same,
KAFKA-7910). There is no limit backwards: a replay of history is far behind its Kafka timestamps and right."""

MAX_AHEAD_US: Final = duration_micros(MAX_AHEAD)
"""The same in microseconds."""


@dataclass(slots=True)
class Watermark:
    """The watermark of one partition.

    Attributes:
        lateness: how far behind the watermark an event may be, microseconds.
        at: the watermark, microseconds; None before the first event.
    """

    lateness: int
    at: int | None = None

    def is_late(self, time: int) -> bool:
        """Whether an event of this time has come too late."""
        return self.at is not None and time < self.at - self.lateness

    def advance(self, time: int) -> bool:
        """Take note of an event's time; True if the watermark moved."""
        if self.at is None or time > self.at:
            self.at = time
            return True
        return False

    @property
    def horizon(self) -> int | None:
        """Nothing before this time is taken any more, microseconds; None before the first event."""
        return None if self.at is None else self.at - self.lateness


def is_ahead(time: int, stored_ms: int) -> bool:
    """Whether an event is so far ahead of the time at which it was stored that its clock must be wrong.

    Args:
        time: event time, microseconds.
        stored_ms: the Kafka timestamp; -1 where there is none, and then nothing can be told.
    """
    return stored_ms >= 0 and time > stored_ms * 1000 + MAX_AHEAD_US
