"""The functions of expressions, one row each: name, arity, what it computes for a row, and the type of its result.

`meshport.process.columns.functions` adds the columnar form of each row.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from meshport.expression.types import DAY, Type, common, decimal, is_nullable, nullable, number, plain_type
from meshport.rfc3339 import day

TypeRule = Callable[[Sequence[Type], Sequence[ast.expr]], Type]
"""(types of the arguments, arguments as written) -> type of the result; None where it is unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function of expressions.

    Attributes:
        name: its name in expressions.
        least: the smallest number of arguments.
        most: the largest number of arguments.
        row: computes it for one row.
        result: gives the type of its result.
    """

    name: str
    least: int
    most: int
    row: Callable[..., Any]
    result: TypeRule


def null_safe(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that gives None where an argument is None, and else calls this one."""

    def called(*arguments: Any) -> Any:
        return None if None in arguments else function(*arguments)

    return called


def _first_value(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _as_written(value: datetime) -> datetime:
    """Return an instant in UTC, and a local timestamp as it is: the machine's zone has a part in neither."""
    return value if value.tzinfo is None else value.astimezone(UTC)


def _day(value: Any) -> date:
    return _as_written(value).date() if isinstance(value, datetime) else day(value)


def _seconds(value: Any) -> float:
    if not isinstance(value, timedelta):
        raise TypeError(f"seconds() of {type(value).__name__}, not of a difference of timestamps")
    return value / timedelta(seconds=1)


def _null_aware(rule: TypeRule) -> TypeRule:
    """Return the rule of types with null: it applies `rule` to the types without null, and adds null if one had it."""

    def applied(kinds: Sequence[Type], arguments: Sequence[ast.expr]) -> Type:
        result = rule([plain_type(kind) for kind in kinds], arguments)
        return nullable(result) if any(is_nullable(kind) for kind in kinds) else result

    return applied


def _always(kind: Type) -> TypeRule:
    return _null_aware(lambda _kinds, _arguments: kind)


def _common(kinds: Sequence[Type], _: Sequence[ast.expr] = ()) -> Type:
    result: Type = kinds[0]
    for kind in kinds[1:]:
        result = common(result, kind)
    return result


def _coalesced(kinds: Sequence[Type], _: Sequence[ast.expr]) -> Type:
    result = _common(kinds)
    return plain_type(result) if any(kind and not is_nullable(kind) for kind in kinds) else result


def _rounded(kinds: Sequence[Type], arguments: Sequence[ast.expr]) -> Type:
    if len(arguments) == 1:
        return "long"
    if number(kinds[0]) != "decimal":
        return kinds[0]
    digits = arguments[1].value if isinstance(arguments[1], ast.Constant) else None
    return decimal(max(digits, 0)) if isinstance(digits, int) else None


_SAME: Final = _null_aware(lambda kinds, _: kinds[0])
_COMMON: Final = _null_aware(_common)
_LONG: Final = _always("long")
_DOUBLE: Final = _always("double")
_STRING: Final = _always("string")

FUNCTIONS: Final[Mapping[str, Function]] = {
    each.name: each
    for each in (
        Function("abs", 1, 1, null_safe(abs), _SAME),
        Function("ceil", 1, 1, null_safe(math.ceil), _LONG),
        Function("coalesce", 1, 8, _first_value, _coalesced),
        Function("date", 1, 1, null_safe(_day), _always(DAY)),
        Function("float", 1, 1, null_safe(float), _DOUBLE),
        Function("floor", 1, 1, null_safe(math.floor), _LONG),
        Function("hour", 1, 1, null_safe(lambda value: _as_written(value).hour), _LONG),
        Function("int", 1, 1, null_safe(int), _LONG),
        Function("len", 1, 1, null_safe(len), _LONG),
        Function("lower", 1, 1, null_safe(lambda value: value.lower()), _STRING),
        Function("max", 2, 8, null_safe(max), _COMMON),
        Function("min", 2, 8, null_safe(min), _COMMON),
        Function("round", 1, 2, null_safe(round), _null_aware(_rounded)),
        Function("seconds", 1, 1, null_safe(_seconds), _DOUBLE),
        Function("str", 1, 1, null_safe(str), _STRING),
        Function("upper", 1, 1, null_safe(lambda value: value.upper()), _STRING),
    )
}
"""Every function by name. `date` and `hour` are those of a timestamp in UTC, and of a local timestamp as it is written;
`seconds` takes a difference of two timestamps."""
