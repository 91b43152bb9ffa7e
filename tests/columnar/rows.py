"""Rows of a record batch as the values that the codec gives, made without the code under test but for dates of no calendar."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

from meshport.codec.logical import kind_of
from meshport.columnar.values import python_values
from meshport.schema import Schema
from tests.codec.strategies import named_in


def rows_of(schema: Schema, batch: Any) -> list[Any]:
    """The records of a batch: maps as dicts, UUIDs as such."""
    named = named_in(schema.form)
    columns = [python_values(column) for column in batch.columns]
    rows = (dict(zip(batch.schema.names, values, strict=True)) for values in zip(*columns, strict=True))
    return [_value(schema.form, row, named) for row in rows]


def _value(form: Any, value: Any, named: dict[str, Any]) -> Any:
    if value is None:
        return None
    if isinstance(form, str):
        form = named.get(form, form)
    match kind_of(form):
        case "record":
            return {field["name"]: _value(field["type"], value[field["name"]], named) for field in form["fields"]}
        case "union":
            return _value(next(branch for branch in form if branch != "null"), value, named)
        case "array":
            return [_value(form["items"], each, named) for each in value]
        case "map":
            assert len({key for key, _ in value}) == len(value)
            return {key: _value(form["values"], each, named) for key, each in value}
        case "string-uuid":
            assert value == value.lower()
            return UUID(value)
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two values are of one type and equal; NaN is equal to NaN."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return (
            isinstance(other, list)
            and len(one) == len(other)
            and all(same(*pair) for pair in zip(one, other, strict=True))
        )
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and bool(one == other)
