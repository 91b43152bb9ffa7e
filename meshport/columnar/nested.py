"""Records, arrays and maps: columns of columns.

The native library sees fields by their index (`f0`, `f1`), so that no name of a schema reaches it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshport.columnar.kinds import ColumnMisfit, Kind, Uuid, cast, validity
from meshport.columnar.native import Refused


class Slot(NamedTuple):
    """A type within another.

    Attributes:
        kind: of the type, without null.
        nullable: whether it is a union with null.
        wire: the type for the native library, including the union.
    """

    kind: Kind
    nullable: bool
    wire: Any

    def field(self, name: str) -> Any:
        """Return the Arrow field; a uuid, which is text in Arrow, is marked in its metadata."""
        metadata = {"logicalType": "uuid"} if isinstance(self.kind, Uuid) else None
        return pa.field(name, self.kind.arrow, self.nullable, metadata)

    @property
    def least(self) -> int:
        """Least number of bytes of a value on the wire."""
        return 1 if self.nullable else self.kind.least

    def write(self, column: Any, hidden: int, path: str) -> Any:
        """Convert a column to a wire column.

        Args:
            column: of any type that can be cast without loss.
            hidden: the number of its nulls whose enclosing value is null.
            path: of the field, for errors.

        Raises:
            ColumnMisfit: a value is not of the type, or a null is not allowed.
        """
        if not self.nullable and column.null_count > hidden:
            raise ColumnMisfit("is null, which its type does not allow", path)
        try:
            return self.kind.write(column)
        except ColumnMisfit as misfit:
            joined = path + (f".{misfit.path}" if misfit.path[:1] not in {"", "[", "{"} else misfit.path)
            raise ColumnMisfit(misfit.message, joined) from misfit

    def value(self, value: Any) -> Any:
        """Convert a value of the codec for `pyarrow.array`."""
        return None if value is None else self.kind.value(value)


class Record(Kind):
    """`record`, as a struct.

    Args:
        fields: name and type of each.
        name: of the record on the wire.
    """

    def __init__(self, fields: list[tuple[str, Slot]], name: str) -> None:
        self.names = [each for each, _ in fields]
        self.slots = [slot for _, slot in fields]
        fields_on_wire = [{"name": f"f{at}", "type": slot.wire} for at, slot in enumerate(self.slots)]
        self.fields = [slot.field(each) for each, slot in fields]
        super().__init__(
            {"type": "record", "name": name, "fields": fields_on_wire},
            pa.struct(self.fields),
            least=sum(slot.least for slot in self.slots),
            cost=1 + sum(slot.kind.cost for slot in self.slots),
        )

    def read(self, column: Any) -> Any:
        """As `Kind.read`."""
        children = self.read_columns(parts(column))
        return pa.Array.from_buffers(self.arrow, len(column), [validity(column)], column.null_count, children=children)

    def read_columns(self, columns: list[Any]) -> list[Any]:
        """Convert each field's wire column to its Arrow type."""
        return [slot.kind.read(column) for slot, column in zip(self.slots, columns, strict=True)]

    def write(self, column: Any) -> Any:
        """As `Kind.write`; fields are found by name."""
        if pa.types.is_null(column.type):
            column = cast(column, self.arrow)
        if not pa.types.is_struct(column.type):
            raise ColumnMisfit(f"is {column.type}, where a struct is asked for")
        given = {column.type[at].name: at for at in range(column.type.num_fields)}
        columns = parts(column)
        written = self.write_columns({name: columns[at] for name, at in given.items()}, column.null_count)
        form = pa.struct([pa.field(f"f{at}", each.type) for at, each in enumerate(written)])
        return pa.Array.from_buffers(form, len(column), [validity(column)], column.null_count, children=written)

    def write_columns(self, columns: dict[str, Any], hidden: int) -> list[Any]:
        """Convert each field's column to a wire column, in order.

        Args:
            columns: by name.
            hidden: the number of records that are null themselves.

        Raises:
            ColumnMisfit: a column is missing or unknown, or a value is not of its type.
        """
        for name in columns:
            if name not in self.names:
                raise ColumnMisfit("is a column of which the schema has no field", name)
        for name in self.names:
            if name not in columns:
                raise ColumnMisfit("is missing", name)
        return [slot.write(columns[name], hidden, name) for name, slot in zip(self.names, self.slots, strict=True)]

    def value(self, value: Any) -> Any:
        """As `Kind.value`."""
        return {name: slot.value(value[name]) for name, slot in zip(self.names, self.slots, strict=True)}


class Array(Kind):
    """`array`, as a list."""

    def __init__(self, items: Slot) -> None:
        self.items = items
        super().__init__({"type": "array", "items": items.wire}, pa.list_(items.field("item")))

    def read(self, column: Any) -> Any:
        """As `Kind.read`."""
        return listed(column, self.arrow, self.items.kind.read(column.values))

    def write(self, column: Any) -> Any:
        """As `Kind.write`."""
        if pa.types.is_null(column.type):
            column = cast(column, self.arrow)
        if not pa.types.is_list(column.type):
            column = cast(column, pa.list_(_child(column.type)))
        column = compact(column)
        values = self.items.write(column.values, 0, "[]")
        return listed(column, pa.list_(values.type), values)

    def value(self, value: Any) -> Any:
        """As `Kind.value`."""
        return [self.items.value(each) for each in value]


class Map(Kind):
    """`map`, with keys in the order of the payload; a repeated key is left to the codec."""

    def __init__(self, values: Slot) -> None:
        self.values = values
        super().__init__({"type": "map", "values": values.wire}, pa.map_(pa.string(), values.field("value")))

    def read(self, column: Any) -> Any:
        """As `Kind.read`."""
        if _doubled(column):
            raise Refused("a key twice")
        return mapped(column, self.arrow, self.values.kind.read(column.items))

    def write(self, column: Any) -> Any:
        """As `Kind.write`."""
        if pa.types.is_null(column.type):
            column = cast(column, self.arrow)
        if not pa.types.is_map(column.type):
            raise ColumnMisfit(f"is {column.type}, where a map is asked for")
        if column.type.key_type != pa.string():
            column = cast(column, pa.map_(pa.string(), column.type.item_type))
        column = compact(column)
        if _doubled(column):
            raise ColumnMisfit("holds a key twice")
        values = self.values.write(column.items, 0, "{}")
        return mapped(column, pa.map_(pa.string(), values.type), values)

    def value(self, value: Any) -> Any:
        """As `Kind.value`."""
        return [(key, self.values.value(each)) for key, each in value.items()]


def parts(column: Any) -> list[Any]:
    """Return the columns of a struct, null where the struct is."""
    if column.null_count:
        return list(column.flatten())
    return [column.field(at) for at in range(column.type.num_fields)]


def sliced(column: Any) -> bool:
    """Return whether a column or one within it is a slice of its buffers, which the library encodes wrongly."""
    if column.offset:
        return True
    form = column.type
    if pa.types.is_struct(form):
        held = [column.field(at) for at in range(form.num_fields)]
        return any(len(each) != len(column) or sliced(each) for each in held)
    if pa.types.is_map(form):
        return sliced(column.keys) or sliced(column.items)
    if pa.types.is_list(form) or pa.types.is_large_list(form) or pa.types.is_fixed_size_list(form):
        return sliced(column.values)
    return False


def unsliced(columns: list[Any], names: list[str]) -> list[Any]:
    """Copy sliced columns to whole buffers, by Arrow's IPC, which truncates slices; `take` and `concat` do not."""
    if not any(sliced(column) for column in columns):
        return columns
    batch = pa.RecordBatch.from_arrays(columns, names=names)
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return list(pa.ipc.open_stream(out.getvalue()).read_next_batch().columns)


def _child(form: Any) -> Any:
    if pa.types.is_large_list(form) or pa.types.is_fixed_size_list(form) or pa.types.is_list_view(form):
        return form.value_type
    raise ColumnMisfit(f"is {form}, where a list is asked for")


def compact(column: Any) -> Any:
    """Return a list or map column whose items are those of its valid values only."""
    ends = np.frombuffer(column.buffers()[1], "<i4", len(column) + 1) if len(column) else np.zeros(1, "<i4")
    held = len(column.keys) if pa.types.is_map(column.type) else len(column.values)
    hidden = column.null_count and np.diff(ends)[~column.is_valid().to_numpy(zero_copy_only=False)].any()
    if ends[0] or ends[-1] != held or hidden:
        return column.take(pa.array(np.arange(len(column))))
    return column


def listed(column: Any, form: Any, values: Any) -> Any:
    """Return a list column of the type `form` with the lengths and nulls of another and the given values."""
    buffers = [validity(column), column.buffers()[1]]
    return pa.Array.from_buffers(form, len(column), buffers, column.null_count, children=[values])


def mapped(column: Any, form: Any, values: Any) -> Any:
    """Return a map column of the type `form` with the lengths, nulls and keys of another and the given values."""
    entries = pa.struct([form.key_field, form.item_field])
    held = pa.Array.from_buffers(entries, len(values), [None], 0, children=[column.keys, values])
    return listed(column, form, held)


def _doubled(column: Any) -> bool:
    """Return whether a map of a column has a repeated key."""
    if len(column.keys) < 2:
        return False
    lengths = np.diff(np.frombuffer(column.buffers()[1], "<i4", len(column) + 1))
    if lengths.max() < 2:
        return False
    codes = pc.dictionary_encode(column.keys)
    rows = np.repeat(np.arange(len(column), dtype="i8"), lengths)
    pairs = rows * len(codes.dictionary) + codes.indices.to_numpy(zero_copy_only=False)
    return len(np.unique(pairs)) != len(pairs)
