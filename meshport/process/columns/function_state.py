"""`apply` over columns: the function is called for each record, but records are read and written by columns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa

from meshport.process.columns.columnar_records import ColumnarRecords, ColumnField, Fields, Origins, field_of, to_python
from meshport.process.columns.expressions import Doubt, NotColumnar
from meshport.process.logic import lossless_json
from meshport.process.logic.event_time import to_datetime
from meshport.process.logic.operators import Apply, Occurrence
from meshport.process.state.groups import StatefulFunction
from meshport.process.state.overlay import Overlay
from meshport.product.field_path import is_nested

# The Python types that a column takes, as the codec does. Arrow takes more: 1.0 for 1, a time without a zone.
_TAKEN: Final[Sequence[tuple[Any, frozenset[type]]]] = (
    (pa.types.is_boolean, frozenset({bool})),
    (pa.types.is_integer, frozenset({int})),
    (pa.types.is_float64, frozenset({float, int})),
    (pa.types.is_floating, frozenset({float})),
    (pa.types.is_string, frozenset({str})),
    (pa.types.is_binary, frozenset({bytes})),
    (pa.types.is_date, frozenset({date})),
    (pa.types.is_timestamp, frozenset({datetime})),
    (pa.types.is_decimal, frozenset({Decimal})),
)


class ColumnarApply:
    """One `apply` over columns.

    Args:
        apply: the declaration.
        applied: calls the function.
        fields: the fields of the records that the function is called with.
        output: the fields of the records that it makes.

    Raises:
        NotColumnar: a field has no plain values.
    """

    def __init__(self, apply: Apply, applied: StatefulFunction, fields: Fields, output: Fields) -> None:
        self._call = applied.call
        self._values = {name: to_python(field) for name, field in fields.items()}
        for name in apply.by:
            if is_nested(name):
                raise NotColumnar(f"the key {name!r} is no field of the function's record")
            if pa.types.is_floating(field_of(name, fields).arrow):
                raise NotColumnar("0.0 and -0.0 are equal, and two keys")
        self._by = apply.by
        self.fields = output

    def add(self, given: ColumnarRecords, store: Overlay, origins: Origins) -> ColumnarRecords:
        """Return the records that the function makes; their origin is the index of the record it was called with.

        Args:
            given: the records.
            store: the state.
            origins: the events that the records were made from.

        Raises:
            Doubt: the function raised, or made a record that columns do not hold.
        """
        made, origin, events = [], [], given.origin.tolist()
        names = tuple(self._values)
        columns = [values(given.columns[name]) for name, values in self._values.items()]
        parts = [columns[names.index(name)] for name in self._by]
        keys: dict[tuple[Any, ...], str] = {}
        call, dumps = self._call, lossless_json.dumps
        records = zip(
            zip(*columns, strict=True), zip(*parts, strict=True), given.time.tolist(), origins.ids, strict=True
        )
        for at, (values, by, time, id) in enumerate(records):
            store.event = events[at]
            key = keys.get(by)
            if key is None:
                keys[by] = key = dumps(list(by))
            data = dict(zip(names, values, strict=True))
            occurrence = Occurrence(data, to_datetime(time), id.decode(), origins.source, by)
            try:
                found = call(key, occurrence, store)
            except Exception as error:
                doubted = np.zeros(len(given), bool)
                doubted[at] = True
                raise Doubt(f"the function raised {type(error).__name__}", doubted) from error
            for record in found:
                made.append(record)
                origin.append(at)
        index = np.array(origin, "i8")
        return ColumnarRecords(self._columns(made), index, given.time[index])

    def _columns(self, made: Sequence[dict[str, Any]]) -> dict[str, pa.Array]:
        names = tuple(made[0]) if made else tuple(self.fields)
        if any(len(record) != len(names) for record in made) or not self.fields.keys() >= set(names):
            raise Doubt("records of other fields")
        try:
            return {name: _column([record[name] for record in made], self.fields[name]) for name in names}
        except (KeyError, pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise Doubt(f"a record that columns do not hold: {error}") from error


def _column(values: list[Any], field: ColumnField) -> pa.Array:
    found = set(map(type, values)) - {type(None)}
    taken = next((kinds for is_kind, kinds in _TAKEN if is_kind(field.arrow)), frozenset())
    if field.uuid is not None or not found <= taken:
        raise TypeError(f"{', '.join(each.__name__ for each in found)} for {field.arrow}")
    if pa.types.is_timestamp(field.arrow):
        zoned = field.arrow.tz is not None
        if any(each is not None and (each.tzinfo is not None) != zoned for each in values):
            raise TypeError("an instant without a zone, or a time of day with one")
        # In microseconds, which the encoder cuts as the codec does.
        return pa.array(values, pa.timestamp("us", field.arrow.tz))
    return pa.array(values, field.arrow)
