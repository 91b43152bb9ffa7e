"""Event time as one number: microseconds since the Unix epoch, UTC. Exact, cheap to compare, plain in JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment: datetime) -> int:
    """Microseconds since the epoch of a moment with a zone."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@lru_cache(maxsize=4096)  # windows of many keys close together: their bounds are told again and again
def moment(micros_: int) -> datetime:
    """The moment, in UTC."""
    return EPOCH + timedelta(microseconds=micros_)


def length(duration: timedelta) -> int:
    """A length of time in microseconds."""
    return duration // timedelta(microseconds=1)
