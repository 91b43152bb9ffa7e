"""Rows of Arrow batches to values, keys and times of messages, by whole columns.

A row that does not fit is refused alone. The encoder does not report which row of a batch failed, so a refused batch is
halved until the row is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from meshport.codec import accept
from meshport.columnar import ColumnarEncoder
from meshport.columnar.values import python_values
from meshport.errors import EncodeError, MeshError
from meshport.event.attributes import rfc3339, rfc3339_of_micros
from meshport.event.record import event_time, record_key
from meshport.event.stored import stored_values
from meshport.schema import Schema

# Rows for each call of the encoder: enough that the fixed cost of a call does not matter.
_ROWS: Final = 10_000


class Parts(NamedTuple):
    """The message parts of some rows.

    Attributes:
        rows: indices of the rows that were encoded, in order.
        values: the value of each.
        keys: the key of each.
        times: the time of each, RFC 3339.
        errors: why the other rows were refused, by index.
    """

    rows: list[int]
    values: list[bytes]
    keys: list[bytes | None]
    times: list[bytes]
    errors: dict[int, MeshError]


class ColumnWriter:
    """Encodes rows as `Publisher.publish` encodes records.

    Args:
        schema: of the data; `meshport.columnar.supports` must accept it.
        prefix: the bytes before each value.
        key: the fields of the key.
        time: the field of the event time; None for the current time.
    """

    def __init__(self, schema: Schema, prefix: bytes, key: tuple[str, ...], time: str | None) -> None:
        self._encoder = ColumnarEncoder(schema)
        self._prefix = prefix
        self._key = key
        self._time = time
        self._key_of = record_key(key, schema)
        self._has_text_key = len(key) == 1 and not stored_values(key, schema)
        self._time_of = event_time(time, schema)

    def parts(self, frame: Any) -> Iterator[Parts]:
        """Yield the parts of a frame's rows, some thousand rows at a time; indices count from the frame's first row.

        Args:
            frame: an object with `__arrow_c_stream__`: an Arrow batch or table, a data frame.

        Raises:
            EncodeError: the types of the columns do not fit the schema.
        """
        reader = pa.RecordBatchReader.from_stream(frame)
        self._encoder.check(reader.schema)
        first = 0
        for batch in reader:
            for begin in range(0, batch.num_rows, _ROWS):
                part = batch.slice(begin, _ROWS)
                yield self._parts(part, first)
                first += part.num_rows

    def _parts(self, batch: Any, first: int) -> Parts:
        errors: dict[int, MeshError] = {}
        values, rows = self._values(batch, errors)
        if errors:
            batch = batch.take(pa.array(rows, pa.int64()))
        keys, times = self._keys(batch), self._times(batch)
        for row, key, time in zip(rows, keys, times, strict=True):
            if isinstance(key, MeshError):
                errors[row] = key
            elif isinstance(time, MeshError):
                errors[row] = time
        kept = [at for at, row in enumerate(rows) if row not in errors] if errors else range(len(rows))
        return Parts(
            [first + rows[at] for at in kept],
            [values[at] for at in kept],
            [keys[at] for at in kept],
            [times[at] for at in kept],
            {first + row: error for row, error in errors.items()},
        )

    def _values(self, batch: Any, errors: dict[int, MeshError]) -> tuple[list[bytes], list[int]]:
        """Return the values of the rows that fit, and the indices of these rows."""
        values: list[bytes] = []
        rows: list[int] = []
        spans = [(0, batch.num_rows)] if batch.num_rows else []
        while spans:
            first, end = spans.pop()
            try:
                values += self._encoder.encode(batch.slice(first, end - first), self._prefix)
            except EncodeError as error:
                if end - first == 1:
                    errors[first] = error
                else:
                    middle = (first + end) // 2
                    spans += [(middle, end), (first, middle)]
            else:
                rows += range(first, end)
        return values, rows

    def _keys(self, batch: Any) -> list[Any]:
        """Return the key of each row, or the error of a row without one."""
        if not self._key:
            return [None] * batch.num_rows
        if self._has_text_key and (column := _column(batch, self._key[0])) is not None and _is_text(column.type):
            texts: list[Any] = column.cast(pa.string()).cast(pa.binary()).to_pylist()
            if all(texts):
                return texts
        return _by_record(self._key_of, batch, self._key, self._encoder.arrow)

    def _times(self, batch: Any) -> list[Any]:
        """Return the time of each row as text, or the error of a row without one."""
        if self._time is None:
            return [rfc3339(datetime.now(UTC))] * batch.num_rows
        column = _column(batch, self._time)
        if column is not None and pa.types.is_timestamp(column.type) and column.type.tz and not column.null_count:
            micros = _micros(column)
            if micros is not None:
                return [rfc3339_of_micros(each) for each in micros.tolist()]
        return _by_record(lambda record: rfc3339(self._time_of(record)), batch, (self._time,), self._encoder.arrow)


def _column(batch: Any, name: str) -> Any:
    return batch.column(name) if name in batch.schema.names else None


def _is_text(form: Any) -> bool:
    return bool(pa.types.is_string(form) or pa.types.is_large_string(form) or pa.types.is_string_view(form))


def _micros(column: Any) -> Any:
    """Return instants in microseconds, truncated as in the data; None where datetime cannot hold one."""
    numbers = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    match column.type.unit:
        case "ns":
            numbers = numbers // 1000
        case "ms" | "s" as unit:
            factor = 1000 if unit == "ms" else 1_000_000
            if len(numbers) and np.abs(numbers).max() > accept.MAX_MICROS // factor:
                return None
            numbers = numbers * factor
    if len(numbers) and (numbers.min() < accept.MIN_MICROS or numbers.max() > accept.MAX_MICROS):
        return None
    return numbers


def _by_record(make: Callable[[Mapping[str, Any]], Any], batch: Any, names: tuple[str, ...], schema: Any) -> list[Any]:
    """Apply a function to some fields of each row; a row's error takes the place of its result."""
    columns = [_python(_column(batch, name), batch.num_rows, schema.field(name).type) for name in names]
    made: list[Any] = []
    for values in zip(*columns, strict=True):
        try:
            made.append(make(dict(zip(names, values, strict=True))))
        except MeshError as error:
            made.append(error)
    return made


def _python(column: Any, rows: int, wanted: Any) -> list[Any]:
    """Return the values of a column; a number for a timestamp that Python does not have is in the unit of the wanted type."""
    if column is None:
        return [None] * rows
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):
        return python_values(column.cast(wanted, safe=False))
    return values
