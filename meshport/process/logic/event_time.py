"""Event time as one integer: microseconds since the Unix epoch, UTC. Exact, cheap to compare, a plain number in JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(time: datetime) -> int:
    """Return the microseconds since the epoch of an aware datetime."""
    since = time - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


FIRST: Final = to_micros(datetime.min.replace(tzinfo=UTC))
"""The first instant that `to_datetime` returns, microseconds: the beginning of the year 1."""
LAST: Final = to_micros(datetime.max.replace(tzinfo=UTC))
"""The last instant that `to_datetime` returns, microseconds: the end of the year 9999."""


@lru_cache(maxsize=4096)  # many keys share the bounds of a window
def to_datetime(micros: int) -> datetime:
    """Return microseconds since the epoch as a datetime in UTC."""
    return EPOCH + timedelta(microseconds=micros)


def duration_micros(duration: timedelta) -> int:
    """Return the length of a duration in microseconds."""
    return duration // timedelta(microseconds=1)
