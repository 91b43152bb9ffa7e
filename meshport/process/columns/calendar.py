"""Rows with a date or timestamp that Python does not have, which columns of 64 bits hold: they are left to the row path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshport.codec import accept
from meshport.process.columns.cells import Doubt, mask_of

_BOUNDS: Final = {
    "us": (accept.MIN_MICROS, accept.MAX_MICROS),
    "ms": (accept.MIN_MICROS // 1000, accept.MAX_MICROS // 1000),
    "day": (accept.MIN_DAY, accept.MAX_DAY),
}


def refuse_beyond_calendar(columns: Mapping[str, Any], names: Iterable[str]) -> None:
    """Check that no value of some columns is beyond Python's calendar.

    Args:
        columns: by name.
        names: of those to check.

    Raises:
        Doubt: one is; its rows are known if it is no part of a list, map or record.
    """
    for name in names:
        if (column := columns.get(name)) is not None:
            for leaf in _leaves(column):
                beyond = _beyond(leaf)
                if beyond is not None:
                    raise Doubt(
                        f"a date or timestamp in {name!r} beyond the calendar", beyond if leaf is column else None
                    )


def _leaves(column: Any) -> list[Any]:
    """Return the columns of dates and timestamps in a column, itself included."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
        return [column]
    if pa.types.is_struct(kind):
        return [leaf for part in column.flatten() for leaf in _leaves(part)]
    if pa.types.is_map(kind):
        return _leaves(column.items)
    return _leaves(column.flatten()) if pa.types.is_list(kind) else []


def _beyond(leaf: Any) -> Any:
    """Return a mask of the values beyond the calendar; None where there is none."""
    days = pa.types.is_date32(leaf.type)
    numbers = leaf.view(pa.int32() if days else pa.int64())
    low, high = _BOUNDS["day" if days else leaf.type.unit]
    ends = pc.min_max(numbers)
    least, most = ends["min"].as_py(), ends["max"].as_py()
    if least is None or (least >= low and most <= high):
        return None
    return np.asarray(mask_of(pc.or_(pc.less(numbers, low), pc.greater(numbers, high))))
