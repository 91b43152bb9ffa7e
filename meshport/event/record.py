"""The key and the event time of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from meshport.codec.logical import kind_of
from meshport.codec.single import single
from meshport.errors import PublishError
from meshport.rfc3339 import loose_instant
from meshport.schema import Schema
from meshport.schema.logical import logical_type

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLI: Final = timedelta(milliseconds=1)
_UNITS: Final = {"timestamp-micros": timedelta(microseconds=1), "date": timedelta(days=1)}


def record_key(fields: tuple[str, ...], schema: Schema | None = None) -> Callable[[Mapping[str, Any]], bytes | None]:
    """Return a function that makes the key of a record: the field's text in UTF-8, several fields joined by `|`.

    A key is text, so that every Kafka tool shows it and clients in other languages hash it to the same partition. In a joined
    key, `|` and backslash within a field are escaped by a backslash, so that different fields give different keys. An instant
    is written in UTC (`2001-02-03T04:05:06Z`), a local timestamp without a zone (`2001-02-03T04:05:06`).

    Args:
        fields: the key fields.
        schema: of the records, where they may hold numbers that are not of their types yet. The key of 0.1 in a `float` field
            is that of 0.10000000149011612, which a reader gets. None for records that were decoded.
    """
    numbers = _floating(fields, schema) if schema is not None else {}
    if numbers:
        key_of = record_key(fields)
        return lambda record: key_of({each: _as_read(record.get(each), numbers.get(each)) for each in fields})
    if not fields:
        return lambda _: None
    if len(fields) == 1:
        name = fields[0]

        def only(record: Mapping[str, Any]) -> bytes:
            value = record.get(name)
            return value.encode() if type(value) is str and value else _key_text(name, value).encode()

        return only
    return lambda record: "|".join(_escaped(_key_text(name, record.get(name))) for name in fields).encode()


def retraction_key(fields: tuple[str, ...], schema: Schema) -> Callable[[Mapping[str, Any]], bytes | None]:
    """Return `record_key` for the values of a tombstone, which no encoder checks.

    A naive datetime for an instant is refused: which instant it means would depend on the machine's time zone.
    """
    key_of = record_key(fields, schema)
    instants = [name for name in fields if (_logical_type(name, schema) or "").startswith("timestamp-")]

    def key(values: Mapping[str, Any]) -> bytes | None:
        for name in instants:
            value = values.get(name)
            if isinstance(value, datetime) and value.tzinfo is None:
                raise PublishError(
                    f"the key field {name!r} holds {value.isoformat()}, which has no zone",
                    field=name,
                    hint="datetime(..., tzinfo=UTC)",
                )
        return key_of(values)

    return key


def _logical_type(field: str, schema: Schema) -> str | None:
    return next((logical_type(each) for each in _branches(field, schema) if isinstance(each, dict)), None)


def _branches(field: str, schema: Schema) -> list[Any]:
    kind = next((each["type"] for each in schema.fields if each["name"] == field), None)
    return kind if isinstance(kind, list) else [kind]


def _floating(fields: tuple[str, ...], schema: Schema) -> dict[str, Callable[[float], float]]:
    """Return, for each field of nothing but a float or a double, the function that makes a number one."""
    found: dict[str, Callable[[float], float]] = {}
    for name in fields:
        kinds = {kind_of(each) for each in _branches(name, schema) if each is not None} - {"null"}
        if kinds == {"float"}:
            found[name] = single
        elif kinds == {"double"}:
            found[name] = float
    return found


def _as_read(value: Any, convert: Callable[[float], float] | None) -> Any:
    """Return a number as a reader gets it; another value, which the encoder refuses, as it is."""
    if convert is None or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    try:
        return convert(value)
    except OverflowError:
        return value


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _key_text(name: str, value: Any) -> str:
    match value:
        case None | "":
            raise PublishError(
                f"the key field {name!r} has no value", field=name, hint="an event of a keyed port needs its key"
            )
        case bool():
            return "true" if value else "false"
        case datetime() if value.tzinfo is None:
            # A local timestamp is no instant: it is written as it is, and no machine's zone has a part in it.
            return value.isoformat()
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case bytes():
            return value.hex()
        case dict() | list():
            raise PublishError(
                f"the key field {name!r} holds a {type(value).__name__}",
                field=name,
                hint="a key is made of plain values",
            )
        case _:
            return str(value)


def event_time(field: str | None, schema: Schema) -> Callable[[Mapping[str, Any]], datetime]:
    """Return a function that returns the event time of a record: its time field, or the current time without one."""
    if field is None:
        return lambda _: datetime.now(UTC)
    logical = str(_logical_type(field, schema))
    local = logical.startswith("local-")
    unit = _UNITS.get(logical.removeprefix("local-"), _MILLI)

    def time_of(record: Mapping[str, Any]) -> datetime:
        value = record.get(field)
        if isinstance(value, datetime):
            if value.tzinfo is None and not local:
                raise PublishError(
                    f"the time field {field!r} holds {value.isoformat()}, which has no zone",
                    field=field,
                    hint="datetime(..., tzinfo=UTC)",
                )
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, int) and not isinstance(value, bool):
            try:
                return _EPOCH + unit * value
            except OverflowError:
                raise PublishError(
                    f"the time field {field!r} holds {value}, which no calendar has",
                    field=field,
                    hint=f"in units of {unit}",
                ) from None
        if isinstance(value, str):
            try:
                return loose_instant(value)
            except ValueError as error:
                raise PublishError(
                    f"the time field {field!r}: {error}", field=field, hint="RFC 3339: 2001-02-03T04:05:06Z"
                ) from None
        raise PublishError(
            f"the time field {field!r} holds {value!r}",
            field=field,
            hint="the event needs the time at which its fact happened",
        )

    return time_of
