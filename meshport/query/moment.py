"""Which rows of a port count, on both times: when a fact happened, and when it was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from meshport.errors import QueryError

__all__ = ["Moment"]


@dataclass(frozen=True, slots=True)
class Moment:
    """What is asked of a port's past.

    A fact that is recorded later, such as a correction, changes what is known now about a time, and not what was known then.

    Attributes:
        as_of: what had happened by this time, inclusive; None for everything. It is compared with `_time`, the event's.
        known_at: what had been recorded by this time, inclusive; None for everything. It is compared with `_recorded`.
        latest_by: the fields that name a thing, of which the view `latest` has the latest row; by default the record key.
        every: the length of the intervals of the view `series`, counted from 1970 (UTC); None for none.

    Raises:
        QueryError: a time has no zone, or an interval is not longer than 0.
    """

    as_of: datetime | None = None
    known_at: datetime | None = None
    latest_by: tuple[str, ...] = ()
    every: timedelta | None = None

    def __post_init__(self) -> None:
        """Have the times in UTC."""
        for name in ("as_of", "known_at"):
            given: datetime | None = getattr(self, name)
            if given is None:
                continue
            if given.tzinfo is None:
                raise QueryError(f"{name} is {given.isoformat()}, a time without a zone", hint="2001-02-01T00:00:00Z")
            object.__setattr__(self, name, given.astimezone(UTC))
        if self.every is not None and self.every <= timedelta():
            raise QueryError(
                f"an interval of {self.every} has no length", hint="`every=timedelta(hours=1)`, `--every 1h`"
            )
