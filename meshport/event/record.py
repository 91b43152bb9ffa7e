"""The key and the event time of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from meshport.errors import PublishError
from meshport.event.stored import stored_values
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
        schema: of the records, where they hold values that are not stored yet. The key is that of the values that a reader
            gets: of 0.1 in a `float` field that of 0.10000000149011612, of 1 in a decimal of scale 2 that of 1.00. None for
            records that were decoded.
    """
    if not fields:
        return lambda _: None
    stored = stored_values(fields, schema) if schema is not None else {}
    if len(fields) == 1:
        name = fields[0]
        if convert := stored.get(name):
            return lambda record: _key_text(name, convert(record.get(name))).encode()

        def only(record: Mapping[str, Any]) -> bytes:
            value = record.get(name)
            return value.encode() if type(value) is str and value else _key_text(name, value).encode()

        return only
    if stored:
        texts = [(name, stored.get(name, _as_given)) for name in fields]
        return lambda record: "|".join(_escaped(_key_text(name, of(record.get(name)))) for name, of in texts).encode()
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


def _as_given(value: Any) -> Any:
    return value


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _key_text(name: str, value: Any) -> str:
    kind = type(value)
    if kind is int or (kind is str and value):  # most keys
        return str(value)
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
        case bytes() | bytearray():
            return value.hex()
        case str():  # of a subclass too, such as an enumeration
            return str.__str__(value)
        case int():  # as above
            return int.__repr__(value)
        case (str(), of_branch):  # the branch of a union and its value
            return _key_text(name, of_branch)
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
