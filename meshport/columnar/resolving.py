"""Schema resolution by columns: converts a batch of the writer's schema to one of the reader's.

Values and errors are those of `codec.resolving`, whose rules it uses. Both schemas are known before the first batch, so the
conversion is built once: for each column of the reader a function of a column of the writer. A row whose value decides (a
null that the reader does not allow, an unknown symbol, invalid UTF-8) is refused, and `ResolvingDecoder` reads it.

Not supported, since a column no longer has what the codec reads: a UUID read as text (upper case is lost), and a decimal read
as bytes or the reverse (several byte strings are one number).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshport.codec.defaults import default_of
from meshport.codec.layout import Layout
from meshport.codec.logical import kind_of
from meshport.codec.resolving import PROMOTED, logical_of, logicals_agree, same_name, target_fields
from meshport.columnar.kinds import COUNTED, Counted, Kind, Uuid, retyped, validity
from meshport.columnar.native import Refused
from meshport.columnar.nested import Array, Map, Record, Slot, compact, listed, mapped, parts, unsliced
from meshport.columnar.plan import Unsupported, arrow_schema, plan
from meshport.schema import Schema

# Of fewer rows than this, all are refused if one is.
_FEW: Final = 8
# Halvings of a batch to find refused rows, as in `columnar.decoder`.
_HALVINGS: Final = 16

# Converts a column of the writer to one of the reader; neither is a slice.
_Step = Callable[[Any], Any]
# The same for a nullable column; the number counts nulls whose enclosing value is null.
_SlotStep = Callable[[Any, int], Any]
# Converts the columns of a record, by name; takes the number of rows and of records that are null themselves.
_Fields = Callable[[dict[str, Any], int, int], Any]


class Resolution:
    """Converts batches of one schema to another.

    Args:
        writer: the schema of the given batches.
        reader: the schema of the results.

    Attributes:
        arrow: the Arrow schema of the results.

    Raises:
        Unsupported: no value of the writer has a counterpart in the reader, or columns do not support the conversion.
        SchemaError: a default of the reader is not a value of its field.
    """

    def __init__(self, writer: Schema, reader: Schema) -> None:
        self.writer = writer
        self.reader = reader
        plan(writer)
        self.arrow = arrow_schema(reader)
        self._fields = _Resolving(writer, reader).root()

    def apply(self, batch: Any) -> Any:
        """Return a batch in the reader's schema, with a row for each row.

        Args:
            batch: a `pyarrow.RecordBatch` of the writer's Arrow schema.

        Raises:
            Refused: a row has no counterpart in the reader's schema, or may have none.
        """
        columns = dict(zip(batch.schema.names, unsliced(list(batch.columns), batch.schema.names), strict=True))
        try:
            return pa.RecordBatch.from_arrays(self._fields(columns, batch.num_rows, 0), schema=self.arrow)
        except pa.ArrowException as error:
            raise Refused(str(error)[:200]) from error

    def apply_good(self, batch: Any) -> tuple[Any, list[int]]:
        """Return the rows that can be converted, in order, and the indices of the others.

        Halving finds a few refused rows; if there are many, the others include valid rows.
        """
        made: list[Any] = []
        refused: list[int] = []
        spans = [(0, batch.num_rows)] if batch.num_rows else []
        doubts = 0
        while spans:
            first, end = spans.pop()
            try:
                if doubts <= _HALVINGS:
                    made.append(self.apply(batch.slice(first, end - first)))
                    continue
            except Refused:
                doubts += 1
            if end - first < _FEW or doubts > _HALVINGS:
                refused += range(first, end)
            else:
                middle = (first + end) // 2
                spans += [(middle, end), (first, middle)]
        if not made:
            made = [pa.RecordBatch.from_pylist([], schema=self.arrow)]
        return (made[0] if len(made) == 1 else pa.concat_batches(made)), refused


class _Resolving:
    def __init__(self, writer: Schema, reader: Schema) -> None:
        self._writer = Layout(writer)
        self._reader = Layout(reader)
        self._root = plan(reader)

    def root(self) -> _Fields:
        form, reader = self._writer.form, self._reader.form
        if not same_name(form, reader):
            raise Unsupported(f"the record {form['name']!r} is none of the reader's")
        return self._record(form, reader, self._root, "")

    def _record(self, form: Any, reader: Any, kind: Record, path: str) -> _Fields:
        """Return the conversion of the fields of one record to another; `kind` has the writer's columns."""
        found = target_fields(form, reader)
        steps: list[_Fields] = []
        for field, slot in zip(reader["fields"], kind.slots, strict=True):
            name = field["name"]
            inner = f"{path}.{name}".lstrip(".")
            if name in found:
                own = found[name]
                steps.append(_read(own["name"], self._slot(own["type"], field["type"], slot, inner)))
            else:
                steps.append(self._default(field, slot, inner))
        return lambda columns, rows, hidden: [step(columns, rows, hidden) for step in steps]

    def _default(self, field: Any, slot: Slot, path: str) -> _Fields:
        if "default" not in field:
            raise Unsupported(f"{path!r} is not written, and has no default")
        value = slot.value(default_of(field["type"], field["default"], self._reader.named))
        column = pa.array([value], slot.kind.arrow)
        held = column.to_pylist()
        if held != [value] and repr(held) != repr([value]):  # NaN equals no other
            raise Unsupported(f"the default of {path!r} is not what a column holds of it")
        return lambda _columns, rows, _hidden: column.take(pa.array(np.zeros(rows, "<i4")))

    def _slot(self, form: Any, reader: Any, slot: Slot, path: str) -> _SlotStep:
        """Return the conversion between two types, each of which may be nullable."""
        step = self._step(_held(form), _held(reader), slot.kind, path)
        if slot.nullable or not isinstance(form, list):
            return lambda column, _: step(column)

        def without_null(column: Any, hidden: int) -> Any:
            if column.null_count > hidden:
                raise Refused("a null where the reader's schema has none")
            return step(column)

        return without_null

    def _step(self, form: Any, reader: Any, kind: Kind, path: str) -> _Step:
        form, reader = self._writer.definition(form), self._reader.definition(reader)
        writes, wanted = kind_of(form), kind_of(reader)
        match kind:
            case Record() if writes in {"record", "error"} and same_name(form, reader):
                return partial(_struct, self._record(form, reader, kind, path), kind.arrow)
            case Array() if writes == "array":
                return partial(_list, self._slot(form["items"], reader["items"], kind.items, f"{path}[]"), kind.arrow)
            case Map() if writes == "map":
                return partial(
                    _map, self._slot(form["values"], reader["values"], kind.values, f"{path}{{}}"), kind.arrow
                )
        if writes == wanted == "enum" and same_name(form, reader):
            return _enum(form, reader)
        step = _leaf(form, reader, kind.arrow)
        if step is None:
            raise Unsupported(f"{path!r} is written as {writes} and read as {wanted}")
        return step


def _read(name: str, step: _SlotStep) -> _Fields:
    return lambda columns, _rows, hidden: step(columns[name], hidden)


def _leaf(form: Any, reader: Any, arrow: Any) -> _Step | None:
    """Return the conversion of a value without parts, or None if there is none."""
    kind, wanted = kind_of(form), kind_of(reader)
    wire, target = kind.partition("-")[0], wanted.partition("-")[0]
    if wire != target and target not in PROMOTED.get(wire, ()):
        return None
    if wire == "fixed" and (form["size"] != reader["size"] or not same_name(form, reader)):
        return None
    if not logicals_agree(form, reader):
        return None
    match wire, target:
        case _ if kind == wanted:
            return _same if "decimal" not in kind else lambda column: column.cast(arrow)
        case ("int" | "long", "int" | "long"):
            return _whole(kind, wanted, arrow)
        case _ if wire != target and (logical_of(form) or logical_of(reader)):
            return None
        case ("int" | "long", "float" | "double"):  # to the nearest, as `codec.single`
            return lambda column: column.cast(arrow, safe=False)
        case "string", "string" if wanted == "string-uuid":
            return Uuid().read
        case "string", "bytes":
            return lambda column: retyped(column, arrow)
        case ("bytes", "string") | ("float", "double"):
            return lambda column: column.cast(arrow)
    return None


def _whole(kind: str, wanted: str, arrow: Any) -> _Step:
    """Return the conversion between integers, and between types that count days or parts of a second."""
    if kind not in COUNTED and wanted not in COUNTED:
        return lambda column: column.cast(arrow)
    if kind in COUNTED and wanted in COUNTED:
        # A unit finer than the reader's is refused by the caller.
        return lambda column: column.cast(arrow)
    if kind in COUNTED:
        storage = COUNTED[kind][1]
        return lambda column: retyped(column, storage).cast(arrow)
    counted = Counted(*COUNTED[wanted])
    return lambda column: counted.read(column.cast(pa.int64()))


def _same(column: Any) -> Any:
    return column


def _enum(form: Any, reader: Any) -> _Step:
    """Return the conversion of symbols; those that the reader does not have become its default."""
    ours = set(reader["symbols"])
    if ours.issuperset(form["symbols"]):
        return _same
    known, default = pa.array(reader["symbols"], pa.string()), reader.get("default")

    def symbols(column: Any) -> Any:
        is_known = pc.or_(pc.is_in(column, value_set=known), pc.is_null(column))
        if pc.all(is_known, min_count=0).as_py():
            return column
        if default is None:
            raise Refused("a symbol that the reader's schema does not have")
        return pc.if_else(is_known, column, pa.scalar(default, pa.string()))

    return symbols


def _struct(fields: _Fields, arrow: Any, column: Any) -> Any:
    names = [column.type[at].name for at in range(column.type.num_fields)]
    held = fields(dict(zip(names, parts(column), strict=True)), len(column), column.null_count)
    return pa.Array.from_buffers(arrow, len(column), [validity(column)], column.null_count, children=held)


def _list(items: _SlotStep, arrow: Any, column: Any) -> Any:
    column = compact(column)
    return listed(column, arrow, items(column.values, 0))


def _map(items: _SlotStep, arrow: Any, column: Any) -> Any:
    column = compact(column)
    return mapped(column, arrow, items(column.items, 0))


def _held(form: Any) -> Any:
    """Return the branch that is not null."""
    return form[1 - form.index("null")] if isinstance(form, list) else form
