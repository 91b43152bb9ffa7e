"""Avro's logical types: their Python values, made from and turned into what stands on the wire.

The values are those of fastavro: aware datetimes in UTC for `timestamp-*`, naive ones for `local-timestamp-*`, date,
time, Decimal, UUID. A logical type on a type it does not belong to, and one that is not known here (`timestamp-nanos`,
`duration`, `uuid` on fixed), is its underlying type, as the specification demands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import Any, Final
from uuid import UUID

from meshport.codec.varint import Malformed
from meshport.schema.wellformed import MAX_DECIMAL_BYTES

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LOCAL_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - local timestamps have no zone by definition
MILLI: Final = timedelta(milliseconds=1)
MICRO: Final = timedelta(microseconds=1)
# `date.toordinal` counts from year 1.
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


def kind_of(form: Any) -> str:
    """What a codec has to do for a type: `string`, `record`, `union`, `long-timestamp-millis`, ..., or a name."""
    if isinstance(form, str):
        return form
    if isinstance(form, list):
        return "union"
    kind = str(form["type"])
    logical = f"{kind}-{form['logicalType']}" if "logicalType" in form else kind
    return logical if logical in KNOWN else kind


def time_of_millis(number: int) -> time:
    """The time of day so many milliseconds after midnight."""
    if not 0 <= number < _MILLIS_PER_DAY:
        raise Malformed(f"is {number}, no millisecond of a day")
    seconds, millis = divmod(number, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return time(hour, minute, second, millis * 1000)


def time_of_micros(number: int) -> time:
    """The time of day so many microseconds after midnight."""
    if not 0 <= number < _MILLIS_PER_DAY * 1000:
        raise Malformed(f"is {number}, no microsecond of a day")
    seconds, micros = divmod(number, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return time(hour, minute, second, micros)


def micros_of_time(value: time) -> int:
    """Microseconds since midnight."""
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond


def uuid_of(text: str) -> UUID:
    """The UUID of its text; only the form of RFC 4122, where `UUID` itself takes braces and `urn:uuid:` too."""
    if not _UUID.fullmatch(text):
        raise Malformed("is no UUID")
    return UUID(text)


def decimal_reader(form: Any) -> Callable[[bytes], Decimal]:
    """A function from the bytes of one decimal type to its value."""
    context = Context(prec=form["precision"])
    bound = 10 ** form["precision"]
    scale = form.get("scale", 0)
    scaled = context.scaleb
    from_bytes = int.from_bytes

    def read(data: bytes) -> Decimal:
        # A fixed is refused at load if it is larger, bytes may have any length.
        if len(data) > MAX_DECIMAL_BYTES:
            raise Malformed(f"is a decimal of {len(data)} bytes, more than {MAX_DECIMAL_BYTES}")
        unscaled = from_bytes(data, "big", signed=True)
        if not -bound < unscaled < bound:
            raise Malformed(f"has more than {form['precision']} digits")
        return scaled(Decimal(unscaled), -scale)

    return read


def decimal_writer(form: Any) -> Callable[[Any], bytes]:
    """A function from a value to the bytes of one decimal type; TypeError or ValueError if it does not fit."""
    precision = form["precision"]
    scale = form.get("scale", 0)
    size = form.get("size") if form["type"] == "fixed" else None

    def write(value: Any) -> bytes:
        if not isinstance(value, Decimal):
            raise TypeError(value)
        sign, digits, exponent = value.as_tuple()
        if not isinstance(exponent, int):
            raise ValueError("is not finite")  # noqa: TRY004 - NaN is of the right type
        # `adjusted` first: 10 ** shift would otherwise be as large as the writer of the value liked.
        if exponent + scale < 0 or (value and value.adjusted() + 1 + scale > precision) or len(digits) > precision:
            raise ValueError(f"does not fit precision {precision} and scale {scale}")
        unscaled = int("".join(map(str, digits))) * 10 ** (exponent + scale) if value else 0
        # One bit more than the magnitude for the sign; fastavro and Java read any length.
        length = (unscaled.bit_length() + 8) // 8 if size is None else size
        return (-unscaled if sign else unscaled).to_bytes(length, "big", signed=True)

    return write
