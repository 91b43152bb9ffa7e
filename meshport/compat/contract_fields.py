"""The fields of a contract as a table that people read: each with its type in words, its doc and its classification."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from meshport.compat.forms import Form, form_of, inner, is_named, named_types
from meshport.schema import Schema

MOST_FIELDS: Final = 20_000
"""Fields of one table. The largest contract that was looked at has some thousand."""
_SYMBOLS: Final = 12  # of an enum, before the rest is counted only
_DEEPEST: Final = 6  # types within each other, in the words of one field

_WORDS: Final = {
    "null": "null",
    "boolean": "true or false",
    "int": "whole number (32 bits)",
    "long": "whole number (64 bits)",
    "float": "number (32 bits)",
    "double": "number (64 bits)",
    "bytes": "bytes",
    "string": "text",
}
_LOGICAL: Final = {
    "date": "day",
    "time-millis": "time of day, in milliseconds",
    "time-micros": "time of day, in microseconds",
    "timestamp-millis": "instant, in milliseconds",
    "timestamp-micros": "instant, in microseconds",
    "timestamp-nanos": "instant, in nanoseconds",
    "local-timestamp-millis": "local date and time, in milliseconds",
    "local-timestamp-micros": "local date and time, in microseconds",
    "local-timestamp-nanos": "local date and time, in nanoseconds",
    "uuid": "UUID",
    "duration": "duration",
}


class ContractField(BaseModel):
    """One field of a contract.

    Attributes:
        path: its name; within a record the path that leads to it, with dots.
        type: its type in words: `text or null`, `list of whole number (64 bits)`.
        doc: what its author says of it.
        optional: whether it may be null.
        default: the default as JSON text; None where it has none.
        polyseme: the identifier that it shares with other products; None where it is none.
        classification: how sensitive it is, where the schema declares that of the field (`"classification"` of the field or of
            its type); None leaves it to the product.
        symbols: those of its enum, in order; empty for other types.
        aliases: the former names that the schema declares.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str
    type: str
    doc: str = ""
    optional: bool = False
    default: str | None = None
    polyseme: str | None = None
    classification: str | None = None
    symbols: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


def contract_fields(schema: Schema) -> tuple[ContractField, ...]:
    """Return the fields of a contract in its order, each record followed by the fields within it.

    A named record is spelled out where it is first used. A schema that is no record has one field without a path.

    Args:
        schema: the contract; of more than `MOST_FIELDS` fields the first ones are returned.
    """
    return tuple(_Table(schema))


def type_in_words(form: Any, named: Mapping[str, Form]) -> str:
    """Return a type in words.

    Args:
        form: the type, in canonical form.
        named: the named types that it may refer to.
    """
    return _words(form, named, 0)


def _words(form: Any, named: Mapping[str, Form], depth: int) -> str:
    each = form_of(form, named)
    kind = each["type"]
    if depth > _DEEPEST:
        return "..."
    if kind == "union":
        branches = sorted(each["branches"], key=lambda branch: form_of(branch, named)["type"] == "null")
        return " or ".join(_words(branch, named, depth + 1) for branch in branches) or "nothing"
    if not isinstance(kind, str):
        return _words(kind, named, depth + 1)
    if kind == "array":
        return f"list of {_grouped(_words(each['items'], named, depth + 1))}"
    if kind == "map":
        return f"map from text to {_grouped(_words(each['values'], named, depth + 1))}"
    logical = each.get("logicalType")
    if logical == "decimal":
        return f"decimal number of up to {each.get('precision')} digits, {each.get('scale', 0)} of them after the point"
    if logical in _LOGICAL:
        return _LOGICAL[logical]
    if kind == "enum":
        shown = ", ".join(each["symbols"][:_SYMBOLS])
        rest = len(each["symbols"]) - _SYMBOLS
        return f"one of {shown}" + (f" and {rest} more" if rest > 0 else "")
    if kind == "fixed":
        return f"{each['size']} bytes"
    if is_named(each):
        return f"record {each['name'].rpartition('.')[2]}"
    return _WORDS.get(kind, kind)


def _grouped(words: str) -> str:
    return f"({words})" if " or " in words and words != _WORDS["boolean"] else words


class _Table:
    """Yields the fields of a schema; each named record is entered once, so that shared types cannot make it explode."""

    def __init__(self, schema: Schema) -> None:
        self._form = schema.form
        self._named = named_types(self._form)
        self._entered: set[str] = set()
        self._left = MOST_FIELDS

    def __iter__(self) -> Iterator[ContractField]:
        records = list(self._records(self._form))
        if not records:
            yield self._field("", {"type": self._form})
        for record in records:
            yield from self._within(record, "")

    def _within(self, record: Form, path: str) -> Iterator[ContractField]:
        for field in record["fields"]:
            if self._left <= 0:
                return
            self._left -= 1
            at = inner(path, field["name"])
            yield self._field(at, field)
            for each in self._records(field["type"]):
                yield from self._within(each, at)

    def _records(self, form: Any) -> Iterator[Form]:
        """Yield the records in a type that were not entered yet, and note them as entered."""
        each = form_of(form, self._named)
        match each["type"]:
            case "union":
                for branch in each["branches"]:
                    yield from self._records(branch)
            case "array":
                yield from self._records(each["items"])
            case "map":
                yield from self._records(each["values"])
            case "record" | "error" if each["name"] not in self._entered:
                self._entered.add(each["name"])
                yield each

    def _field(self, path: str, field: Mapping[str, Any]) -> ContractField:
        value = self._value(field["type"])
        return ContractField(
            path=path,
            type=type_in_words(field["type"], self._named),
            doc=str(field.get("doc", "")),
            optional=self._optional(field["type"]),
            default=json.dumps(field["default"], ensure_ascii=False) if "default" in field else None,
            polyseme=_text(value.get("polyseme")),
            classification=_text(field.get("classification")) or _text(value.get("classification")),
            symbols=tuple(value.get("symbols", ())) if value["type"] == "enum" else (),
            aliases=tuple(field.get("aliases", ())),
        )

    def _value(self, form: Any) -> Form:
        """Return the type of a field's values: that beside null, or of the items of a list or map."""
        each = form_of(form, self._named)
        if each["type"] == "union":
            branches = [one for one in each["branches"] if form_of(one, self._named)["type"] != "null"]
            return self._value(branches[0]) if len(branches) == 1 else each
        for key in ("items", "values"):
            if each["type"] in {"array", "map"} and key in each:
                return self._value(each[key])
        return each

    def _optional(self, form: Any) -> bool:
        each = form_of(form, self._named)
        if each["type"] == "union":
            return any(form_of(branch, self._named)["type"] == "null" for branch in each["branches"])
        return bool(each["type"] == "null")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
