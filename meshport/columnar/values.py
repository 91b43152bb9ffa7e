"""Columns as the values of records, where Arrow has no Python value: a date or timestamp beyond Python's calendar.

Arrow's own conversion raises for the whole column. The codec hands on the number of such a value (`codec.logical`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa


def python_values(column: Any) -> list[Any]:
    """Return the values of a column; dates and timestamps that Python does not have as the column's numbers."""
    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):
        return [_value(each) for each in column]
    return values


def _value(scalar: Any) -> Any:
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_struct(kind):
        return {name: _value(each) for name, each in scalar.items()}
    if pa.types.is_map(kind):
        return [tuple(map(_value, entry.values())) for entry in scalar.values]
    if pa.types.is_list(kind):
        return [_value(each) for each in scalar.values]
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return scalar.as_py()
    try:
        value = scalar.as_py()
    except (OverflowError, ValueError):
        return scalar.value
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value
