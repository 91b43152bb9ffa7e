"""What each Avro type takes from Python: the slow side of the encoder's checks.

Generated code tests the one Python type that a value nearly always has; everything else comes here, to be turned into
that type where nothing is lost, or refused. Nothing is coerced: no float into a long, no bool into an int, no text
into bytes, no naive datetime into an instant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from numbers import Integral, Real
from typing import Any, Final
from uuid import UUID

from meshport.codec import logical
from meshport.codec.varint import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN, Malformed, long_varint

# What a datetime can hold, so that what is written can be read.
MIN_MICROS: Final = (datetime.min.replace(tzinfo=UTC) - logical.EPOCH) // logical.MICRO
MAX_MICROS: Final = (datetime.max.replace(tzinfo=UTC) - logical.EPOCH) // logical.MICRO
MIN_DAY: Final = date.min.toordinal() - logical.DAYS_BEFORE_EPOCH
MAX_DAY: Final = date.max.toordinal() - logical.DAYS_BEFORE_EPOCH
_MICROS_PER_DAY: Final = 86_400_000_000


def text(value: Any) -> str:
    """A str, or a subclass such as a StrEnum's member."""
    if not isinstance(value, str):
        raise TypeError(value)
    return str.__str__(value)


def octets(value: Any) -> bytes:
    """Bytes."""
    if not isinstance(value, bytes | bytearray):
        raise TypeError(value)
    return bytes(value)


def whole(value: Any) -> int:
    """A whole number that is no bool; NumPy's count."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(value)
    return int(value)


def real(value: Any) -> float:
    """A number; a whole one only if a double holds it exactly."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(value)
    number = float(value)
    if isinstance(value, Integral) and number != value:
        raise ValueError("has no exact double")
    return number


def false(value: Any) -> bytes:
    """The byte of False, once the value is known not to be True."""
    if value is not False:
        raise TypeError(value)
    return b"\x00"


def mapping(value: Any) -> dict[Any, Any]:
    """A mapping as dict."""
    if not isinstance(value, Mapping):
        raise TypeError(value)
    return dict(value)


def items(value: Any) -> Sequence[Any]:
    """A sequence that is neither text nor bytes."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise TypeError(value)
    return value


def write_int(number: int) -> bytes:
    """The varint of an int."""
    if not INT_MIN <= number <= INT_MAX:
        raise OverflowError(number)
    return long_varint(number)


def write_long(number: int) -> bytes:
    """The varint of a long."""
    if not LONG_MIN <= number <= LONG_MAX:
        raise OverflowError(number)
    return long_varint(number)


def micros(value: Any) -> int:
    """Microseconds since 1970 of an aware datetime."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(value)
    return _instant((value - logical.EPOCH) // logical.MICRO)


def local_micros(value: Any) -> int:
    """Microseconds since 1970 of a datetime without zone."""
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise TypeError(value)
    return (value - logical.LOCAL_EPOCH) // logical.MICRO


def _instant(number: int, unit: int = 1) -> int:
    if not MIN_MICROS <= number * unit <= MAX_MICROS:
        raise OverflowError(number)
    return number


def timestamp_millis(value: Any) -> bytes:
    """The bytes of a `timestamp-millis`; a whole number counts as milliseconds, as everywhere in Avro's libraries."""
    return long_varint(micros(value) // 1000 if isinstance(value, datetime) else _instant(whole(value), 1000))


def timestamp_micros(value: Any) -> bytes:
    """The bytes of a `timestamp-micros`."""
    return long_varint(micros(value) if isinstance(value, datetime) else _instant(whole(value)))


def local_timestamp_millis(value: Any) -> bytes:
    """The bytes of a `local-timestamp-millis`."""
    return long_varint(local_micros(value) // 1000 if isinstance(value, datetime) else _instant(whole(value), 1000))


def local_timestamp_micros(value: Any) -> bytes:
    """The bytes of a `local-timestamp-micros`."""
    return long_varint(local_micros(value) if isinstance(value, datetime) else _instant(whole(value)))


def day(value: Any) -> bytes:
    """The bytes of a `date`; a datetime is none, its time would be lost."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return long_varint(value.toordinal() - logical.DAYS_BEFORE_EPOCH)
    number = whole(value)
    if not MIN_DAY <= number <= MAX_DAY:
        raise OverflowError(number)
    return long_varint(number)


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
    """The bytes of a `time-millis`."""
    return _clock(value, 1000)


def time_micros(value: Any) -> bytes:
    """The bytes of a `time-micros`."""
    return _clock(value, 1)


def uuid_octets(value: Any) -> bytes:
    """The text of a UUID, or of a str that is one, as UTF-8."""
    if isinstance(value, UUID):
        return str(value).encode()
    try:
        logical.uuid_of(text(value))
    except Malformed as error:
        raise ValueError("is no UUID") from error
    return text(value).encode()
