"""Maps rows of a file to records of a schema: each value is converted to its field's type, or refused with the reason."""

from __future__ import annotations

import json
import math
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Final
from uuid import UUID

from meshport.address import nearest
from meshport.errors import EncodeError
from meshport.files.ingest import STRICT_JSON, Row, said
from meshport.schema import Schema
from meshport.schema.canonical import qualified

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLI: Final = timedelta(milliseconds=1)
_MICRO: Final = timedelta(microseconds=1)
# So many digits are neither a year nor a compact date: they count the field's unit since 1970, as a JSON number does.
_COUNT: Final = re.compile(r"[+-]?[0-9]{9,}", re.ASCII)
_DIGITS: Final = 20
_TRUE: Final = frozenset({"true", "yes", "1", "t", "y"})
_FALSE: Final = frozenset({"false", "no", "0", "f", "n"})


class RowMapper:
    """Turns rows into records of one schema.

    Text is converted to the field's type: numbers, booleans, times (RFC 3339 or the like, `2001/01/31 13:05` too; UTC where
    they have no zone), decimals, UUIDs. A bare number for a time counts the field's unit since 1970. Lists, maps and records
    are JSON, bytes are base64, as `tail` shows them. A field without a column takes its default, else null; so does a field
    that is not nullable and whose value is null.

    Args:
        schema: the port's.
        ignore_unknown: whether columns that the schema does not have are left out, instead of refused.
    """

    def __init__(self, schema: Schema, *, ignore_unknown: bool = False) -> None:
        self._names = schema.field_names
        self._known = frozenset(self._names)
        self._ignore_unknown = ignore_unknown
        self._fields = _Converters().fields(schema.fields)

    def record(self, row: Row) -> dict[str, Any]:
        """Return the row as a record.

        Raises:
            EncodeError: a value does not fit its field, a column is unknown, or a field without a default has no value.
        """
        values = row.values
        if not self._ignore_unknown and not self._known.issuperset(values):
            name = next(each for each in values if each not in self._known)
            near = nearest(str(name), list(self._names))
            raise EncodeError(
                f"the schema has no field {name!r}",
                field=str(name),
                hint=f"did you mean {near!r}?"
                if near
                else f"its fields: {', '.join(self._names)}; --ignore-unknown leaves the others out",
            )
        return _record(values, self._fields)


class _ValueRefused(ValueError):  # noqa: N818 - names a verdict
    """Raised for a value that does not fit its field; `path` leads to it within the field."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


_Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    convert: _Convert
    has_default: bool
    nullable: bool


class _Converters:
    """Creates the converters of a schema's types; that of a named type once, at its definition."""

    def __init__(self) -> None:
        self._named: dict[str, _Convert] = {}

    def fields(self, fields: Iterable[Mapping[str, Any]]) -> tuple[_Field, ...]:
        return tuple(
            _Field(str(each["name"]), self.of(each["type"]), "default" in each, _nullable(each["type"]))
            for each in fields
        )

    def of(self, kind: Any) -> _Convert:
        if isinstance(kind, list):
            return self._union(kind)
        if isinstance(kind, str):
            if kind in _PLAIN:
                return _PLAIN[kind]
            # Looked up when a value is converted: a type may contain itself.
            return lambda value: self._named[kind](value)  # noqa: PLW0108 - looked up late
        logical, name = str(kind.get("logicalType")), kind["type"]
        if isinstance(name, dict | list):
            return self.of(name)
        convert = _LOGICAL.get(logical) or self._complex(name, kind)
        if "name" in kind:
            self._named[qualified(kind)] = convert
        return convert

    def _complex(self, name: str, kind: Mapping[str, Any]) -> _Convert:
        match name:
            case "enum":
                symbols = [str(each) for each in kind["symbols"]]
                return lambda value: _symbol(value, symbols)
            case "fixed":
                return _bytes
            case "array":
                item = self.of(kind["items"])
                return lambda value: [
                    _within(f"[{index}]", item, each) for index, each in enumerate(_json(value, list, "a list"))
                ]
            case "map":
                each_value = self.of(kind["values"])
                return lambda value: {
                    str(key): _within(f".{key}", each_value, each)
                    for key, each in _json(value, dict, "an object").items()
                }
            case "record" | "error":
                made: list[tuple[_Field, ...]] = []
                self._named[qualified(kind)] = lambda value: _nested(_json(value, dict, "an object"), made[0])
                made.append(self.fields(kind["fields"]))
                return self._named[qualified(kind)]
        return self.of(name)

    def _union(self, branches: list[Any]) -> _Convert:
        exact: dict[type[Any], _Convert] = {}
        converters: list[_Convert] = []
        for branch in branches:
            if branch == "null":
                continue
            of_branch = self.of(branch)
            converters.append(of_branch)
            for python in _EXACT.get(branch if isinstance(branch, str) else "", ()):
                exact.setdefault(python, of_branch)
        nullable = _nullable(branches)

        def convert(value: Any) -> Any:
            if value is None and nullable:
                return None
            # A value takes the branch of its own Python type, if there is one; else the first branch that it fits.
            reasons = []
            for converter in [*filter(None, [exact.get(type(value))]), *converters]:
                try:
                    return converter(value)
                except _ValueRefused as error:
                    reasons.append(error)
            if len(converters) == 1:
                raise reasons[-1]
            raise _ValueRefused("; ".join(dict.fromkeys(str(each) for each in reasons)))

        return convert


def _nullable(kind: Any) -> bool:
    return kind == "null" or (isinstance(kind, list) and "null" in kind)


def _record(values: Mapping[str, Any], fields: tuple[_Field, ...]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for field in fields:
        value = values.get(field.name)
        if value is None and field.has_default and not (field.nullable and field.name in values):
            continue
        if value is None and not field.nullable:
            raise EncodeError(
                "the field has no value and no default", field=field.name, hint="every record has to give it one"
            )
        try:
            record[field.name] = field.convert(value)
        except _ValueRefused as error:
            raise EncodeError(str(error), field=field.name + error.path) from error
    return record


def _nested(value: Mapping[str, Any], fields: tuple[_Field, ...]) -> dict[str, Any]:
    known = [field.name for field in fields]
    if extra := next((name for name in value if name not in known), None):
        near = nearest(extra, known)
        raise _ValueRefused("the schema has no such field" + (f"; did you mean {near!r}?" if near else ""), f".{extra}")
    try:
        return _record(value, fields)
    except EncodeError as error:
        raise _ValueRefused(error.message, f".{error.field}") from error


def _within(step: str, convert: _Convert, value: Any) -> Any:
    try:
        return convert(value)
    except _ValueRefused as error:
        raise _ValueRefused(str(error), step + error.path) from error


def _json(value: Any, kind: type[Any], words: str) -> Any:
    parsed = value
    if isinstance(value, str):
        try:
            parsed = json.loads(value, **STRICT_JSON)
        except (ValueError, RecursionError):
            raise _ValueRefused(f"{said(value)} is not {words} in JSON") from None
    if not isinstance(parsed, kind):
        raise _ValueRefused(f"{said(value)} is not {words}")
    return parsed


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise _ValueRefused(f"{said(value)} is not text")
    return str(value)


def _null(value: Any) -> None:
    if value is not None:
        raise _ValueRefused(f"{said(value)} is not null")


def _boolean(value: Any) -> bool:
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise _ValueRefused(f"{said(value)} is neither true nor false")


def _number(value: Any, words: str) -> Decimal:
    if not isinstance(value, bool) and isinstance(value, str | int | float | Decimal):
        try:
            return Decimal(str(value))
        except InvalidOperation:
            pass
    raise _ValueRefused(f"{said(value)} is not {words}")


def _integer(value: Any) -> int:
    if type(value) is int:
        return value
    number = _number(value, "a whole number")
    if not number.is_finite() or number != number.to_integral_value():
        raise _ValueRefused(f"{said(value)} is not a whole number")
    if number.adjusted() > _DIGITS:  # 1e999999999 would be a gigabyte of digits
        raise _ValueRefused(f"{said(value)} is out of range")
    return int(number)


def _double(value: Any) -> float:
    if type(value) is float:
        return value
    if isinstance(value, str) and value.strip().lower() in {"nan", "infinity", "-infinity"}:
        return float(value)
    number = _number(value, "a number")
    result = float(number)
    if math.isinf(result) and not number.is_infinite():
        raise _ValueRefused(f"{said(value)} is out of range")
    return result


def _decimal(value: Any) -> Decimal:
    number = _number(value, "a number")
    if not number.is_finite():
        raise _ValueRefused(f"{said(value)} is not a number")
    return number


def _symbol(value: Any, symbols: list[str]) -> str:
    if value in symbols:
        return str(value)
    near = nearest(str(value), symbols) or next((each for each in symbols if each.lower() == str(value).lower()), None)
    raise _ValueRefused(
        f"{said(value)} is none of {', '.join(symbols)}" + (f"; did you mean {near!r}?" if near else "")
    )


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return b64decode(_text(value), validate=True)
    except ValueError:
        raise _ValueRefused(f"{said(value)} is not base64") from None


def _uuid(value: Any) -> UUID:
    try:
        return UUID(_text(value))
    except ValueError:
        raise _ValueRefused(f"{said(value)} is not a UUID") from None


def parse_time(text: str) -> datetime:
    """Parse a time: RFC 3339, also with `/` for `-` and without seconds; UTC where it has no zone.

    Raises:
        ValueError: the text is no time.
    """
    try:
        parsed = datetime.fromisoformat(text.strip().replace("/", "-"))
    except ValueError:
        raise ValueError(f"{text!r} is no time; write 2001-02-03T04:05:06Z") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _timestamp(value: Any, unit: timedelta) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and not _COUNT.fullmatch(value.strip()):
        try:
            return parse_time(value)
        except ValueError as error:
            raise _ValueRefused(str(error)) from None
    try:
        return _EPOCH + unit * _integer(value)
    except OverflowError:
        raise _ValueRefused(f"{said(value)} is a time that no calendar has") from None


def _local(value: Any, unit: timedelta) -> datetime:
    return _timestamp(value, unit).replace(tzinfo=None)


def _date(value: Any) -> date:
    if isinstance(value, date):
        return value
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return (_EPOCH + timedelta(days=value)).date()
        return date.fromisoformat(_text(value).strip().replace("/", "-"))
    except (ValueError, OverflowError):
        raise _ValueRefused(f"{said(value)} is no date; write 2001-02-03") from None


def _time(value: Any, unit: timedelta) -> time:
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            moment = _EPOCH + unit * value
            if moment.date() != _EPOCH.date():
                raise ValueError
            return moment.time()
        return time.fromisoformat(_text(value).strip())
    except (ValueError, OverflowError):
        raise _ValueRefused(f"{said(value)} is no time of day; write 13:05:00") from None


_PLAIN: Final[dict[str, _Convert]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _integer,
    "long": _integer,
    "float": _double,
    "double": _double,
    "string": _text,
    "bytes": _bytes,
}
_LOGICAL: Final[dict[str, _Convert]] = {
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
# The Python types whose values a branch of a union holds as they are.
_EXACT: Final[dict[str, tuple[type[Any], ...]]] = {
    "boolean": (bool,),
    "int": (int,),
    "long": (int,),
    "float": (float, Decimal),
    "double": (float, Decimal),
    "string": (str,),
}
