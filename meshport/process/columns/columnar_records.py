"""Records by columns, and the fields that a compiler knows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from meshport.columnar import arrow_schema
from meshport.columnar.values import python_values
from meshport.process.columns.expressions import NotColumnar
from meshport.process.logic.event_time import to_datetime
from meshport.schema import Schema

Integers = np.ndarray[Any, np.dtype[np.int64]]


class ColumnField(NamedTuple):
    """The type of a column.

    Attributes:
        arrow: its Arrow type.
        uuid: its Arrow field where it contains UUIDs, which are text in columns and `UUID` in records; else None.
    """

    arrow: pa.DataType
    uuid: pa.Field | None = None


Fields = Mapping[str, ColumnField]


def fields_of(schema: Schema) -> dict[str, ColumnField]:
    """Return the fields of a record's columns, in order.

    Raises:
        ValueError: the schema has no columns.
    """
    return {
        field.name: ColumnField(field.type, field if _holds_uuid(field) else None) for field in arrow_schema(schema)
    }


def _holds_uuid(field: pa.Field) -> bool:
    if field.metadata is not None and field.metadata.get(b"logicalType") == b"uuid":
        return True
    kind = field.type
    if pa.types.is_map(kind):
        return _holds_uuid(kind.item_field)
    if pa.types.is_list(kind):
        return _holds_uuid(kind.value_field)
    return pa.types.is_struct(kind) and any(_holds_uuid(each) for each in kind)


def field_of(name: str, fields: Fields) -> ColumnField:
    """Return the field of a name.

    Raises:
        NotColumnar: there is no such field.
    """
    if name not in fields:
        raise NotColumnar(f"there is no field {name!r}")
    return fields[name]


def plain_schema(fields: Fields) -> pa.Schema:
    """Return the columns without UUIDs, which are what expressions read."""
    return pa.schema([pa.field(name, field.arrow) for name, field in fields.items() if field.uuid is None])


@dataclass(frozen=True, slots=True)
class ColumnarRecords:
    """Records by columns.

    Attributes:
        columns: the columns by name, in the order of the record's fields; all of one length.
        origin: for each record the index of what it was made from, ascending: int64.
        time: for each record its event time in microseconds: int64.
    """

    columns: Mapping[str, pa.Array]
    origin: Integers
    time: Integers

    def __len__(self) -> int:
        return len(self.origin)

    def take(self, at: np.ndarray[Any, Any]) -> ColumnarRecords:
        """Return the records at these indices, or of this mask."""
        if at.dtype == bool:
            if at.all():
                return self
            at = np.flatnonzero(at)
        index = pa.array(at)
        return ColumnarRecords(
            {name: column.take(index) for name, column in self.columns.items()}, self.origin[at], self.time[at]
        )

    @property
    def ranks(self) -> Integers:
        """The number of each record among those of its origin, from 0."""
        if not len(self):
            return self.origin
        begins = np.flatnonzero(np.diff(self.origin, prepend=self.origin[0] - 1))
        return np.arange(len(self)) - np.repeat(begins, np.diff(begins, append=len(self)))


def instants(column: pa.Array) -> Integers:
    """Return a column of timestamps without nulls in microseconds."""
    micros: Integers = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return micros


def timestamps(micros: Integers) -> pa.Array:
    """Return microseconds as a column of timestamps in UTC."""
    return pa.array(micros).cast(INSTANT)


INSTANT: Final = pa.timestamp("us", "UTC")


def to_python(field: ColumnField) -> Callable[[pa.Array], list[Any]]:
    """Return the function that returns a column's values as records hold them.

    Raises:
        NotColumnar: Arrow's Python values of this type differ from those of records.
    """
    kind = field.arrow
    if field.uuid is not None or not _is_plain(kind):
        raise NotColumnar(f"values of {kind} are taken one by one")
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return _moments
    return python_values


def _is_plain(kind: pa.DataType, *, within: bool = False) -> bool:
    """Whether Arrow returns the Python values that records hold; it returns maps as pairs, timestamps with another zone."""
    if pa.types.is_list(kind):
        return _is_plain(kind.value_type, within=True)
    if pa.types.is_struct(kind):
        return all(_is_plain(each.type, within=True) for each in kind)
    return not pa.types.is_nested(kind) and not (within and pa.types.is_timestamp(kind))


def _moments(column: pa.Array) -> list[Any]:
    try:
        given = column.cast(INSTANT).cast(pa.int64()).to_pylist()
        return [None if each is None else to_datetime(each) for each in given]
    except (OverflowError, pa.ArrowInvalid):
        return python_values(column)


class Origins(NamedTuple):
    """The events that records were made from, one for each record.

    Attributes:
        partition: the partition of the input.
        offsets: the offset of each event.
        numbers: the number of each record among those of its event.
        source: CloudEvents source of all events.
        ids: the CloudEvents id of each event.
        time: event time of each, in RFC 3339.
        recorded: when each was recorded, in RFC 3339.
    """

    partition: int
    offsets: Integers
    numbers: Integers
    source: str
    ids: list[bytes]
    time: list[bytes]
    recorded: list[bytes]
