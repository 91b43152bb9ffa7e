"""Records from files: JSON lines and CSV, columns mapped by name to a port's schema."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, TextIO
from uuid import UUID

from meshport.address import nearest
from meshport.errors import EncodeError, MeshError
from meshport.schema import Schema

_EPOCH_UNITS: Final = {"timestamp-millis": 1000, "timestamp-micros": 1_000_000}
_TRUE: Final = frozenset({"true", "yes", "1", "t", "y"})
_FALSE: Final = frozenset({"false", "no", "0", "f", "n"})


class Format(StrEnum):
    """How a file holds its records."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Row:
    """One record as a file holds it.

    Attributes:
        line: 1-based line at which it begins.
        values: column to value; text only, where the file is CSV.
    """

    line: int
    values: Mapping[str, Any]


class LineRefused(MeshError, ValueError):  # noqa: N818 - names a verdict
    """Raised for a line that holds no record; `line` is its number."""

    def __init__(self, line: int, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"line {line}: {message}", hint=hint)
        self.line = line


def read_rows(stream: TextIO, form: Format) -> Iterator[Row | LineRefused]:
    """The rows of a file; a line that holds none comes as the error that says why, so that the caller may go on.

    CSV has a header line; an empty cell is null. Empty lines of JSON lines are passed over.
    """
    yield from _csv(stream) if form is Format.CSV else _jsonl(stream)


def _jsonl(stream: TextIO) -> Iterator[Row | LineRefused]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line, parse_float=_float)
        except (ValueError, RecursionError) as error:
            yield LineRefused(number, f"is no JSON: {error}")
            continue
        if isinstance(values, dict):
            yield Row(number, values)
        else:
            yield LineRefused(number, f"holds a {type(values).__name__}, not an object", hint='{"column": value, ...}')


def _float(text: str) -> float | Decimal:
    # A decimal column must not pass through binary floating point on its way; fields that take doubles convert back.
    value = float(text)
    return value if repr(value) == text else Decimal(text)


def _csv(stream: TextIO) -> Iterator[Row | LineRefused]:
    reader = csv.reader(stream, strict=True)
    try:
        header = next(reader, None)
        if not header:
            return
        if len(set(header)) < len(header):
            yield LineRefused(1, "names a column twice", hint="each column of the header maps to one field")
            return
        before = reader.line_num
        for cells in reader:
            line, before = before + 1, reader.line_num
            if not cells:
                continue
            if len(cells) != len(header):
                yield LineRefused(line, f"has {len(cells)} cells, the header {len(header)}")
                continue
            yield Row(line, {name: cell if cell != "" else None for name, cell in zip(header, cells, strict=True)})
    except csv.Error as error:
        yield LineRefused(reader.line_num, f"is no CSV: {error}")


class RowMapper:
    """Turns rows into records of one schema.

    Text becomes what the field takes: numbers, booleans, times (RFC 3339 or the like, `2001/01/31 13:05` too; without a
    zone they are UTC), decimals, UUIDs. A column that the row lacks takes the field's default, else null.

    Args:
        schema: of the port.
        ignore_unknown: columns that the schema does not have are left out; else they are refused.
    """

    def __init__(self, schema: Schema, *, ignore_unknown: bool = False) -> None:
        self._names = schema.field_names
        self._known = frozenset(self._names)
        self._ignore_unknown = ignore_unknown
        self._fields = tuple((str(each["name"]), _converter(each["type"]), "default" in each) for each in schema.fields)

    def record(self, row: Row) -> dict[str, Any]:
        """The row as a record.

        Raises:
            EncodeError: a column does not fit its field, is not known, or a field without a default has no value.
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
                else f"its fields: {', '.join(self._names)}; or ignore unknown columns",
            )
        record: dict[str, Any] = {}
        for name, convert, has_default in self._fields:
            if name in values and not (values[name] is None and has_default):
                try:
                    record[name] = convert(values[name])
                except (ValueError, TypeError, OverflowError, InvalidOperation) as error:
                    raise EncodeError(f"{error}", field=name) from error
            elif not has_default:
                try:
                    record[name] = convert(None)
                except ValueError as error:
                    raise EncodeError(f"the field has no value and no default ({error})", field=name) from error
        return record


def _converter(kind: Any) -> Callable[[Any], Any]:
    if isinstance(kind, list):
        return _union(kind)
    if isinstance(kind, str):
        kind = {"type": kind}
    logical = str(kind.get("logicalType"))
    name = str(kind["type"])
    match name, logical:
        case _, "timestamp-millis" | "timestamp-micros":
            return lambda value: _timestamp(value, _EPOCH_UNITS[logical])
        case _, "local-timestamp-millis" | "local-timestamp-micros":
            unit = _EPOCH_UNITS[logical.removeprefix("local-")]
            return lambda value: _timestamp(value, unit).replace(tzinfo=None)
        case _, "date":
            return _date
        case _, "time-millis" | "time-micros":
            return lambda value: (
                value if isinstance(value, int) else time.fromisoformat(_text(value, "a time (13:05:00)"))
            )
        case _, "decimal":
            return _decimal
        case _, "uuid":
            return lambda value: UUID(_text(value, "a UUID"))
        case "null", _:
            return _null
        case "boolean", _:
            return _boolean
        case "int" | "long", _:
            return _integer
        case "float" | "double", _:
            return _double
        case "string", _:
            return lambda value: _text(value, "text")
        case "enum", _:
            return lambda value: _symbol(value, kind["symbols"])
        case "bytes" | "fixed", _:
            return lambda value: value if isinstance(value, bytes) else _text(value, "text").encode("latin-1")
        case "array", _:
            item = _converter(kind["items"])
            return lambda value: [item(each) for each in _json(value, list, "a list")]
        case "map", _:
            item = _converter(kind["values"])
            return lambda value: {str(key): item(each) for key, each in _json(value, dict, "an object").items()}
        case "record" | "error", _:
            fields = [(str(each["name"]), _converter(each["type"]), "default" in each) for each in kind["fields"]]
            return lambda value: _record(_json(value, dict, "an object"), fields)
        case _:
            return lambda value: value


def _union(branches: list[Any]) -> Callable[[Any], Any]:
    converters = [_converter(branch) for branch in branches if branch != "null"]
    nullable = "null" in branches

    def convert(value: Any) -> Any:
        if value is None and nullable:
            return None
        reasons = []
        for converter in converters:
            try:
                return converter(value)
            except (ValueError, TypeError, OverflowError, InvalidOperation) as error:
                reasons.append(str(error))
        raise ValueError("; ".join(reasons))

    return convert


def _record(value: dict[str, Any], fields: list[tuple[str, Callable[[Any], Any], bool]]) -> dict[str, Any]:
    known = {name for name, _, _ in fields}
    if extra := [name for name in value if name not in known]:
        raise ValueError(f"no field {extra[0]!r} inside")
    return {name: convert(value.get(name)) for name, convert, has_default in fields if name in value or not has_default}


def _json(value: Any, kind: type[Any], words: str) -> Any:
    parsed = json.loads(value) if isinstance(value, str) else value
    if not isinstance(parsed, kind):
        raise TypeError(f"{value!r} is not {words}")
    return parsed


def _text(value: Any, words: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise TypeError(f"{value!r} is not {words}")
    return str(value)


def _null(value: Any) -> None:
    if value is not None:
        raise ValueError(f"{value!r} is not null")


def _boolean(value: Any) -> bool:
    word = str(value).lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(f"{value!r} is neither true nor false")


def _integer(value: Any) -> int:
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is not a whole number")
    number = Decimal(str(value))
    if number != number.to_integral_value():
        raise ValueError(f"{value!r} is not a whole number")
    return int(number)


def _double(value: Any) -> float:
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is not a number")
    return Decimal(str(value))


def _symbol(value: Any, symbols: list[str]) -> str:
    if value in symbols:
        return str(value)
    near = nearest(str(value), symbols)
    raise ValueError(f"{value!r} is none of {', '.join(symbols)}" + (f"; did you mean {near!r}?" if near else ""))


def parse_time(text: str) -> datetime:
    """A time as people write it: RFC 3339, with `/` for `-` and without seconds too; UTC where no zone is given.

    Raises:
        ValueError: the text is no time.
    """
    try:
        parsed = datetime.fromisoformat(text.strip().replace("/", "-"))
    except ValueError:
        raise ValueError(f"{text!r} is no time; write 2001-02-03T04:05:06Z") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _timestamp(value: Any, units: int) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value / units, UTC)
    if isinstance(value, str):
        return parse_time(value)
    raise ValueError(f"{value!r} is no time")


def _date(value: Any) -> date:
    if isinstance(value, date):
        return value
    return date.fromisoformat(_text(value, "a date (2001-02-03)").strip().replace("/", "-"))
