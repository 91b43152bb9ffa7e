"""Type inference for expressions: the Avro type of an expression's value, from the types of the record's fields."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

from meshport.expression.expression import Expression
from meshport.expression.functions import FUNCTIONS
from meshport.expression.types import (
    Type,
    common,
    decimal,
    is_nullable,
    is_timestamp,
    nullable,
    number,
    plain_type,
    scale_of,
)

# The difference of two timestamps. It has no Avro type; only `seconds` takes it.
_DURATION: Final = {"type": "duration"}
_LITERALS: Final[Mapping[type, Type]] = {
    bool: "boolean",
    int: "long",
    float: "double",
    str: "string",
    type(None): "null",
}


class Inference:
    """Infers the types of expressions over one record.

    Args:
        fields: the types of the record's fields.
        named: the definitions of the named types in them.
    """

    def __init__(self, fields: Mapping[str, Type], named: Mapping[str, Type]) -> None:
        self._fields = fields
        self._named = named

    def of(self, expression: Expression) -> Type:
        """Return the type of an expression's value; None where it is unknown."""
        kind = self._of(expression.tree)
        return None if plain_type(kind) == _DURATION else kind

    def _of(self, node: ast.expr) -> Type:
        match node:
            case ast.Constant(value=value):
                return _LITERALS.get(type(value))
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
                return FUNCTIONS[name].result([self._of(argument) for argument in arguments], arguments)
        return None

    def _inner(self, outer: Type, name: str) -> Type:
        record = self._named.get(str(plain_type(outer)))
        found = next((field["type"] for field in (record or {}).get("fields", ()) if field["name"] == name), None)
        return nullable(found) if is_nullable(outer) else found

    def _binary(self, left: Type, operation: ast.operator, right: Type) -> Type:
        if left is None or right is None:
            return None
        kind = _arithmetic(plain_type(left), operation, plain_type(right))
        return nullable(kind) if is_nullable(left) or is_nullable(right) else kind


def _arithmetic(left: Type, operation: ast.operator, right: Type) -> Type:
    if is_timestamp(left) and is_timestamp(right) and isinstance(operation, ast.Sub):
        return _DURATION
    if isinstance(operation, ast.Add) and _is_string(left) and _is_string(right):
        return "string"
    numbers = number(left), number(right)
    if None in numbers:
        return None
    if "decimal" in numbers:
        return _decimal_arithmetic(left, operation, right)
    if isinstance(operation, ast.Div):
        return "double"
    return "long" if set(numbers) <= {"int", "long"} else "double"


def _is_string(kind: Type) -> bool:
    return bool((kind["type"] if isinstance(kind, dict) else kind) == "string")


def _decimal_arithmetic(left: Type, operation: ast.operator, right: Type) -> Type:
    if not {number(left), number(right)} <= {"decimal", "int", "long"}:
        return None
    match operation:
        case ast.Add() | ast.Sub():
            return decimal(max(scale_of(left), scale_of(right)))
        case ast.Mult():
            return decimal(scale_of(left) + scale_of(right))
    return None
