"""Whether the key and the time of a port can be taken from its contract, before the first event shows that they cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshport.address import nearest
from meshport.codec.logical import kind_of
from meshport.product import OutputPort
from meshport.schema import Schema

_NESTED: Final = frozenset({"record", "error", "array", "map"})


@dataclass(frozen=True, slots=True)
class FieldMisfit:
    """A field of the key, or the time, that no event can give.

    Attributes:
        role: `key` or `time`.
        field: the field that the port names.
        message: what is wrong, in one sentence.
        hint: what would be right.
    """

    role: str
    field: str
    message: str
    hint: str


def misfits(port: OutputPort, schema: Schema) -> Iterator[FieldMisfit]:
    """Yield the fields of a port's key and time that its contract lacks, or whose type cannot be a key or a time.

    A key is made of plain values (`meshport.event.record.record_key`). A time is a timestamp, a date, a long of
    milliseconds or RFC 3339 text (`meshport.event.record.event_time`).
    """
    types = {field["name"]: field["type"] for field in schema.fields}
    for role, name in (*(("key", each) for each in port.key_fields), *([("time", port.time)] if port.time else [])):
        if name not in types:
            near = nearest(name, list(types))
            hint = f"did you mean {near!r}?" if near else f"its fields: {', '.join(types)}"
            yield FieldMisfit(role, name, f"the {role} field {name!r} is not in {schema.name}", hint)
            continue
        values = kinds_of(types[name], schema)
        if not values:
            message = f"the {role} field {name!r} is always null, so that no event has a {role}"
            yield FieldMisfit(role, name, message, f"take another field as the {role}, or give {name!r} a type")
        elif role == "key" and all(each in _NESTED for each in values):
            message = f"the key field {name!r} is {article(values)}, and a key is made of plain values"
            hint = "a field of the record cannot be a key where it is: add a plain field that identifies the event's subject"
            yield FieldMisfit(role, name, message, hint)
        elif role == "time" and not any(map(_holds_times, values)):
            message = f"the time field {name!r} is {article(values)}, which holds no times"
            hint = "a time is a timestamp, a date, a long of milliseconds or text in RFC 3339 (2001-02-03T04:05:06Z)"
            yield FieldMisfit(role, name, message, hint)


def kinds_of(form: Any, schema: Schema) -> list[str]:
    """Return the kinds of a field's type without null: `string`, `record`, `long-timestamp-millis`; none if it is always null.

    Args:
        form: the type, a union of types or the name of one.
        schema: which has the field.
    """
    kinds = [_kind(each, schema) for each in (form if isinstance(form, list) else [form])]
    return [each for each in kinds if each != "null"]


def _holds_times(kind: str) -> bool:
    return kind in {"string", "long", "int-date"} or kind.startswith(("long-timestamp-", "long-local-timestamp-"))


def _kind(form: Any, schema: Schema) -> str:
    """Return the kind of one branch of a type; a name is looked up."""
    if isinstance(form, str):
        found: Mapping[str, Any] | None = next((each for each in _defined(schema.form) if each["name"] == form), None)
        form = form if found is None else found
    return kind_of(form)


def _defined(form: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every named type that a schema defines."""
    stack = [form]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(each)
        elif isinstance(each, dict):
            if "name" in each:
                yield each
            stack.extend(each[key] for key in ("items", "values") if key in each)
            stack.extend(field["type"] for field in each.get("fields", ()))


def article(kinds: list[str]) -> str:
    """Return kinds in words: `a string`, `an array or a date`; `always null` of none."""
    words = [each.partition("-")[2] or each for each in dict.fromkeys(kinds)]
    if not words:
        return "always null"
    return " or ".join(f"{'an' if each[0] in 'aeiou' else 'a'} {each}" for each in words)
