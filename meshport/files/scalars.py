"""Converts single values to the types of fields: numbers, booleans, times, decimals, UUIDs, bytes.

Text is read by the same rules from JSON and from a cell of CSV, but for NaN and Infinity.
"""

from __future__ import annotations

import math
import re
import struct
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final
from uuid import UUID

from meshport.address import nearest
from meshport.codec.text import loses_digits, parse_number, parse_uuid
from meshport.files.ingest import Format, said
from meshport.rfc3339 import day, loose_instant, loose_local, time_of_day

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLI: Final = timedelta(milliseconds=1)
_MICRO: Final = timedelta(microseconds=1)
# So many digits are neither a year nor a compact date: they count the field's unit since 1970, as a JSON number does.
_COUNT: Final = re.compile(r"[+-]?[0-9]{9,}", re.ASCII)
_DIGITS: Final = 20
# What nearly all numbers of files look like, and `int` and `float` read exactly as `parse_number` does.
_INT: Final = re.compile(r"-?[0-9]{1,18}")
_SHORT: Final = re.compile(r"-?[0-9]{1,7}(\.[0-9]{1,15})?")
# Numbers as people write them: grouped by thousands, with a decimal comma, with `_`, in the digits of any script.
_GROUPED: Final = re.compile(
    r"[+-]?((?!0)\d{1,3}([_,' \u00a0\u202f\u2009\u066c]\d{3})+([.,\u066b]\d+)?|(?!0)\d{1,3}(\.\d{3})+,\d+"
    r"|\d+(_\d+)+|\d+[,\u066b]\d+|\d+(\.\d+)?)"
)
_NO_NUMBER: Final = frozenset({"nan", "inf", "infinity"})
_TRUE: Final = frozenset({"true", "yes", "1", "t", "y"})
_FALSE: Final = frozenset({"false", "no", "0", "f", "n"})


class ValueRefused(ValueError):  # noqa: N818 - names a verdict
    """Raised for a value that does not fit its type.

    Attributes:
        path: leads to the value within the field.
        hint: what would be right.
    """

    def __init__(self, message: str, path: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint

    def within(self, step: str) -> ValueRefused:
        """Return the same refusal, as of the value that holds this one."""
        return ValueRefused(str(self), step + self.path, hint=self.hint)


PLAIN_NUMBER: Final = "a number has the digits 0 to 9, a point before its fraction, and nothing else between: 1234.5"

Convert = Callable[[Any], Any]
"""Converts a value; raises ValueRefused."""


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueRefused(f"{said(value)} is not text")
    return str(value)


def _null(value: Any) -> None:
    if value is not None:
        raise ValueRefused(f"{said(value)} is not null")


def _boolean(value: Any) -> bool:
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueRefused(f"{said(value)} is neither true nor false")


def _number(value: Any, words: str) -> Decimal:
    if not isinstance(value, bool):
        if isinstance(value, int | float | Decimal):
            return Decimal(str(value))
        if isinstance(value, str):
            try:
                return parse_number(value.strip())
            except ValueError:
                raise ValueRefused(f"{said(value)} is not {words}", hint=_number_hint(value, words)) from None
    raise ValueRefused(f"{said(value)} is not {words}")


def number_for_people(text: str) -> bool:
    """Return whether a text is a number for people, such as 1_000 or 3,50, and none by `parse_number`."""
    return _GROUPED.fullmatch(text.strip()) is not None and not _is_number(text.strip())


def _is_number(text: str) -> bool:
    try:
        parse_number(text)
    except ValueError:
        return False
    return True


def _number_hint(text: str, words: str) -> str | None:
    if number_for_people(text):
        return PLAIN_NUMBER
    if words == "a number" and text.strip().lower().lstrip("+-") in _NO_NUMBER:
        return 'if it is meant, a JSON file has it as text: "NaN", "Infinity", "-Infinity"'
    return None


def _integer(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is str and _INT.fullmatch(value):
        return int(value)
    number = _number(value, "a whole number")
    if not number.is_finite() or number != number.to_integral_value():
        raise ValueRefused(f"{said(value)} is not a whole number")
    if number.adjusted() > _DIGITS:  # 1e999999999 would be a gigabyte of digits
        raise ValueRefused(f"{said(value)} is out of range")
    return int(number)


def _double(value: Any) -> float:
    """Convert a value of JSON."""
    if type(value) is float:
        return value
    if isinstance(value, str) and value in {"NaN", "Infinity", "-Infinity"}:
        return float(value)
    return _finite(value)


def _finite(value: Any) -> float:
    if type(value) is str and _SHORT.fullmatch(value):
        return float(value)
    number = _number(value, "a number")
    result = float(number)
    if math.isinf(result):
        raise ValueRefused(f"{said(value)} is out of range")
    if loses_digits(number, result):
        raise ValueRefused(
            f"{said(value)} would lose digits: a double holds {Decimal(repr(result)):f}",
            hint="a long, a decimal or a string holds all digits",
        )
    return result


def _single(value: Any, double: Callable[[Any], float]) -> float:
    result = double(value)
    try:
        (single,) = struct.unpack("<f", struct.pack("<f", result))
    except OverflowError:
        raise ValueRefused(f"{said(value)} is out of range of single precision") from None
    if math.isfinite(result) and loses_digits(_number(value, "a number"), single):
        raise ValueRefused(
            f"{said(value)} would lose digits: a float holds {Decimal(repr(single)):f}",
            hint="a double, a long or a string holds more digits",
        )
    return result


def _decimal(value: Any) -> Decimal:
    number = _number(value, "a number")
    if not number.is_finite():
        raise ValueRefused(f"{said(value)} is not a number")
    return number


def symbol(value: Any, symbols: list[str]) -> str:
    """Return the value as a symbol of an enum."""
    if value in symbols:
        return str(value)
    near = nearest(str(value), symbols) or next((each for each in symbols if each.lower() == str(value).lower()), None)
    raise ValueRefused(f"{said(value)} is none of {', '.join(symbols)}" + (f"; did you mean {near!r}?" if near else ""))


def octets(value: Any) -> bytes:
    """Return the bytes of base64 text."""
    if isinstance(value, bytes):
        return value
    try:
        return b64decode(_text(value), validate=True)
    except ValueError:
        raise ValueRefused(f"{said(value)} is not base64") from None


def _uuid(value: Any) -> UUID:
    try:
        return parse_uuid(_text(value).strip())
    except ValueError:
        raise ValueRefused(f"{said(value)} is not a UUID") from None


def _timestamp(value: Any, unit: timedelta) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and not _COUNT.fullmatch(value.strip()):
        try:
            return loose_instant(value)
        except ValueError as error:
            raise ValueRefused(str(error)) from None
    try:
        return _EPOCH + unit * _integer(value)
    except OverflowError:
        raise ValueRefused(f"{said(value)} is a time that no calendar has") from None


_LOCAL: Final = (
    "a local timestamp is the time on a clock of no zone; a field whose values have one is a `timestamp-millis`"
)


def _local(value: Any, unit: timedelta) -> datetime:
    if isinstance(value, str) and not _COUNT.fullmatch(value.strip()):
        try:
            return loose_local(value)
        except ValueError as error:
            raise ValueRefused(str(error), hint=_LOCAL) from None
    return _timestamp(value, unit).replace(tzinfo=None)


def _date(value: Any) -> date:
    if isinstance(value, date):
        return value
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return (_EPOCH + timedelta(days=value)).date()
        return day(_text(value).strip().replace("/", "-"))
    except (ValueError, OverflowError):
        raise ValueRefused(f"{said(value)} is no date; write 2001-02-03") from None


def _time(value: Any, unit: timedelta) -> time:
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            moment = _EPOCH + unit * value
            if moment.date() != _EPOCH.date():
                raise ValueError
            return moment.time()
        return time_of_day(_text(value).strip())
    except (ValueError, OverflowError):
        raise ValueRefused(f"{said(value)} is no time of day; write 13:05:00") from None


_OF_JSON: Final[dict[str, Convert]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _integer,
    "long": _integer,
    "float": partial(_single, double=_double),
    "double": _double,
    "string": _text,
    "bytes": octets,
}
_OF_CELLS: Final[dict[str, Convert]] = _OF_JSON | {"float": partial(_single, double=_finite), "double": _finite}
LOGICAL: Final[dict[str, Convert]] = {
    "timestamp-millis": partial(_timestamp, unit=_MILLI),
    "timestamp-micros": partial(_timestamp, unit=_MICRO),
    "local-timestamp-millis": partial(_local, unit=_MILLI),
    "local-timestamp-micros": partial(_local, unit=_MICRO),
    "date": _date,
    "time-millis": partial(_time, unit=_MILLI),
    "time-micros": partial(_time, unit=_MICRO),
    "decimal": _decimal,
    "uuid": _uuid,
}
"""The converters of logical types."""
EXACT: Final[dict[str, tuple[type[Any], ...]]] = {
    "boolean": (bool,),
    "int": (int,),
    "long": (int,),
    "float": (float, Decimal),
    "double": (float, Decimal),
    "string": (str,),
}
"""The Python types whose values a branch of a union holds as they are."""


def plain(form: Format) -> dict[str, Convert]:
    """Return the converters of the primitive types, for values of a file of that format."""
    return _OF_CELLS if form is Format.CSV else _OF_JSON
