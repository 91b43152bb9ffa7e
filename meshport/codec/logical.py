"""Avro's logical types: conversion between wire values and Python values.

The Python values are those of fastavro: aware datetimes in UTC for `timestamp-*`, naive ones for `local-timestamp-*`,
date, time, Decimal, UUID. A logical type that the codec does not convert (`timestamp-nanos`, `duration`, `uuid` on fixed), and
one that is invalid (`schema.logical`), is ignored, as the specification requires.

Avro bounds no date and no timestamp, and Python has the years 1 to 9999 only. A date or timestamp of another year is its
number: producers write the largest long for PostgreSQL's `infinity`, and the year 10000 for a rounded last instant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import Any, Final
from uuid import UUID

from meshport.codec.varint import LONG_MAX, LONG_MIN, Malformed
from meshport.schema.logical import logical_type

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LOCAL_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - local timestamps have no zone by definition
MILLI: Final = timedelta(milliseconds=1)
MICRO: Final = timedelta(microseconds=1)
# `date.toordinal` counts days from the year 1.
DAYS_BEFORE_EPOCH: Final = date(1970, 1, 1).toordinal()
_MILLIS_PER_DAY: Final = 86_400_000
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)

KNOWN: Final = frozenset(
    {
        "long-timestamp-millis",
        "long-timestamp-micros",
        "long-local-timestamp-millis",
        "long-local-timestamp-micros",
        "int-date",
        "int-time-millis",
        "long-time-micros",
        "bytes-decimal",
        "fixed-decimal",
        "string-uuid",
    }
)

CALENDAR: Final = frozenset(kind for kind in KNOWN if "timestamp" in kind) | {"int-date"}
"""The kinds whose numbers may lie outside of Python's calendar."""


def kind_of(form: Any) -> str:
    """Return the kind of a type for the code generators: `string`, `record`, `union`, `long-timestamp-millis`, or a name."""
    if isinstance(form, str):
        return form
    if isinstance(form, list):
        return "union"
    kind = str(form["type"])
    logical = f"{kind}-{logical_type(form)}" if "logicalType" in form else kind
    return logical if logical in KNOWN else kind


def time_of_millis(number: int) -> time:
    """Return the time of day that many milliseconds after midnight."""
    if not 0 <= number < _MILLIS_PER_DAY:
        raise Malformed(f"is {number}, no millisecond of a day")
    seconds, millis = divmod(number, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return time(hour, minute, second, millis * 1000)


def time_of_micros(number: int) -> time:
    """Return the time of day that many microseconds after midnight."""
    if not 0 <= number < _MILLIS_PER_DAY * 1000:
        raise Malformed(f"is {number}, no microsecond of a day")
    seconds, micros = divmod(number, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return time(hour, minute, second, micros)


def calendar_value(kind: str, number: int) -> Any:
    """Return the date or datetime of a number, or the number itself where Python has none; `kind` is one of `CALENDAR`."""
    if kind == "int-date":
        epoch: Any = LOCAL_EPOCH.date()
        unit = timedelta(days=1)
    else:
        epoch = LOCAL_EPOCH if "local" in kind else EPOCH
        unit = MILLI if kind.endswith("millis") else MICRO
    try:
        return epoch + unit * number
    except OverflowError:
        return number


def micros_of_millis(millis: int) -> int:
    """Return a timestamp that Python does not have in microseconds."""
    micros = millis * 1000
    if not LONG_MIN <= micros <= LONG_MAX:
        raise Malformed(f"is {millis} ms, which no long of microseconds holds")
    return micros


def micros_of_time(value: time) -> int:
    """Return the microseconds since midnight."""
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond


def uuid_of(text: str) -> UUID:
    """Return the UUID of a text in the form of RFC 4122; `UUID` itself also accepts braces and `urn:uuid:`."""
    if not _UUID.fullmatch(text):
        raise Malformed("is no UUID")
    return UUID(text)


def decimal_reader(form: Any) -> Callable[[bytes], Decimal]:
    """Return a function from the bytes of a decimal type to its value."""
    context = Context(prec=form["precision"])
    bound = 10 ** form["precision"]
    scale = form.get("scale", 0)
    scaled = context.scaleb
    from_bytes = int.from_bytes

    def read(data: bytes) -> Decimal:
        # Linear in the bytes, of which there may be any number. Only a number within the bound is converted to digits.
        unscaled = from_bytes(data, "big", signed=True)
        if not -bound < unscaled < bound:
            raise Malformed(f"has more than {form['precision']} digits")
        return scaled(Decimal(unscaled), -scale)

    return read


def decimal_writer(form: Any) -> Callable[[Any], bytes]:
    """Return a function from a value to the bytes of a decimal type; it raises TypeError or ValueError for a misfit."""
    precision = form["precision"]
    scale = form.get("scale", 0)
    size = form.get("size") if form["type"] == "fixed" else None

    def write(value: Any) -> bytes:
        if not isinstance(value, Decimal):
            raise TypeError(value)
        sign, digits, exponent = value.as_tuple()
        if not isinstance(exponent, int):
            raise ValueError("is not finite")  # noqa: TRY004 - NaN is of the right type
        # `adjusted` is checked first, since a value with a huge exponent would make 10 ** shift huge.
        if exponent + scale < 0 or (value and value.adjusted() + 1 + scale > precision) or len(digits) > precision:
            raise ValueError(f"does not fit precision {precision} and scale {scale}")
        unscaled = int("".join(map(str, digits))) * 10 ** (exponent + scale) if value else 0
        # The sign takes one bit more than the magnitude; fastavro and Java read any length.
        length = (unscaled.bit_length() + 8) // 8 if size is None else size
        return (-unscaled if sign else unscaled).to_bytes(length, "big", signed=True)

    return write
