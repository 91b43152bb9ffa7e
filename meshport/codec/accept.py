"""The slow path of the encoder's type checks: the Python values that each Avro type accepts.

Generated code tests for the one Python type that a value usually has. Other values come here, and are converted to
that type if nothing is lost, or refused. There is no coercion: no float to a long, no bool to an int, no text
to bytes, no naive datetime to an instant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from numbers import Integral, Real
from typing import Any, Final
from uuid import UUID

from meshport.codec import logical
from meshport.codec.varint import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN, Malformed, long_varint

# The range of datetime and date. A number beyond it is written and read as a number (`codec.logical`).
MIN_MICROS: Final = (datetime.min.replace(tzinfo=UTC) - logical.EPOCH) // logical.MICRO
MAX_MICROS: Final = (datetime.max.replace(tzinfo=UTC) - logical.EPOCH) // logical.MICRO
MIN_DAY: Final = date.min.toordinal() - logical.DAYS_BEFORE_EPOCH
MAX_DAY: Final = date.max.toordinal() - logical.DAYS_BEFORE_EPOCH
_MICROS_PER_DAY: Final = 86_400_000_000


def text(value: Any) -> str:
    """Accept a str, including subclasses such as the members of a StrEnum."""
    if not isinstance(value, str):
        raise TypeError(value)
    return str.__str__(value)


def octets(value: Any) -> bytes:
    """Accept bytes-like values."""
    if not isinstance(value, bytes | bytearray):
        raise TypeError(value)
    return bytes(value)


def whole(value: Any) -> int:
    """Accept an integer, including NumPy's; a bool is refused."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(value)
    return int(value)


def real(value: Any) -> float:
    """Accept a number; an integer only if a double holds it exactly."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(value)
    number = float(value)
    if isinstance(value, Integral) and number != value:
        raise ValueError("has no exact double")
    return number


def false(value: Any) -> bytes:
    """Return the byte of False for a value that is not True."""
    if value is not False:
        raise TypeError(value)
    return b"\x00"


def mapping(value: Any) -> dict[Any, Any]:
    """Accept a mapping; return a dict."""
    if not isinstance(value, Mapping):
        raise TypeError(value)
    return dict(value)


def items(value: Any) -> Sequence[Any]:
    """Accept a sequence other than text and bytes."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise TypeError(value)
    return value


def write_int(number: int) -> bytes:
    """Return the varint of an int of at most 32 bits."""
    if not INT_MIN <= number <= INT_MAX:
        raise OverflowError(number)
    return long_varint(number)


def write_long(number: int) -> bytes:
    """Return the varint of a long of at most 64 bits."""
    if not LONG_MIN <= number <= LONG_MAX:
        raise OverflowError(number)
    return long_varint(number)


def micros(value: Any) -> int:
    """Return the microseconds since 1970 of an aware datetime."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(value)
    return (value - logical.EPOCH) // logical.MICRO


def local_micros(value: Any) -> int:
    """Return the microseconds since 1970 of a naive datetime."""
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise TypeError(value)
    return (value - logical.LOCAL_EPOCH) // logical.MICRO


def timestamp_millis(value: Any) -> bytes:
    """Return the bytes of a `timestamp-millis`. An integer is taken as milliseconds, as in other Avro libraries."""
    return write_long(micros(value) // 1000 if isinstance(value, datetime) else whole(value))


def timestamp_micros(value: Any) -> bytes:
    """Return the bytes of a `timestamp-micros`."""
    return write_long(micros(value) if isinstance(value, datetime) else whole(value))


def local_timestamp_millis(value: Any) -> bytes:
    """Return the bytes of a `local-timestamp-millis`."""
    return write_long(local_micros(value) // 1000 if isinstance(value, datetime) else whole(value))


def local_timestamp_micros(value: Any) -> bytes:
    """Return the bytes of a `local-timestamp-micros`."""
    return write_long(local_micros(value) if isinstance(value, datetime) else whole(value))


def day(value: Any) -> bytes:
    """Return the bytes of a `date`. A datetime is refused, since its time would be lost."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return long_varint(value.toordinal() - logical.DAYS_BEFORE_EPOCH)
    return write_int(whole(value))


def _clock(value: Any, unit: int) -> bytes:
    if isinstance(value, time):
        if value.tzinfo is not None:
            raise TypeError(value)
        return long_varint(logical.micros_of_time(value) // unit)
    number = whole(value)
    if not 0 <= number * unit < _MICROS_PER_DAY:
        raise OverflowError(number)
    return long_varint(number)


def time_millis(value: Any) -> bytes:
    """Return the bytes of a `time-millis`."""
    return _clock(value, 1000)


def time_micros(value: Any) -> bytes:
    """Return the bytes of a `time-micros`."""
    return _clock(value, 1)


def uuid_octets(value: Any) -> bytes:
    """Return the UTF-8 text of a UUID, given as UUID or str."""
    if isinstance(value, UUID):
        return str(value).encode()
    try:
        logical.uuid_of(text(value))
    except Malformed as error:
        raise ValueError("is no UUID") from error
    return text(value).encode()
