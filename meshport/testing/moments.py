"""Instants as tests write them."""

from __future__ import annotations

from datetime import UTC, date, datetime

from meshport.errors import EventError

Moment = str | date | datetime
"""ISO 8601 text (UTC where it names no zone), a datetime with a zone, or a date (its midnight, UTC)."""


def instant_of(what: str, given: Moment) -> datetime:
    """Return a moment as a datetime in UTC.

    Args:
        what: the name of the argument, for the error.
        given: the moment.

    Raises:
        EventError: the text is no ISO 8601, or the datetime has no zone.
    """
    if isinstance(given, str):
        try:
            parsed = datetime.fromisoformat(given)
        except ValueError:
            raise EventError(f"{what} is {given!r}", hint="ISO 8601: 2001-02-03T04:05:06Z") from None
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    if not isinstance(given, datetime):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    if given.tzinfo is None:
        raise EventError(f"{what} is {given!r}, which has no zone", hint="datetime(..., tzinfo=UTC)")
    return given.astimezone(UTC)
