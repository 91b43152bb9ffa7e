"""Columns in computation: numbers in numpy or values in Arrow, with masks of the rows that are null or in doubt.

Numbers are bool, int64 or float64 whatever their width in Arrow; days, times and durations are int64 in the unit of their
type. A mask or a number that is the same in every row has no dimension. The number of a null row is arbitrary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
NOWHERE: Final[Mask] = np.zeros((), np.bool_)
EVERYWHERE: Final[Mask] = np.ones((), np.bool_)


class NotColumnar(ValueError):  # noqa: N818 - a verdict, not a mistake
    """Raised for an expression or operator without a columnar form; the message has the reason."""


class Doubt(Exception):  # noqa: N818 - as above
    """Raised when columns may not give the row path's values for some rows, which then have to be computed there.

    Args:
        message: the values in doubt.
        rows: the rows in doubt, one bool for each; None where that is unknown.
    """

    def __init__(self, message: str, rows: Mask | None = None) -> None:
        super().__init__(message)
        self.rows = rows


@dataclass(frozen=True, slots=True)
class Cells:
    """The values of one expression.

    Attributes:
        values: numbers of numpy, or an array or a scalar of Arrow that is null in the same rows as `nulls`.
        nulls: the rows whose value is None.
        doubt: the rows for which the row path may give another value, or raise.
        whole: of the kind "mixed", the rows whose value is an int.
    """

    values: Any
    nulls: Mask = field(default_factory=lambda: NOWHERE)
    doubt: Mask = field(default_factory=lambda: NOWHERE)
    whole: Mask = field(default_factory=lambda: NOWHERE)


@dataclass(frozen=True, slots=True)
class ColumnBatch:
    """The columns that expressions are computed over.

    Attributes:
        columns: the columns by name.
        count: the number of rows.
        memo: the cells of memoized nodes.
    """

    columns: Mapping[str, Any]
    count: int
    memo: dict[object, Cells] = field(default_factory=dict)


class Node(NamedTuple):
    """A compiled expression.

    Attributes:
        kind: the kind of its values, as `kind_of` names it; "mixed" are floats, some of which are ints in the row path.
        type: the Arrow type of its values.
        run: computes its values.
        literal: whether it is a literal.
    """

    kind: str
    type: Any
    run: Callable[[ColumnBatch], Cells]
    literal: bool = False


def memoized(node: Node) -> Node:
    """Return a node that is computed once for a batch, however often it runs."""
    key = object()

    def run(batch: ColumnBatch) -> Cells:
        if key not in batch.memo:
            batch.memo[key] = node.run(batch)
        return batch.memo[key]

    return node._replace(run=run)


# The kinds whose cells are numpy numbers, and their types.
NUMBERS: Final[Mapping[str, Any]] = {
    "null": np.int64,
    "bool": np.bool_,
    "int": np.int64,
    "float": np.float64,
    "mixed": np.float64,
    "instant": np.int64,
    "local": np.int64,
    "day": np.int64,
    "time": np.int64,
    "duration": np.int64,
}
# The kinds that are counted in a unit of time.
COUNTED: Final = frozenset({"instant", "local", "day", "time", "duration"})
_MICROS: Final[Mapping[str, int]] = {"us": 1, "ms": 1000, "s": 1_000_000}
_MICROS_A_DAY: Final = 86_400_000_000
# Up to here a float equals exactly one int.
EXACT: Final = 2**53


def kind_of(column: Any) -> str:
    """Return the kind of an Arrow field, by its type; a uuid is a string whose field has that logical type in its metadata.

    Raises:
        NotColumnar: the columns of `meshport.columnar` have no such type.
    """
    kind, types = column.type, pa.types
    tests: Mapping[str, bool] = {
        "null": types.is_null(kind),
        "bool": types.is_boolean(kind),
        "int": types.is_int32(kind) or types.is_int64(kind),
        "float": types.is_float32(kind) or types.is_float64(kind),
        "uuid": _is_uuid(column),
        "str": types.is_string(kind),
        "bytes": types.is_binary(kind) or types.is_fixed_size_binary(kind),
        "instant": types.is_timestamp(kind) and kind.unit in _MICROS and kind.tz == "UTC",
        "local": types.is_timestamp(kind) and kind.unit in _MICROS and kind.tz is None,
        "day": types.is_date32(kind),
        "time": types.is_time(kind) and kind.unit in _MICROS,
        "duration": types.is_duration(kind) and kind.unit in _MICROS,
        "decimal": types.is_decimal128(kind) or types.is_decimal256(kind),
        "record": types.is_struct(kind),
        "list": types.is_list(kind),
        "map": types.is_map(kind),
    }
    found = next((name for name, true in tests.items() if true), None)
    if found is None:
        raise NotColumnar(f"{column.name!r} is {kind}")
    return found


def holds_uuid(type: Any) -> bool:
    """Whether a nested type contains a uuid."""
    if pa.types.is_struct(type):
        inner = list(type)
    elif pa.types.is_map(type):
        inner = [type.item_field]
    elif pa.types.is_list(type):
        inner = [type.value_field]
    else:
        inner = []
    return any(_is_uuid(each) or holds_uuid(each.type) for each in inner)


def _is_uuid(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) and (column.metadata or {}).get(b"logicalType") == b"uuid")


def union(*masks: Mask) -> Mask:
    """Return the rows that are in one of the masks."""
    found = NOWHERE
    for mask in masks:
        if mask is not NOWHERE:
            found = mask if found is NOWHERE else found | mask
    return found


def mask_of(found: Any) -> Mask:
    """Return Arrow booleans as a mask, null as false."""
    if isinstance(found, pa.Scalar):
        return EVERYWHERE if found.as_py() else NOWHERE
    known = found.fill_null(False) if found.null_count else found
    return np.asarray(known.to_numpy(zero_copy_only=False), np.bool_)


def nulls_of(values: Any) -> Mask:
    """Return the rows in which an array or a scalar of Arrow is null."""
    if isinstance(values, pa.Scalar):
        return NOWHERE if values.is_valid else EVERYWHERE
    return mask_of(values.is_null()) if values.null_count else NOWHERE


def load(array: Any, kind: str) -> Cells:
    """Return a column of Arrow as cells."""
    if kind == "null":
        return Cells(np.int64(0), EVERYWHERE)
    nulls = nulls_of(array)
    if kind not in NUMBERS:
        return Cells(array, nulls)
    if kind in COUNTED:
        array = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    if array.null_count:
        array = array.fill_null(False if kind == "bool" else 0)
    return Cells(array.to_numpy(zero_copy_only=False).astype(NUMBERS[kind], copy=False), nulls)


def store(cells: Cells, node: Node, count: int) -> Any:
    """Return cells as a column of the node's type."""
    if isinstance(cells.values, pa.Array):
        return cells.values
    if isinstance(cells.values, pa.Scalar):
        return pa.repeat(cells.values, count)
    if node.kind == "null":
        return pa.nulls(count)
    nulls = None if cells.nulls is NOWHERE else np.broadcast_to(cells.nulls, count)
    numbers = np.broadcast_to(cells.values, count)
    if node.kind in {"bool", "int", "float"}:
        return pa.array(numbers.astype(node.type.to_pandas_dtype(), copy=False), node.type, mask=nulls)
    wide = node.type.bit_width
    storage = pa.int32() if wide == 32 else pa.int64()
    return pa.array(numbers.astype(f"i{wide // 8}", copy=False), storage, mask=nulls).view(node.type)


def arrow_cells(values: Any, doubt: Mask) -> Cells:
    """Return Arrow values as cells."""
    return Cells(values, nulls_of(values), doubt)


def arrow_of(cells: Cells, type: Any) -> Any:
    """Return cells as an array or a scalar of Arrow, numbers in the given type."""
    if isinstance(cells.values, pa.Array | pa.Scalar):
        return cells.values
    storage = pa.int32() if pa.types.is_date32(type) else type
    if np.ndim(cells.values) == 0 and np.ndim(cells.nulls) == 0:
        return pa.scalar(None if cells.nulls else cells.values.item(), storage).cast(type)
    shape = np.broadcast_shapes(np.shape(cells.values), np.shape(cells.nulls))
    numbers = np.broadcast_to(cells.values, shape).astype(storage.to_pandas_dtype(), copy=False)
    return pa.array(numbers, storage, mask=np.broadcast_to(cells.nulls, shape)).view(type)


def constant(kind: str, type: Any, value: Any, *, literal: bool = True) -> Node:
    """Return a node that has one value in every row; None is null in its type."""
    if kind not in NUMBERS:
        cells = arrow_cells(pa.scalar(value, type), NOWHERE)
    elif value is None:
        cells = Cells(NUMBERS[kind](0), EVERYWHERE)
    else:
        cells = Cells(NUMBERS[kind](value))
    return Node(kind, type, lambda _: cells, literal)


def choose(mask: Mask, one: Cells, other: Cells) -> Cells:
    """Return the cells of `one` in the rows of a mask and else those of `other`, which have the same type."""
    doubt = _where(mask, one.doubt, other.doubt)
    whole = _where(mask, one.whole, other.whole)
    if isinstance(one.values, pa.Array | pa.Scalar):
        condition = pa.array(mask) if np.ndim(mask) else pa.scalar(bool(mask))
        return replace(arrow_cells(pc.if_else(condition, one.values, other.values), doubt), whole=whole)
    return Cells(np.where(mask, one.values, other.values), _where(mask, one.nulls, other.nulls), doubt, whole)


def _where(mask: Mask, one: Mask, other: Mask) -> Mask:
    return NOWHERE if one is NOWHERE and other is NOWHERE else np.where(mask, one, other)


def truth_of(cells: Cells, kind: str) -> Mask:
    """Return the rows whose value Python takes for true: neither None nor zero nor empty.

    Raises:
        NotColumnar: the truth of the kind is unknown.
    """
    values = cells.values
    if kind in {"bool", "int", "float", "mixed", "duration"}:
        true = values if kind == "bool" else values != 0
    elif kind in {"instant", "local", "day", "time", "record", "uuid"}:
        true = EVERYWHERE
    elif kind == "null":
        return NOWHERE
    elif kind in {"str", "bytes"}:
        true = mask_of(pc.greater(pc.binary_length(values), 0))
    elif kind == "decimal":
        true = mask_of(pc.not_equal(values, pa.scalar(0, values.type)))
    elif kind == "list":
        true = mask_of(pc.greater(pc.list_value_length(values), 0))
    elif kind == "map":
        true = np.diff(values.offsets.to_numpy()) > 0
    else:
        raise NotColumnar(f"the truth of {kind}")
    found: Mask = true if cells.nulls is NOWHERE else true & ~cells.nulls
    return found


def micros(type: Any) -> int:
    """Return the microseconds in the unit of a type."""
    return _MICROS_A_DAY if pa.types.is_date32(type) else _MICROS[type.unit]


def in_unit(node: Node, type: Any) -> Node:
    """Return a node of a counted kind in the finer unit of another type.

    Timestamps, days and times of day are within Python's range, so that none leaves int64.
    """
    factor = micros(node.type) // micros(type)
    if factor == 1:
        return node._replace(type=type)

    def run(batch: ColumnBatch) -> Cells:
        cells = node.run(batch)
        return replace(cells, values=cells.values * factor)

    return Node(node.kind, type, run)


def as_mixed(node: Node) -> Node:
    """Return ints as floats of the kind "mixed"; an int that no float equals is in doubt."""

    def run(batch: ColumnBatch) -> Cells:
        cells = node.run(batch)
        beyond = (cells.values > EXACT) | (cells.values < -EXACT)
        doubt = union(cells.doubt, beyond & ~cells.nulls) if beyond.any() else cells.doubt
        return Cells(cells.values.astype(np.float64), cells.nulls, doubt, ~cells.nulls)

    return Node("mixed", pa.float64(), run, node.literal)


def resolve_mixed(node: Node) -> Node:
    """Return a node of the kind "mixed" as floats, its ints in doubt; any other node is returned as it is."""
    if node.kind != "mixed":
        return node

    def run(batch: ColumnBatch) -> Cells:
        cells = node.run(batch)
        return Cells(cells.values, cells.nulls, union(cells.doubt, cells.whole))

    return Node("float", node.type, run, node.literal)


def unify(nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes converted to one type, so that each row can take its value from any of them.

    Raises:
        NotColumnar: they are of several kinds.
    """
    given = list(nodes)
    kinds = {node.kind for node in given} - {"null"}
    if kinds <= {"int", "float", "mixed"} and len(kinds) > 1:
        given = [as_mixed(node) if node.kind == "int" else node for node in given]
        given = [node._replace(kind="mixed") if node.kind == "float" else node for node in given]
        kinds = {"mixed"}
    if len(kinds) > 1:
        raise NotColumnar(f"values of several kinds in one place: {', '.join(sorted(kinds))}")
    if not kinds:
        return given
    kind = kinds.pop()
    if kind in {"record", "list", "map"} and len(given) > 1:
        raise NotColumnar(
            f"one {kind} or another"
        )  # two types are equal in Arrow where one holds a uuid and one a text
    type = _widest(kind, {node.type for node in given if node.kind != "null"})
    return [_typed(node, kind, type) for node in given]


def _widest(kind: str, types: set[Any]) -> Any:
    if kind in COUNTED:
        return min(types, key=micros)
    if len(types) > 1 and kind in {"int", "float", "mixed"}:
        return pa.int64() if kind == "int" else pa.float64()
    if len(types) > 1:
        raise NotColumnar(f"values of several types in one place: {', '.join(sorted(map(str, types)))}")
    return next(iter(types))


def _typed(node: Node, kind: str, type: Any) -> Node:
    if node.kind == "null":
        empty = constant(kind, type, None).run

        def run(batch: ColumnBatch) -> Cells:
            return replace(empty(batch), doubt=node.run(batch).doubt)

        return Node(kind, type, run, node.literal)
    return in_unit(node, type) if kind in COUNTED else node._replace(type=type)
