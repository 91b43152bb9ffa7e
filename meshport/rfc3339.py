"""Times as text: what RFC 3339, section 5.6, allows, and a written list of what is read besides.

Python's `fromisoformat` reads other texts than the RFC, and each version its own: week dates, `20260101` and `+01` since 3.11,
24:00 since 3.13. A log must not be judged differently by another Python, so the forms are decided here.

`instant` reads two forms more:

- a space for the T, as the note in section 5.6 allows;
- no seconds, where they are zero: Java's `OffsetDateTime.toString` leaves them out.

`loose_instant` reads, in files and on a command line, what people and databases write:

- white space around the text and before the zone; `/` for `-` in the date; a comma before the fraction;
- offsets of hours alone (`+01`, PostgreSQL), or without the colon (`+0100`, strftime's `%z`);
- no zone, which means UTC; a day alone, which means its midnight.

Digits after the sixth of a fraction are cut, not rounded, so that no text moves into another second or year. A leap second
(section 5.7: 23:59:60 UTC at the end of a month) is read as the last microsecond before it ends, so that it stays in its day.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

__all__ = ["day", "instant", "local", "loose_instant", "loose_local", "time_of_day", "usual_instant"]

_DAY: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]|60)(?:\.([0-9]+))?)?")
_OFFSET: Final = re.compile(r"[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9])")
_INSTANT: Final = re.compile(f"({_DAY.pattern})[Tt ]({_TIME.pattern})({_OFFSET.pattern})")
_LOOSE: Final = re.compile(
    r"\s*([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,]([0-9]+))?\s*([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?\s*"
)
_HOURS: Final = 3
_LEAP: Final = 60
_MICROS: Final = 6
_LAST_MICRO: Final = 999_999

_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_USUAL: Final = frozenset(b"0000-00-00T00:00:00%bZ" % (b"." + b"0" * digits if digits else b"") for digits in range(7))
_HOUR: Final = slice(11, 13)
_from_iso: Final = datetime.fromisoformat


def usual_instant(text: bytes) -> datetime:
    """Return the instant of a text in UTC, with T, Z and at most six digits of a fraction: the form that most writers use.

    It takes a quarter of the time of `instant`.

    Raises:
        ValueError: the text has another form, of which `instant` decides, or is no instant.
    """
    if text.translate(_ZEROS) in _USUAL:
        moment = _from_iso(text.decode())
        if moment.hour or text[_HOUR] != b"24":
            return moment
    raise ValueError("it has another form")


def instant(text: str) -> datetime:
    """Return the instant of an RFC 3339 text, in UTC.

    Raises:
        ValueError: the text is not RFC 3339, or has no zone; or its instant is not in the years 1 to 9999.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        no_zone = _INSTANT.fullmatch(f"{text}Z") is not None
        raise ValueError("it has no time zone" if no_zone else "it does not have the form of RFC 3339")
    second, micros = _seconds(match[8], match[9])
    moment = datetime(  # the leap second is that before it, until it is known to be one
        int(match[2]), int(match[3]), int(match[4]), int(match[6]), int(match[7]), min(second, 59), micros, tzinfo=UTC
    )
    sign, hours, minutes = match.groups()[-3:]
    if sign:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        try:
            moment = moment + offset if sign == "-" else moment - offset
        except OverflowError:
            raise ValueError("in UTC it is not in the years 1 to 9999") from None
    if second == _LEAP and not _ends_month(moment):
        raise ValueError("there is no leap second at that time; they are 23:59:60 UTC at the end of a month")
    return moment


def local(text: str) -> datetime:
    """Return the date and time of an RFC 3339 text without an offset, as a datetime without a zone.

    Raises:
        ValueError: the text has another form.
    """
    return instant(f"{text}Z").replace(tzinfo=None)


def day(text: str) -> date:
    """Return the day of a text, RFC 3339's full-date.

    Raises:
        ValueError: the text has another form, or there is no such day.
    """
    match = _DAY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no day; write 2001-02-03")
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError as error:
        raise ValueError(f"{text!r} is no day: {error}") from None


def time_of_day(text: str) -> time:
    """Return the time of day of a text, RFC 3339's partial-time; seconds may be left out, where they are zero.

    Raises:
        ValueError: the text has another form.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no time of day; write 13:05:00")
    second, micros = _seconds(match[3], match[4])
    return time(int(match[1]), int(match[2]), min(second, 59), micros)


def loose_instant(text: str) -> datetime:
    """Return the instant of a text as people and databases write it, in UTC; see the list in this module.

    Raises:
        ValueError: the text has none of these forms, or is no instant.
    """
    moment, zone = _loose(text, "2001-02-03T04:05:06Z")
    if zone and len(zone) == _HOURS:
        zone += ":00"
    elif zone and ":" not in zone and len(zone) > _HOURS:
        zone = f"{zone[:_HOURS]}:{zone[_HOURS:]}"
    return _of_loose(text, f"{moment}{zone or 'Z'}")


def loose_local(text: str) -> datetime:
    """Return the date and time of a text as `loose_instant` reads it, without a zone.

    Raises:
        ValueError: as `loose_instant`; or the text has a zone, which a local time cannot hold.
    """
    moment, zone = _loose(text, "2001-02-03T04:05:06")
    if zone:
        raise ValueError(f"{text!r} has the zone {zone!r}, and a local time has none; write {moment}")
    return _of_loose(text, f"{moment}Z").replace(tzinfo=None)


def _loose(text: str, example: str) -> tuple[str, str | None]:
    """Return date and time in the form of RFC 3339, and the zone as it is written."""
    match = _LOOSE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no time; write {example}")
    year, month, day_of_month, clock, fraction, zone = match.groups()
    return f"{year}-{month}-{day_of_month}T{clock or '00:00'}{f'.{fraction}' if fraction else ''}", zone


def _of_loose(text: str, written: str) -> datetime:
    try:
        return instant(written)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time: {error}") from None


def _seconds(second: str | None, fraction: str | None) -> tuple[int, int]:
    """Return seconds and microseconds; of a leap second, always its last microsecond."""
    number = int(second or 0)
    micros = int((fraction or "")[:_MICROS].ljust(_MICROS, "0"))
    return number, _LAST_MICRO if number == _LEAP else micros


def _ends_month(moment: datetime) -> bool:
    _, days = monthrange(moment.year, moment.month)
    return (moment.day, moment.hour, moment.minute) == (days, 23, 59)
