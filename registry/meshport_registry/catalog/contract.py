"""A contract as people read it: every field with its type in words, its `doc`, its classification and its polyseme."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple

MOST_FIELDS: Final = 10_000
"""Fields of one contract that are walked; a schema of a megabyte, the most that is registered, has no more of any use."""
_DEEPEST: Final = 20
MAX_DOC: Final = 20_000
_SYMBOLS: Final = 12
_PRIMITIVES: Final = {
    "null": "nothing",
    "boolean": "yes or no",
    "int": "whole number",
    "long": "whole number",
    "float": "number",
    "double": "number",
    "bytes": "bytes",
    "string": "text",
}
_LOGICAL: Final = {
    "date": "date",
    "time-millis": "time of day, to the millisecond",
    "time-micros": "time of day, to the microsecond",
    "timestamp-millis": "time, to the millisecond",
    "timestamp-micros": "time, to the microsecond",
    "timestamp-nanos": "time, to the nanosecond",
    "local-timestamp-millis": "local time, to the millisecond",
    "local-timestamp-micros": "local time, to the microsecond",
    "local-timestamp-nanos": "local time, to the nanosecond",
    "uuid": "UUID",
    "duration": "length of time",
}


@dataclass(frozen=True, slots=True)
class FieldInWords:
    """One field of a contract.

    Attributes:
        path: its name, after those of the fields around it: `device.model`, `legs[].airport`, `prices{}.amount`.
        name: its own name.
        depth: the number of fields around it.
        type: in words.
        avro: its type as Avro names it.
        optional: whether it may have no value.
        doc: what it holds.
        default: whether a reader gets a default where the writer gives no value.
        classification: how sensitive it is, where it says so itself.
        polyseme: the global identifier that it is.
    """

    path: str
    name: str
    depth: int
    type: str
    avro: str
    optional: bool
    doc: str
    default: bool
    classification: str | None
    polyseme: str | None


class NamedField(NamedTuple):
    """One field of a contract, as it is found.

    Attributes:
        path: as that of `FieldInWords`.
        depth: the number of fields around it.
        form: the field, as JSON data.
    """

    path: str
    depth: int
    form: dict[str, Any]

    @property
    def name(self) -> str:
        """Its own name."""
        return str(self.form["name"])

    @property
    def doc(self) -> str:
        """What it holds; "" where the contract does not say."""
        return str(self.form.get("doc") or "")[:MAX_DOC]

    def attribute(self, name: str) -> str | None:
        """Return an attribute of the field, or of its type."""
        kind = self.form.get("type")
        for each in (self.form, *(kind if isinstance(kind, list) else (kind,))):
            if isinstance(each, dict) and isinstance(each.get(name), str):
                return str(each[name])
        return None


def named_fields(form: Any) -> Iterator[NamedField]:
    """Yield the fields of a schema, each before those inside of it; `MOST_FIELDS` at most.

    Args:
        form: the schema, as JSON data in canonical form.
    """
    return islice(_walk(form, "", 0, named_types(form), frozenset()), MOST_FIELDS)


def fields_of(form: Any) -> Iterator[FieldInWords]:
    """Yield the fields of a schema in words, each before those inside of it; `MOST_FIELDS` at most.

    Args:
        form: the schema, as JSON data in canonical form.
    """
    named = named_types(form)
    for each in named_fields(form):
        kind = each.form.get("type")
        yield FieldInWords(
            path=each.path,
            name=each.name,
            depth=each.depth,
            type=in_words(kind, named),
            avro=_avro(kind),
            optional=isinstance(kind, list) and "null" in kind,
            doc=each.doc,
            default="default" in each.form,
            classification=each.attribute("classification"),
            polyseme=each.attribute("polyseme"),
        )


def named_types(form: Any) -> dict[str, Any]:
    """Return the named types of a schema, without recursion: it may be nested as deeply as a schema can be."""
    named: dict[str, Any] = {}
    stack = [form]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(each)
        elif isinstance(each, dict):
            if (
                "name" in each
                and isinstance(each.get("type"), str)
                and each["type"] in {"record", "error", "enum", "fixed"}
            ):
                name, space = str(each["name"]), each.get("namespace")
                named.setdefault(f"{space}.{name}" if space and "." not in name else name, each)
            stack.extend(each[key] for key in ("items", "values") if key in each)
            stack.extend(field.get("type") for field in each.get("fields", ()))
            if isinstance(each.get("type"), dict | list):
                stack.append(each["type"])
    return named


def _walk(form: Any, prefix: str, depth: int, named: dict[str, Any], around: frozenset[str]) -> Iterator[NamedField]:
    record, name = _record(form, named), ""
    if record is None or depth > _DEEPEST or (name := str(record.get("name"))) in around:
        return
    for field in record.get("fields", ()):
        kind = field.get("type")
        path = f"{prefix}{field['name']}"
        yield NamedField(path, depth, field)
        yield from _walk(kind, f"{path}{_step(kind, named)}.", depth + 1, named, around | {name})


def _record(form: Any, named: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record that a type is, holds or may be."""
    for _ in range(_DEEPEST):
        if isinstance(form, list):
            form = next((each for each in form if each != "null" and _is_deep(each, named)), None)
        elif isinstance(form, str):
            form = named.get(form)
        elif isinstance(form, dict) and form.get("type") in {"record", "error"}:
            return form
        elif isinstance(form, dict):
            form = (
                form.get("items") or form.get("values") or (form["type"] if _is_deep(form.get("type"), named) else None)
            )
        if form is None:
            return None
    return None


def _is_deep(form: Any, named: dict[str, Any]) -> bool:
    return isinstance(form, dict | list) or (isinstance(form, str) and form in named)


def _step(form: Any, named: dict[str, Any]) -> str:
    """Return how a path goes into a type: `[]` into a list, `{}` into a map."""
    steps = ""
    for _ in range(_DEEPEST):
        if isinstance(form, list):
            form = next((each for each in form if each != "null" and _is_deep(each, named)), None)
        elif isinstance(form, dict) and form.get("type") == "array":
            steps, form = f"{steps}[]", form.get("items")
        elif isinstance(form, dict) and form.get("type") == "map":
            steps, form = f"{steps}{{}}", form.get("values")
        else:
            break
    return steps


def in_words(form: Any, named: dict[str, Any], depth: int = 0) -> str:
    """Return a type in words: `text`, `list of whole number`, `one of WEATHER, CREW`."""
    if depth > _DEEPEST:
        return "record"
    if isinstance(form, list):
        return (
            " or ".join(dict.fromkeys(in_words(each, named, depth + 1) for each in form if each != "null")) or "nothing"
        )
    if isinstance(form, str):
        return _PRIMITIVES.get(form) or (in_words(named[form], named, depth + 1) if form in named else form)
    if not isinstance(form, dict):
        return "unknown"
    kind = form.get("type")
    if (logical := form.get("logicalType")) == "decimal":
        scale = form.get("scale", 0)
        return f"decimal number, {scale} after the point" if scale else "decimal whole number"
    if isinstance(logical, str) and logical in _LOGICAL:
        return _LOGICAL[logical]
    if kind == "array":
        return f"list of {in_words(form.get('items'), named, depth + 1)}"
    if kind == "map":
        return f"map to {in_words(form.get('values'), named, depth + 1)}"
    if kind == "enum":
        symbols = [str(each) for each in form.get("symbols", ())]
        more = f" and {len(symbols) - _SYMBOLS} more" if len(symbols) > _SYMBOLS else ""
        return f"one of {', '.join(symbols[:_SYMBOLS])}{more}"
    if kind == "fixed":
        return f"{form.get('size')} bytes"
    if kind in {"record", "error"}:
        return f"record {str(form.get('name')).rpartition('.')[2]}"
    return in_words(kind, named, depth + 1)


def _avro(form: Any) -> str:
    """Return a type as Avro names it, without what is inside of it."""
    if isinstance(form, list):
        return " | ".join(_avro(each) for each in form)
    if isinstance(form, str):
        return form
    if not isinstance(form, dict):
        return "?"
    kind = form.get("type")
    name = form.get("logicalType") or (form.get("name") if kind in {"record", "enum", "fixed", "error"} else None)
    if kind in {"array", "map"}:
        return str(kind)
    return str(name) if name else _avro(kind)
