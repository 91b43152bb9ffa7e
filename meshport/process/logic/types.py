"""Avro types of what operators make: enough of a type system to tell a derived record's schema, and what cannot be added up.

A type is Avro's JSON form; None stands for one that cannot be told (a Python function made the value). Where a named
type is used again it stands by its name.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Final

from meshport.process.logic.expression import Expression
from meshport.product.aggregation import Aggregation
from meshport.schema import Schema

Type = Any
INSTANT: Final = {"type": "long", "logicalType": "timestamp-millis"}
DAY: Final = {"type": "int", "logicalType": "date"}
_DURATION: Final = {"type": "duration"}  # of a difference of instants: no Avro type, only `seconds` takes it
_NUMBERS: Final = ("int", "long", "float", "double")
_INSTANTS: Final = frozenset({"timestamp-millis", "timestamp-micros", "timestamp-nanos"})
_WIDEST_DECIMAL: Final = 38


def record_types(schema: Schema) -> tuple[dict[str, Type], dict[str, Type]]:
    """The types of a record's fields, and the definitions of the named types in them."""
    named: dict[str, Type] = {}
    return {str(field["name"]): _by_name(field["type"], named) for field in schema.fields}, named


def _by_name(form: Type, named: dict[str, Type]) -> Type:
    """A type in which every named type stands by its name; the definitions are put aside."""
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
    """The type that also takes null."""
    if kind is None or kind == "null":
        return kind
    branches = kind if isinstance(kind, list) else [kind]
    return ["null", *(branch for branch in branches if branch != "null")]


def plain_type(kind: Type) -> Type:
    """The type without null; None for a union of several others."""
    if not isinstance(kind, list):
        return None if kind == "null" else kind
    others = [branch for branch in kind if branch != "null"]
    return others[0] if len(others) == 1 else None


def is_nullable(kind: Type) -> bool:
    """Whether null is among its values."""
    return kind == "null" or (isinstance(kind, list) and "null" in kind)


def _name(kind: Type) -> str:
    return str(kind["type"]) if isinstance(kind, dict) else str(kind)


def _logical(kind: Type) -> str | None:
    return kind.get("logicalType") if isinstance(kind, dict) else None


def number(kind: Type) -> str | None:
    """`int`, `long`, `float`, `double` or `decimal` for a type that can be added up, else None."""
    plain = plain_type(kind)
    if _logical(plain) == "decimal":
        return "decimal"
    return _name(plain) if _name(plain) in _NUMBERS and _logical(plain) is None else None


def common(one: Type, other: Type) -> Type:
    """The type that takes the values of both; None where there is none that is obvious."""
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
            result = _decimal(_scale(kind))
        else:
            result = "long" if what in {"int", "long"} else "double"
        return nullable(result) if is_nullable(kind) else result
    if name == "collect":
        items = plain_type(kind)
        return None if items is None else {"type": "array", "items": items}
    return kind


def _decimal(scale: int) -> Type:
    return {"type": "bytes", "logicalType": "decimal", "precision": _WIDEST_DECIMAL, "scale": scale}


def _scale(kind: Type) -> int:
    plain = plain_type(kind)
    return int(plain.get("scale", 0)) if isinstance(plain, dict) else 0


class Inference:
    """The types of expressions over one record.

    Args:
        fields: the types of the record's fields.
        named: definitions of named types.
    """

    def __init__(self, fields: Mapping[str, Type], named: Mapping[str, Type]) -> None:
        self._fields = fields
        self._named = named

    def of(self, expression: Expression) -> Type:
        """The type of an expression's value; None where it cannot be told."""
        kind = self._of(expression.tree)
        return None if kind == _DURATION or plain_type(kind) == _DURATION else kind

    def _of(self, node: ast.expr) -> Type:
        match node:
            case ast.Constant(value=value):
                names = {bool: "boolean", int: "long", float: "double", str: "string", type(None): "null"}
                return names.get(type(value))
            case ast.Name(id=name):
                return self._fields.get(name)
            case ast.Attribute(value=inner, attr=name):
                return self._inner(self._of(inner), name)
            case ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return "boolean"
            case ast.BoolOp(values=values):
                kinds = [self._of(value) for value in values]
                return "boolean" if all(kind == "boolean" for kind in kinds) else None
            case ast.UnaryOp(operand=operand):
                return self._of(operand)
            case ast.IfExp(body=body, orelse=orelse):
                return common(self._of(body), self._of(orelse))
            case ast.BinOp(left=left, op=operation, right=right):
                return self._binary(self._of(left), operation, self._of(right))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(name, arguments)
        return None

    def _inner(self, outer: Type, name: str) -> Type:
        record = self._named.get(str(plain_type(outer)))
        found = next((field["type"] for field in (record or {}).get("fields", ()) if field["name"] == name), None)
        return nullable(found) if is_nullable(outer) else found

    def _binary(self, left: Type, operation: ast.operator, right: Type) -> Type:
        if left is None or right is None:
            return None
        kind = self._arithmetic(plain_type(left), operation, plain_type(right))
        return nullable(kind) if is_nullable(left) or is_nullable(right) else kind

    @staticmethod
    def _arithmetic(left: Type, operation: ast.operator, right: Type) -> Type:
        if _logical(left) in _INSTANTS and _logical(right) in _INSTANTS and isinstance(operation, ast.Sub):
            return _DURATION
        if isinstance(operation, ast.Add) and _name(left) == _name(right) == "string":
            return "string"
        numbers = number(left), number(right)
        if None in numbers:
            return None
        if "decimal" in numbers:
            return _decimal_arithmetic(left, operation, right)
        if isinstance(operation, ast.Div):
            return "double"
        return "long" if set(numbers) <= {"int", "long"} else "double"

    def _call(self, name: str, arguments: list[ast.expr]) -> Type:
        kinds = [self._of(argument) for argument in arguments]
        if name == "coalesce":
            result: Type = kinds[0]
            for kind in kinds[1:]:
                result = common(result, kind)
            return plain_type(result) if any(kind and not is_nullable(kind) for kind in kinds) else result
        first = plain_type(kinds[0])
        match name:
            case "ceil" | "floor" | "int" | "len" | "hour":
                result = "long"
            case "float" | "seconds":
                result = "double"
            case "str" | "lower" | "upper":
                result = "string"
            case "date":
                result = DAY
            case "round" if len(arguments) == 1:
                result = "long"
            case "round" if number(first) == "decimal":
                digits = arguments[1]
                known = isinstance(digits, ast.Constant) and isinstance(digits.value, int)
                result = _decimal(max(digits.value, 0)) if known else None  # type: ignore[attr-defined]  # it is a Constant
            case "min" | "max":
                result = first
                for kind in kinds[1:]:
                    result = common(result, plain_type(kind))
            case _:  # abs, round to digits
                result = first
        return nullable(result) if any(is_nullable(kind) for kind in kinds) else result


def _decimal_arithmetic(left: Type, operation: ast.operator, right: Type) -> Type:
    if not {number(left), number(right)} <= {"decimal", "int", "long"}:
        return None
    match operation:
        case ast.Add() | ast.Sub():
            return _decimal(max(_scale(left), _scale(right)))
        case ast.Mult():
            return _decimal(_scale(left) + _scale(right))
    return None
