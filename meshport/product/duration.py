"""Durations as descriptors and flags write them: `30s`, `1h`, `365d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final

_UNITS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_TEXT: Final = re.compile(r"([0-9]+)\s*(ms|s|m|h|d)")


def parse_duration(value: Any) -> Any:
    """Return the `timedelta` of `<number><unit>`; a `timedelta` is returned as it is.

    Raises:
        ValueError: the value is no duration, or longer than 100 years. A bare number is none: pydantic would read `7` as
            seconds where the author meant days.
    """
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        return _refuse(value)
    match = _TEXT.fullmatch(value.strip())
    if not match:
        return _refuse(value)
    length = int(match[1]) * _UNITS[match[2]]
    return timedelta(milliseconds=length) if length <= 36_525 * _UNITS["d"] else _refuse(value)


def format_duration(value: timedelta) -> str:
    """Return the shortest `<number><unit>` of exactly this duration, microseconds cut."""
    length = value // timedelta(milliseconds=1)
    for unit in ("d", "h", "m", "s"):
        if length and length % _UNITS[unit] == 0:
            return f"{length // _UNITS[unit]}{unit}"
    return f"{length}ms"


def _refuse(value: Any) -> Any:
    raise ValueError(f"{value!r} is no length of time; write a number and one of ms, s, m, h, d (`30s`, `1h`, `365d`)")
