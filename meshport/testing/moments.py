"""Instants as tests write them."""

from __future__ import annotations

from datetime import UTC, date, datetime

from meshport.errors import EventError
from meshport.rfc3339 import loose_instant

Moment = str | date | datetime
"""RFC 3339 text (UTC where it names no zone), a datetime with a zone, or a date (its midnight, UTC)."""


def instant_of(what: str, given: Moment) -> datetime:
    """Return a moment as a datetime in UTC.

    Args:
        what: the name of the argument, for the error.
        given: the moment.

    Raises:
        EventError: the text is no time, or the datetime has no zone.
    """
    if isinstance(given, str):
        try:
            return loose_instant(given)
        except ValueError as error:
            raise EventError(f"{what} is {error}") from None
    if not isinstance(given, datetime):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    if given.tzinfo is None:
        raise EventError(f"{what} is {given.isoformat()}, which has no zone", hint="datetime(..., tzinfo=UTC)")
    return given.astimezone(UTC)
