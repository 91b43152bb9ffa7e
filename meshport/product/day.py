"""A day in product.yaml and in the registry's documents."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator

from meshport import rfc3339

__all__ = ["Day"]


def _day(given: Any) -> Any:
    """Return the day of a text. pydantic also takes a number, as seconds since 1970, and a time at midnight."""
    if isinstance(given, str):
        return rfc3339.day(given)
    if isinstance(given, date) and not isinstance(given, datetime):
        return given
    raise ValueError(f"{str(given)!r} is no day; write 2001-02-03")


Day = Annotated[date, BeforeValidator(_day)]
"""A date, written as RFC 3339's full-date."""
