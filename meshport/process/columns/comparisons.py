"""Python's comparisons over columns: equality, order and membership, with the row path's rules for null."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshport.process.columns.cells import (
    COUNTED,
    EVERYWHERE,
    EXACT,
    NOWHERE,
    Cells,
    ColumnBatch,
    Mask,
    Node,
    NotColumnar,
    arrow_of,
    constant,
    in_unit,
    mask_of,
    memoized,
    micros,
    union,
)

_NUMBERS: Final = frozenset({"bool", "int", "float", "mixed"})
# Arrow compares text and bytes by their octets, which is the order of code points.
_IN_ARROW: Final = frozenset({"str", "uuid", "bytes", "decimal"})
_OPERATIONS: Final[Mapping[type[ast.cmpop], tuple[Callable[[Any, Any], Any], str]]] = {
    ast.Eq: (np.equal, "equal"),
    ast.Lt: (np.less, "less"),
    ast.LtE: (np.less_equal, "less_equal"),
    ast.Gt: (np.greater, "greater"),
    ast.GtE: (np.greater_equal, "greater_equal"),
}

Compared = Callable[[Cells, Cells], tuple[Mask, Mask]]


def boolean(run: Callable[[ColumnBatch], Cells]) -> Node:
    """Return a node of bools."""
    return Node("bool", pa.bool_(), run)


def is_null(node: Node, *, yes: bool) -> Node:
    """Return `x is None`, or `x is not None`."""

    def run(batch: ColumnBatch) -> Cells:
        cells = node.run(batch)
        return Cells(cells.nulls if yes else ~cells.nulls, doubt=cells.doubt)

    return boolean(run)


def ordered(operation: type[ast.cmpop], one: Node, other: Node) -> Node:
    """Return `<`, `<=`, `>` or `>=`, which is false for a null.

    Raises:
        NotColumnar: the two kinds have no order in Python, or none in columns.
    """
    if "null" in (one.kind, other.kind):
        return _with_doubts(lambda _: NOWHERE, one, other)
    one, other, compared = _comparison(operation, one, other)

    def run(batch: ColumnBatch) -> Cells:
        left, right = one.run(batch), other.run(batch)
        known = ~union(left.nulls, right.nulls)
        found, doubt = compared(left, right)
        return Cells(found & known, doubt=union(left.doubt, right.doubt, doubt & known))

    return boolean(run)


def equal(one: Node, other: Node, *, yes: bool = True) -> Node:
    """Return `==` or `!=`, for which None equals only None.

    Raises:
        NotColumnar: columns cannot compare the two kinds.
    """

    def nulls_only(left: Cells, right: Cells) -> tuple[Mask, Mask]:
        del left, right
        return NOWHERE, NOWHERE

    text_and_number = {"str"} <= {one.kind, other.kind} and {one.kind, other.kind} & _NUMBERS
    if text_and_number or "null" in (one.kind, other.kind):
        compared: Compared = nulls_only
    else:
        one, other, compared = _comparison(ast.Eq, one, other)

    def run(batch: ColumnBatch) -> Cells:
        left, right = one.run(batch), other.run(batch)
        found, doubt = compared(left, right)
        unknown = union(left.nulls, right.nulls)
        if unknown is not NOWHERE:
            found = np.where(unknown, left.nulls & right.nulls, found)
            doubt = doubt & ~unknown
        return Cells(found if yes else ~found, doubt=union(left.doubt, right.doubt, doubt))

    return boolean(run)


def _comparison(operation: type[ast.cmpop], one: Node, other: Node) -> tuple[Node, Node, Compared]:
    numeric, named = _OPERATIONS[operation]
    kinds = {one.kind, other.kind}
    if kinds <= _NUMBERS:
        return one, other, _numbers_compared(numeric, one.kind, other.kind)
    if len(kinds) == 1 and kinds <= COUNTED:
        finer = min(one.type, other.type, key=micros)
        return in_unit(one, finer), in_unit(other, finer), _numbers_compared(numeric, "int", "int")
    if kinds <= {"decimal", "int"} or (len(kinds) == 1 and kinds <= _IN_ARROW and one.type == other.type):
        types = one.type, other.type
        function = getattr(pc, named)

        def compared(left: Cells, right: Cells) -> tuple[Mask, Mask]:
            return mask_of(function(arrow_of(left, types[0]), arrow_of(right, types[1]))), NOWHERE

        return one, other, compared
    raise NotColumnar(f"a comparison of {one.kind} and {other.kind}")


def _numbers_compared(numeric: Callable[[Any, Any], Any], one: str, other: str) -> Compared:
    """Compare numbers; an int beyond 2**53 with a float is in doubt, since numpy converts it and Python does not."""
    floats = frozenset({"float", "mixed"})

    def compared(left: Cells, right: Cells) -> tuple[Mask, Mask]:
        doubt = NOWHERE
        if one == "int" and other in floats:
            doubt = _beyond(left.values)
        elif other == "int" and one in floats:
            doubt = _beyond(right.values)
        return numeric(left.values, right.values), doubt

    return compared


def _beyond(numbers: Any) -> Mask:
    found = (numbers > EXACT) | (numbers < -EXACT)
    return found if found.any() else NOWHERE


def _with_doubts(value: Callable[[ColumnBatch], Mask], *nodes: Node) -> Node:
    def run(batch: ColumnBatch) -> Cells:
        return Cells(value(batch), doubt=union(*(node.run(batch).doubt for node in nodes)))

    return boolean(run)


def both(one: Node, other: Node) -> Node:
    """Return `one and other` of two comparisons; doubts of the other count where the one is true."""

    def run(batch: ColumnBatch) -> Cells:
        left, right = one.run(batch), other.run(batch)
        return Cells(left.values & right.values, doubt=union(left.doubt, right.doubt & left.values))

    return boolean(run)


def member(item: Node, items: Sequence[Node], *, yes: bool) -> Node:
    """Return `item in (a, b)`, or `not in`: whether the item is one of them or equals one.

    Raises:
        NotColumnar: columns cannot compare the item with one of them.
    """
    texts = {"str"} == {item.kind, *(each.kind for each in items)} and all(each.literal for each in items)
    if texts and len(items) > 1:
        values = pa.array([each.run(ColumnBatch({}, 0)).values.as_py() for each in items], pa.string())

        def run(batch: ColumnBatch) -> Cells:
            cells = item.run(batch)
            found = mask_of(pc.is_in(cells.values, value_set=values))
            return Cells(found if yes else ~found, doubt=cells.doubt)

        return boolean(run)
    item, items = memoized(item), [memoized(each) for each in items]
    tests = [equal(item, each) for each in items]
    # For a NaN `is` may be true, and then Python does not ask `==`.
    floats = [each for each in items if {item.kind, each.kind} <= {"float", "mixed"} and not each.literal]

    def run_each(batch: ColumnBatch) -> Cells:
        cells = [test.run(batch) for test in tests]
        found = union(*(each.values for each in cells))
        doubt = union(item.run(batch).doubt, *(each.doubt for each in cells))
        if floats:
            nans = np.isnan(item.run(batch).values)
            doubt = union(doubt, *(nans & np.isnan(each.run(batch).values) for each in floats))
        return Cells(found if yes else ~found, doubt=doubt)

    return boolean(run_each)


def within(item: Node, text: str | None, container: Node, *, yes: bool) -> Node:
    """Return `'a' in name` of a text, `'a' in tags` of a list of texts, or `not in`; both are false for a null.

    Raises:
        NotColumnar: the item is no literal text, or the container is neither.
    """
    if container.kind == "null":
        return _with_doubts(lambda _: NOWHERE, item, container)
    if text is None or container.kind not in {"str", "list"}:
        raise NotColumnar(f"`in` of {container.kind}, or of what is no literal text")
    listed = container.kind == "list"
    if listed and not _of_texts(container.type):
        raise NotColumnar(f"`in` of {container.type}")

    def run(batch: ColumnBatch) -> Cells:
        cells = container.run(batch)
        found = _any_equal(cells.values, text) if listed else mask_of(pc.match_substring(cells.values, text))
        return Cells((found if yes else ~found) & ~cells.nulls, doubt=cells.doubt)

    return boolean(run)


def _of_texts(kind: Any) -> bool:
    return bool(pa.types.is_string(kind.value_type) and not kind.value_field.metadata)


def _any_equal(lists: Any, text: str) -> Mask:
    found = np.zeros(len(lists), np.bool_)
    parents = pc.list_parent_indices(lists).to_numpy()
    found[parents[mask_of(pc.equal(lists.flatten(), text))]] = True
    return found


def none(*nodes: Node) -> Node:
    """Return None in every row, with the doubts of some nodes."""
    empty = constant("null", pa.null(), None).run

    def run(batch: ColumnBatch) -> Cells:
        return Cells(empty(batch).values, EVERYWHERE, union(*(node.run(batch).doubt for node in nodes)))

    return Node("null", pa.null(), run)
