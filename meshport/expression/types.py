"""Avro types of what operators make: enough of a type system to derive a record's schema and to refuse a sum of texts.

A type is Avro's JSON form; None stands for an unknown type, such as that of a value that a Python function made. A named
type stands by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshport.product.aggregation import Aggregation
from meshport.schema import Schema
from meshport.schema.logical import logical_type

Type = Any
INSTANT: Final = {"type": "long", "logicalType": "timestamp-millis"}
DAY: Final = {"type": "int", "logicalType": "date"}
_NUMBERS: Final = ("int", "long", "float", "double")
_TIMESTAMPS: Final = frozenset({"timestamp-millis", "timestamp-micros", "timestamp-nanos"})
_WIDEST_DECIMAL: Final = 38


def record_types(schema: Schema) -> tuple[dict[str, Type], dict[str, Type]]:
    """Return the types of a record's fields, and the definitions of the named types in them."""
    named: dict[str, Type] = {}
    return {str(field["name"]): _by_name(field["type"], named) for field in schema.fields}, named


def _by_name(form: Type, named: dict[str, Type]) -> Type:
    """Return a type in which every named type stands by its name, and add the definitions to `named`."""
    if isinstance(form, list):
        return [_by_name(branch, named) for branch in form]
    if not isinstance(form, dict):
        return form
    if form["type"] in {"record", "enum", "fixed"}:
        definition = dict(form)
        if "fields" in form:
            definition["fields"] = [{**field, "type": _by_name(field["type"], named)} for field in form["fields"]]
        named[form["name"]] = definition
        return form["name"]
    return {key: _by_name(value, named) if key in {"items", "values"} else value for key, value in form.items()}


def nullable(kind: Type) -> Type:
    """Return the type with null added."""
    if kind is None or kind == "null":
        return kind
    branches = kind if isinstance(kind, list) else [kind]
    return ["null", *(branch for branch in branches if branch != "null")]


def plain_type(kind: Type) -> Type:
    """Return the type without null; None for a union of several others."""
    if not isinstance(kind, list):
        return None if kind == "null" else kind
    others = [branch for branch in kind if branch != "null"]
    return others[0] if len(others) == 1 else None


def is_nullable(kind: Type) -> bool:
    """Whether null is one of the type's values."""
    return kind == "null" or (isinstance(kind, list) and "null" in kind)


def is_timestamp(kind: Type) -> bool:
    """Whether the type is a timestamp in UTC, of any precision."""
    return logical_type(kind) in _TIMESTAMPS


def _name(kind: Type) -> str:
    return str(kind["type"]) if isinstance(kind, dict) else str(kind)


def number(kind: Type) -> str | None:
    """Return `int`, `long`, `float`, `double` or `decimal` for a type that can be added up, else None."""
    plain = plain_type(kind)
    if logical_type(plain) == "decimal":
        return "decimal"
    return _name(plain) if _name(plain) in _NUMBERS and logical_type(plain) is None else None


def common(one: Type, other: Type) -> Type:
    """Return the type that holds the values of both; None where no such type is obvious."""
    if one is None or other is None:
        return None
    if one == other:
        return one
    if "null" in (one, other):
        return nullable(other if one == "null" else one)
    null = is_nullable(one) or is_nullable(other)
    first, second = plain_type(one), plain_type(other)
    if first is None or second is None:
        return None
    if first != second:
        numbers = number(first), number(second)
        if None in numbers or "decimal" in numbers:
            return None
        first = max(_name(first), _name(second), key=_NUMBERS.index)
    return nullable(first) if null else first


def aggregated(aggregation: Aggregation, fields: Mapping[str, Type]) -> Type:
    """Return the type of an aggregation's result.

    Args:
        aggregation: over the records.
        fields: the types of the records' fields.

    Raises:
        TypeError: it adds up a field that is no number.
    """
    name, field = aggregation.kind, aggregation.field
    kind = fields[field] if field is not None else None
    if name in {"count", "distinct"}:
        return "long"
    if kind is None:
        return None
    if name in {"sum", "mean"}:
        what = number(kind)
        if what is None:
            raise TypeError(f"{field!r} is {kind}, no number to add up")
        if name == "mean":
            result: Type = "double"
        elif what == "decimal":
            result = decimal(scale_of(kind))
        else:
            result = "long" if what in {"int", "long"} else "double"
        return nullable(result) if is_nullable(kind) else result
    if name == "collect":
        items = plain_type(kind)
        return None if items is None else {"type": "array", "items": items}
    return kind


def decimal(scale: int) -> Type:
    """Return the type of decimals with this scale and the most digits that a column holds, 38."""
    return {"type": "bytes", "logicalType": "decimal", "precision": _WIDEST_DECIMAL, "scale": scale}


def scale_of(kind: Type) -> int:
    """Return the scale of a type's decimals; 0 for other numbers."""
    plain = plain_type(kind)
    return int(plain.get("scale", 0)) if isinstance(plain, dict) else 0
