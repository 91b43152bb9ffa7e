"""A contract as every generator sees it: its records and enumerations by class name, and the types of their fields."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshport.codec.logical import kind_of
from meshport.errors import SchemaError
from meshport.schema import Schema
from meshport.schema.names import plain_spelling

__all__ = [
    "MISSING",
    "ContractTypes",
    "Enumeration",
    "Field",
    "ListOf",
    "MapOf",
    "Named",
    "OneOf",
    "RecordType",
    "Scalar",
    "Type",
    "camel",
    "documented",
    "one_line",
    "optional",
    "pascal",
]


class _Missing:
    """Stands for the default of a field that has none."""


MISSING: Final = _Missing()
"""The default of a field that has none; None is a default."""


@dataclass(frozen=True)
class Scalar:
    """A type without parts.

    Attributes:
        kind: Avro's name, with the logical type where there is one: `string`, `long-timestamp-millis`, `bytes-decimal`.
        scale: of a decimal.
        size: bytes of a `fixed`; 0 for others.
    """

    kind: str
    scale: int = 0
    size: int = 0


@dataclass(frozen=True)
class ListOf:
    """An array."""

    items: Type


@dataclass(frozen=True)
class MapOf:
    """A map; its keys are text."""

    values: Type


@dataclass(frozen=True)
class OneOf:
    """A union of two types or more.

    Attributes:
        branches: the types.
        names: the name of each in Avro's JSON notation: of its kind, or the full name of a named type.
    """

    branches: tuple[Type, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """A record or an enumeration of the contract, by its class name."""

    name: str


Type = Scalar | ListOf | MapOf | OneOf | Named


@dataclass(frozen=True)
class Field:
    """A field of a record.

    Attributes:
        name: in the contract.
        type: of its values.
        doc: one line; "" where there is none.
        default: as JSON data, or `MISSING`.
    """

    name: str
    type: Type
    doc: str
    default: Any


@dataclass(frozen=True)
class RecordType:
    """A record.

    Attributes:
        name: of its class.
        full_name: in the contract.
        doc: one line; "" where there is none.
        fields: in order.
    """

    name: str
    full_name: str
    doc: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Enumeration:
    """An enumeration; the attributes are those of `RecordType`, and its symbols in order."""

    name: str
    full_name: str
    doc: str
    symbols: tuple[str, ...]


class ContractTypes:
    """The types of one contract.

    Args:
        schema: of the contract; a record.
        reserved: names that no class may have; "Record" is appended to one.

    Attributes:
        root: the record of an event.
        records: all records, each before those that it is the first to use.
        enumerations: all enumerations.

    Raises:
        SchemaError: the schema is no record.
    """

    def __init__(self, schema: Schema, reserved: Collection[str] = ()) -> None:
        form = schema.form
        if not isinstance(form, dict) or form["type"] != "record":
            raise SchemaError(f"{schema.name} is no record, so there is no class of its values", hint="a record")
        self.schema: Final = schema
        self._definitions = {each["name"]: each for each in _definitions(form)}
        self._classes = _class_names(
            [name for name, each in self._definitions.items() if each["type"] != "fixed"], reserved
        )
        self.records: Final = tuple(
            self._record(each) for each in self._definitions.values() if each["type"] in {"record", "error"}
        )
        self.enumerations: Final = tuple(
            Enumeration(self._classes[name], name, one_line(each.get("doc", "")), tuple(each["symbols"]))
            for name, each in self._definitions.items()
            if each["type"] == "enum"
        )
        self.root: Final = self.records[0]

    def record(self, name: str) -> RecordType | None:
        """Return the record of a class name; None where that is an enumeration."""
        return next((each for each in self.records if each.name == name), None)

    @property
    def is_recursive(self) -> bool:
        """Whether a record contains itself, directly or through others."""
        uses = {each.name: {used for field in each.fields for used in _names(field.type)} for each in self.records}
        reached = dict(uses)
        for _ in uses:
            reached = {
                name: found.union(*(reached.get(each, set()) for each in found)) for name, found in reached.items()
            }
        return any(name in found for name, found in reached.items())

    def _record(self, form: dict[str, Any]) -> RecordType:
        fields = tuple(
            Field(each["name"], self._type(each["type"]), one_line(each.get("doc", "")), each.get("default", MISSING))
            for each in form["fields"]
        )
        name = form["name"]
        return RecordType(self._classes[name], name, one_line(form.get("doc", "")), fields)

    def _type(self, form: Any) -> Type:
        if isinstance(form, list):
            return OneOf(tuple(map(self._type, form)), tuple(map(_branch_name, form)))
        if isinstance(form, str):
            found = self._definitions.get(form)
            return Scalar(form) if found is None else self._type(found)
        kind = kind_of(form)
        match kind:
            case "array":
                return ListOf(self._type(form["items"]))
            case "map":
                return MapOf(self._type(form["values"]))
            case "record" | "error" | "enum":
                return Named(self._classes[form["name"]])
        return Scalar(kind, form.get("scale", 0) if kind.endswith("-decimal") else 0, form.get("size", 0))


def optional(kind: Type) -> Type | None:
    """Return the type of a union of null and one other type; None for every other type."""
    if isinstance(kind, OneOf) and len(kind.branches) == 2 and Scalar("null") in kind.branches:
        return next(each for each in kind.branches if each != Scalar("null"))
    return None


def _branch_name(form: Any) -> str:
    if isinstance(form, dict):
        return str(form.get("name", form["type"]))
    return str(form)


def one_line(text: Any) -> str:
    """Return other people's text as one line without control characters, which a comment of any language can hold."""
    seen = "".join(" " if unicodedata.category(each) in {"Cc", "Cf", "Zl", "Zp", "Cs"} else each for each in str(text))
    return " ".join(seen.split())


def documented(form: Any, escapes: Mapping[str, str]) -> Any:
    """Return a schema whose documentation a compiler can write into comments.

    Args:
        form: of the schema, as JSON. Defaults stay as they are.
        escapes: what ends a comment of the language, or stands for something else in it, and what is written instead.
    """
    if isinstance(form, list):
        return [documented(each, escapes) for each in form]
    if not isinstance(form, dict):
        return form
    copy = {name: each if name == "default" else documented(each, escapes) for name, each in form.items()}
    if isinstance(copy.get("doc"), str):
        text = one_line(form["doc"])
        for found, written in escapes.items():
            text = text.replace(found, written)
        copy["doc"] = text
    return copy


def pascal(name: str) -> str:
    """Return a name as one of a class or an exported field: `play_id` becomes `PlayId`."""
    words = [each for each in plain_spelling(name).split("_") if each]
    joined = "".join(each[:1].upper() + each[1:] for each in words)
    return f"N{joined}" if joined[:1].isdigit() else joined or "Name"


def camel(name: str) -> str:
    """Return a name as one of a method or a variable: `play_id` becomes `playId`."""
    spelled = pascal(name)
    return spelled[:1].lower() + spelled[1:]


def _names(kind: Type) -> Iterator[str]:
    """Yield the names of the records and enumerations that a type has in it, not those within them."""
    match kind:
        case Named():
            yield kind.name
        case ListOf():
            yield from _names(kind.items)
        case MapOf():
            yield from _names(kind.values)
        case OneOf():
            for each in kind.branches:
                yield from _names(each)


def _class_names(full_names: list[str], reserved: Collection[str]) -> dict[str, str]:
    """Return a class name for each full name: the last part, with its namespace only where two are alike."""
    short = {each: pascal(each.rpartition(".")[2]) for each in full_names}
    uses = Counter(each.lower() for each in short.values())  # two files of one name are one on some systems
    found: dict[str, str] = {}
    taken: set[str] = set()
    for full_name, name in short.items():
        chosen = name if uses[name.lower()] == 1 else "".join(map(pascal, full_name.split(".")))
        if chosen in reserved:
            chosen += "Record"
        while chosen.lower() in taken:
            chosen += "Record"
        taken.add(chosen.lower())
        found[full_name] = chosen
    return found


def _definitions(form: Any) -> Iterator[dict[str, Any]]:
    """Yield the named types that a type defines, each before those within it."""
    stack = [form]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(reversed(each))
        elif isinstance(each, dict):
            if "name" in each:
                yield each
            stack.extend(reversed([field["type"] for field in each.get("fields", ())]))
            stack.extend(each[part] for part in ("items", "values") if part in each)
