"""The functions of expressions over columns, and what lifts a function of numbers over nulls and doubts."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshport.process.columns import arithmetic, decimals
from meshport.process.columns.cells import (
    NOWHERE,
    Cells,
    ColumnBatch,
    Mask,
    Node,
    NotColumnar,
    arrow_cells,
    arrow_of,
    choose,
    in_unit,
    mask_of,
    resolve_mixed,
    unify,
    union,
)
from meshport.process.columns.comparisons import none, ordered

_MICROS: Final = pa.duration("us")
_MOST_DIGITS: Final = 15
# What `int` and `float` read alike in Python and Arrow; Python also takes blanks, underscores and other scripts' digits.
_INT: Final = r"\A-?[0-9]{1,18}\z"
_FLOAT: Final = r"\A-?[0-9]{1,15}(\.[0-9]{1,15})?\z"
_ROUNDINGS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "int": np.trunc,
    "round": np.rint,
    "floor": np.floor,
    "ceil": np.ceil,
}


def null_aware(kind: str, type: Any, function: Callable[..., arithmetic.Result], *nodes: Node) -> Node:
    """A function of numbers as a node: null where one of them is, and not computed there."""

    def run(rows: ColumnBatch) -> Cells:
        cells = [node.run(rows) for node in nodes]
        nulls = union(*(each.nulls for each in cells))
        values, own = function(*(each.values for each in cells))
        doubt = own if own is NOWHERE or nulls is NOWHERE else own & ~nulls
        return Cells(values, nulls, union(doubt, *(each.doubt for each in cells)))

    return Node(kind, type, run)


def as_int(node: Node) -> Node:
    """Bools and ints as ints."""
    if node.kind == "int":
        return node._replace(type=pa.int64())
    return null_aware("int", pa.int64(), lambda values: (values.astype(np.int64), NOWHERE), node)


def as_float(node: Node) -> Node:
    """Numbers as floats, an int that has none of its own rounded as Python rounds it."""
    if node.kind == "float":
        return node._replace(type=pa.float64())
    return null_aware("float", pa.float64(), lambda values: (values.astype(np.float64), NOWHERE), node)


def signed(node: Node, *, minus: bool) -> Node:
    """`-x`, or `+x`."""
    node = resolve_mixed(node)
    match node.kind:
        case "null":
            return none(node)
        case "float":
            return null_aware("float", pa.float64(), arithmetic.negate_float, node) if minus else as_float(node)
        case "bool" | "int":
            return null_aware("int", pa.int64(), arithmetic.negate, as_int(node)) if minus else as_int(node)
        case "decimal" if minus:
            return decimals.magnitude(node, turned=True)
    raise NotColumnar(f"a sign before {node.kind}")


def called(name: str, nodes: Sequence[Node], arguments: Sequence[ast.expr]) -> Node:
    """A call of a function.

    Args:
        name: one of `FUNCTIONS` of expressions.
        nodes: its arguments.
        arguments: as they are written.

    Raises:
        NotColumnar: columns do not have it, or not of such values.
    """
    if name == "coalesce":
        return _coalesce(unify(nodes))
    if any(node.kind == "null" for node in nodes):
        return none(*nodes)
    if name in {"min", "max"}:
        return _extreme(ast.Lt if name == "min" else ast.Gt, unify(nodes))
    if name == "float" and nodes[0].kind == "mixed":
        return as_float(nodes[0])
    node = resolve_mixed(nodes[0])
    if len(nodes) > 1:
        return _round_digits(node, arguments[1])
    if node.kind == "str" and name in _OF_TEXT:
        return _OF_TEXT[name](node)
    if node.kind in {"bool", "int", "float"} and name in _OF_NUMBER:
        return _OF_NUMBER[name](node)
    return _other(name, node)


def _other(name: str, node: Node) -> Node:
    match name, node.kind:
        case "len", "bytes":
            return _length(node, pc.binary_length)
        case "len", "list":
            return _length(node, pc.list_value_length)
        case "str", "uuid":
            return node._replace(kind="str")
        case "str", "day":
            return _text(node, pc.cast)
        case "seconds", "duration":
            return null_aware("float", pa.float64(), arithmetic.seconds, in_unit(node, _MICROS))
        case "abs", "duration":
            return null_aware("duration", node.type, arithmetic.absolute, node)
        case "abs", "decimal":
            return decimals.magnitude(node, turned=False)
        case "hour", "instant":
            return null_aware("int", pa.int64(), arithmetic.hour, in_unit(node, _MICROS))
        case "date", "instant":
            return null_aware("day", pa.date32(), arithmetic.days, in_unit(node, _MICROS))
    raise NotColumnar(f"{name}() of {node.kind}")


def _coalesce(nodes: Sequence[Node]) -> Node:
    def run(rows: ColumnBatch) -> Cells:
        cells = [node.run(rows) for node in nodes]
        found = cells[0]
        for each in cells[1:]:
            if found.nulls.any():
                found = choose(found.nulls, each, found)
        # Every argument is computed, whichever is taken.
        return Cells(found.values, found.nulls, union(*(each.doubt for each in cells)), found.whole)

    return Node(nodes[0].kind, nodes[0].type, run)


def _extreme(operation: type[ast.cmpop], nodes: Sequence[Node]) -> Node:
    """`min` and `max`: the first of which no other is less, or greater, as Python goes through them."""
    best = nodes[0]
    for node in nodes[1:]:
        best = _better(operation, best, node)
    return best


def _better(operation: type[ast.cmpop], best: Node, node: Node) -> Node:
    def run(rows: ColumnBatch) -> Cells:
        held, each = best.run(rows), node.run(rows)
        kept = Node(best.kind, best.type, lambda _: held), Node(node.kind, node.type, lambda _: each)
        compared = ordered(operation, kept[1], kept[0]).run(rows)
        nulls = union(held.nulls, each.nulls)
        # A null among them makes the result null.
        found = choose(compared.values, each, held)
        if nulls is not NOWHERE:
            found = choose(held.nulls, held, choose(each.nulls, each, found))
        return Cells(found.values, found.nulls, union(held.doubt, each.doubt, compared.doubt), found.whole & ~nulls)

    return Node(best.kind, best.type, run)


def _round_digits(node: Node, digits: ast.expr) -> Node:
    count = digits.value if isinstance(digits, ast.Constant) else None
    if type(count) is not int or not 0 <= count <= _MOST_DIGITS:
        raise NotColumnar("round() to other than a literal number of digits from 0 to 15")
    if node.kind in {"bool", "int"}:
        return as_int(node)
    if node.kind != "float":
        raise NotColumnar(f"round() of {node.kind}")
    return null_aware("float", pa.float64(), arithmetic.round_digits(count), node)


def _whole(name: str) -> Callable[[Node], Node]:
    function = arithmetic.whole(_ROUNDINGS[name])
    return lambda node: null_aware("int", pa.int64(), function, node) if node.kind == "float" else as_int(node)


def _absolute(node: Node) -> Node:
    if node.kind == "float":
        return null_aware("float", pa.float64(), arithmetic.absolute_float, node)
    return null_aware("int", pa.int64(), arithmetic.absolute, as_int(node))


def _number_text(node: Node) -> Node:
    if node.kind == "float":
        raise NotColumnar("str() of a float")  # Arrow writes other digits
    if node.kind == "bool":
        return _text(node, lambda values, _: pc.if_else(values, "True", "False"))
    return _text(as_int(node), pc.cast)


def _text(node: Node, written: Callable[[Any, Any], Any]) -> Node:
    def run(rows: ColumnBatch) -> Cells:
        cells = node.run(rows)
        return arrow_cells(written(arrow_of(cells, node.type), pa.string()), cells.doubt)

    return Node("str", pa.string(), run)


def _of_ascii(function: Callable[[Any], Any]) -> Callable[[Node], Node]:
    """A function of text of which Arrow and Python agree where there is nothing but ASCII."""

    def compiled(node: Node) -> Node:
        def run(rows: ColumnBatch) -> Cells:
            cells = node.run(rows)
            beyond = mask_of(pc.invert(pc.string_is_ascii(cells.values)))
            return arrow_cells(function(cells.values), union(cells.doubt, beyond))

        return Node("str", pa.string(), run)

    return compiled


def _length(node: Node, function: Callable[[Any], Any]) -> Node:
    def run(rows: ColumnBatch) -> Cells:
        cells = node.run(rows)
        return _counted(pc.cast(function(cells.values), pa.int64()), cells.nulls, cells.doubt)

    return Node("int", pa.int64(), run)


def _parsed(kind: str, type: Any, pattern: str) -> Callable[[Node], Node]:
    """Numbers of texts that look as both Python and Arrow take them; the others are in doubt."""

    def compiled(node: Node) -> Node:
        def run(rows: ColumnBatch) -> Cells:
            cells = node.run(rows)
            plain = pc.match_substring_regex(cells.values, pattern)
            numbers = pc.cast(pc.if_else(plain, cells.values, pa.scalar("0")), type)
            return _counted(numbers, cells.nulls, union(cells.doubt, ~mask_of(plain) & ~cells.nulls))

        return Node(kind, type, run)

    return compiled


def _counted(numbers: Any, nulls: Mask, doubt: Mask) -> Cells:
    """Numbers of Arrow as cells."""
    if isinstance(numbers, pa.Scalar):
        return Cells(np.asarray(numbers.as_py() or 0), nulls, doubt)
    known = numbers.fill_null(0) if numbers.null_count else numbers
    return Cells(known.to_numpy(zero_copy_only=False), nulls, doubt)


_OF_TEXT: Final[Mapping[str, Callable[[Node], Node]]] = {
    "float": _parsed("float", pa.float64(), _FLOAT),
    "int": _parsed("int", pa.int64(), _INT),
    "len": lambda node: _length(node, pc.utf8_length),
    "lower": _of_ascii(pc.ascii_lower),
    "str": lambda node: node,
    "upper": _of_ascii(pc.ascii_upper),
}
_OF_NUMBER: Final[Mapping[str, Callable[[Node], Node]]] = {
    "abs": _absolute,
    "ceil": _whole("ceil"),
    "float": as_float,
    "floor": _whole("floor"),
    "int": _whole("int"),
    "round": _whole("round"),
    "str": _number_text,
}
