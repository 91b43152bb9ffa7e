"""The columnar forms of the functions of expressions, one for each row of `meshport.expression.functions`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshport.expression.functions import FUNCTIONS, Function
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

ColumnarForm = Callable[[Sequence[Node], Sequence[ast.expr]], Node]
"""(arguments, arguments as written) -> the call. Raises NotColumnar where there is no such form over their kinds."""

_MICROS: Final = pa.duration("us")
_MOST_DIGITS: Final = 15
# Texts that Python and Arrow read as the same number. Python also takes blanks, underscores and digits of other scripts.
_INT: Final = r"\A-?[0-9]{1,18}\z"
_FLOAT: Final = r"\A-?[0-9]{1,15}(\.[0-9]{1,15})?\z"


def null_aware(kind: str, type: Any, function: Callable[..., arithmetic.Result], *nodes: Node) -> Node:
    """Return a function of numbers as a node: null, and in no doubt, where an argument is null."""

    def run(batch: ColumnBatch) -> Cells:
        cells = [node.run(batch) for node in nodes]
        nulls = union(*(each.nulls for each in cells))
        values, own = function(*(each.values for each in cells))
        doubt = own if own is NOWHERE or nulls is NOWHERE else own & ~nulls
        return Cells(values, nulls, union(doubt, *(each.doubt for each in cells)))

    return Node(kind, type, run)


def as_int(node: Node) -> Node:
    """Return bools or ints as ints."""
    if node.kind == "int":
        return node._replace(type=pa.int64())
    return null_aware("int", pa.int64(), lambda values: (values.astype(np.int64), NOWHERE), node)


def as_float(node: Node) -> Node:
    """Return numbers as floats; an int that no float equals is rounded as Python rounds it."""
    if node.kind == "float":
        return node._replace(type=pa.float64())
    return null_aware("float", pa.float64(), lambda values: (values.astype(np.float64), NOWHERE), node)


def signed(node: Node, *, minus: bool) -> Node:
    """Return `-x`, or `+x`.

    Raises:
        NotColumnar: columns have no sign of this kind.
    """
    node = resolve_mixed(node)
    match node.kind:
        case "null":
            return none(node)
        case "float":
            return null_aware("float", pa.float64(), arithmetic.negate_float, node) if minus else as_float(node)
        case "bool" | "int":
            return null_aware("int", pa.int64(), arithmetic.negate, as_int(node)) if minus else as_int(node)
        case "decimal" if minus:
            return decimals.negate(node)
    raise NotColumnar(f"a sign before {node.kind}")


def called(name: str, nodes: Sequence[Node], arguments: Sequence[ast.expr]) -> Node:
    """Return the call of a function.

    Args:
        name: the function's name.
        nodes: the arguments.
        arguments: the same, as written.

    Raises:
        NotColumnar: columns have no such function of these kinds.
    """
    return COLUMNAR_FORMS[FUNCTIONS[name]](nodes, arguments)


def _by_kind(name: str, forms: Mapping[str, Callable[[Node], Node]]) -> ColumnarForm:
    """Return the form of a function of one argument, which is null for a null.

    Args:
        name: the function's name.
        forms: the columnar form for each kind of the argument.
    """

    def call(nodes: Sequence[Node], _: Sequence[ast.expr]) -> Node:
        node = nodes[0]
        if node.kind == "null":
            return none(node)
        if node.kind not in forms:
            node = resolve_mixed(node)
        if node.kind not in forms:
            raise NotColumnar(f"{name}() of {node.kind}")
        return forms[node.kind](node)

    return call


def _of_numbers(form: Callable[[Node], Node]) -> Mapping[str, Callable[[Node], Node]]:
    return dict.fromkeys(("bool", "int", "float"), form)


def _coalesce(nodes: Sequence[Node], _: Sequence[ast.expr]) -> Node:
    nodes = unify(nodes)

    def run(batch: ColumnBatch) -> Cells:
        cells = [node.run(batch) for node in nodes]
        found = cells[0]
        for each in cells[1:]:
            if found.nulls.any():
                found = choose(found.nulls, each, found)
        # The row path computes every argument, whichever value it takes.
        return Cells(found.values, found.nulls, union(*(each.doubt for each in cells)), found.whole)

    return Node(nodes[0].kind, nodes[0].type, run)


def _extreme(operation: type[ast.cmpop]) -> ColumnarForm:
    """Return `min` or `max`: the first argument that no other one is less or greater than, as Python compares them."""

    def call(nodes: Sequence[Node], _: Sequence[ast.expr]) -> Node:
        if any(node.kind == "null" for node in nodes):
            return none(*nodes)
        best, *others = unify(nodes)
        for node in others:
            best = _better(operation, best, node)
        return best

    return call


def _better(operation: type[ast.cmpop], best: Node, node: Node) -> Node:
    def run(batch: ColumnBatch) -> Cells:
        held, each = best.run(batch), node.run(batch)
        kept = Node(best.kind, best.type, lambda _: held), Node(node.kind, node.type, lambda _: each)
        compared = ordered(operation, kept[1], kept[0]).run(batch)
        nulls = union(held.nulls, each.nulls)
        # A null argument makes the result null.
        found = choose(compared.values, each, held)
        if nulls is not NOWHERE:
            found = choose(held.nulls, held, choose(each.nulls, each, found))
        return Cells(found.values, found.nulls, union(held.doubt, each.doubt, compared.doubt), found.whole & ~nulls)

    return Node(best.kind, best.type, run)


def _round(nodes: Sequence[Node], arguments: Sequence[ast.expr]) -> Node:
    if len(nodes) == 1:
        return _round_whole(nodes, arguments)
    if any(node.kind == "null" for node in nodes):
        return none(*nodes)
    node, digits = resolve_mixed(nodes[0]), arguments[1]
    count = digits.value if isinstance(digits, ast.Constant) else None
    if type(count) is not int or not 0 <= count <= _MOST_DIGITS:
        raise NotColumnar("round() to other than a literal number of digits from 0 to 15")
    if node.kind in {"bool", "int"}:
        return as_int(node)
    if node.kind != "float":
        raise NotColumnar(f"round() of {node.kind}")
    return null_aware("float", pa.float64(), arithmetic.round_digits(count), node)


def _whole(rounding: Callable[[Any], Any]) -> Mapping[str, Callable[[Node], Node]]:
    """Return the forms of a function from numbers to ints, which rounds floats."""
    function = arithmetic.whole(rounding)
    return _of_numbers(
        lambda node: null_aware("int", pa.int64(), function, node) if node.kind == "float" else as_int(node)
    )


def _absolute(node: Node) -> Node:
    if node.kind == "float":
        return null_aware("float", pa.float64(), arithmetic.absolute_float, node)
    return null_aware("int", pa.int64(), arithmetic.absolute, as_int(node))


def _absolute_duration(node: Node) -> Node:
    return null_aware("duration", node.type, arithmetic.absolute, node)


def _seconds(node: Node) -> Node:
    return null_aware("float", pa.float64(), arithmetic.seconds, in_unit(node, _MICROS))


def _hour(node: Node) -> Node:
    return null_aware("int", pa.int64(), arithmetic.hour, in_unit(node, _MICROS))


def _date(node: Node) -> Node:
    return null_aware("day", pa.date32(), arithmetic.days, in_unit(node, _MICROS))


def _number_text(node: Node) -> Node:
    if node.kind == "float":
        raise NotColumnar("str() of a float")  # Arrow writes other digits
    if node.kind == "bool":
        return _text(node, lambda values, _: pc.if_else(values, "True", "False"))
    return _text(as_int(node), pc.cast)


def _text(node: Node, written: Callable[[Any, Any], Any]) -> Node:
    def run(batch: ColumnBatch) -> Cells:
        cells = node.run(batch)
        return arrow_cells(written(arrow_of(cells, node.type), pa.string()), cells.doubt)

    return Node("str", pa.string(), run)


def _of_ascii(function: Callable[[Any], Any]) -> Callable[[Node], Node]:
    """Return the form of a function of text on which Arrow and Python agree for ASCII; other texts are in doubt."""

    def compiled(node: Node) -> Node:
        def run(batch: ColumnBatch) -> Cells:
            cells = node.run(batch)
            beyond = mask_of(pc.invert(pc.string_is_ascii(cells.values)))
            return arrow_cells(function(cells.values), union(cells.doubt, beyond))

        return Node("str", pa.string(), run)

    return compiled


def _length(function: Callable[[Any], Any]) -> Callable[[Node], Node]:
    def compiled(node: Node) -> Node:
        def run(batch: ColumnBatch) -> Cells:
            cells = node.run(batch)
            return _number_cells(pc.cast(function(cells.values), pa.int64()), cells.nulls, cells.doubt)

        return Node("int", pa.int64(), run)

    return compiled


def _parsed(kind: str, type: Any, pattern: str) -> Callable[[Node], Node]:
    """Return the form that reads numbers from texts of a pattern; other texts are in doubt."""

    def compiled(node: Node) -> Node:
        def run(batch: ColumnBatch) -> Cells:
            cells = node.run(batch)
            plain = pc.match_substring_regex(cells.values, pattern)
            numbers = pc.cast(pc.if_else(plain, cells.values, pa.scalar("0")), type)
            return _number_cells(numbers, cells.nulls, union(cells.doubt, ~mask_of(plain) & ~cells.nulls))

        return Node(kind, type, run)

    return compiled


def _number_cells(numbers: Any, nulls: Mask, doubt: Mask) -> Cells:
    """Return numbers of Arrow as cells."""
    if isinstance(numbers, pa.Scalar):
        return Cells(np.asarray(numbers.as_py() or 0), nulls, doubt)
    known = numbers.fill_null(0) if numbers.null_count else numbers
    return Cells(known.to_numpy(zero_copy_only=False), nulls, doubt)


_round_whole: Final = _by_kind("round", _whole(np.rint))

_FORMS_BY_KIND: Final[Mapping[str, Mapping[str, Callable[[Node], Node]]]] = {
    "abs": {**_of_numbers(_absolute), "duration": _absolute_duration, "decimal": decimals.absolute},
    "ceil": _whole(np.ceil),
    "date": {"instant": _date, "local": _date},
    "float": {**_of_numbers(as_float), "mixed": as_float, "str": _parsed("float", pa.float64(), _FLOAT)},
    "floor": _whole(np.floor),
    "hour": {"instant": _hour, "local": _hour},
    "int": {**_whole(np.trunc), "str": _parsed("int", pa.int64(), _INT)},
    "len": {
        "str": _length(pc.utf8_length),
        "bytes": _length(pc.binary_length),
        "list": _length(pc.list_value_length),
    },
    "lower": {"str": _of_ascii(pc.ascii_lower)},
    "seconds": {"duration": _seconds},
    "str": {
        **_of_numbers(_number_text),
        "str": lambda node: node,
        "uuid": lambda node: node._replace(kind="str"),
        "day": lambda node: _text(node, pc.cast),
    },
    "upper": {"str": _of_ascii(pc.ascii_upper)},
}
_OTHER_FORMS: Final[Mapping[str, ColumnarForm]] = {
    "coalesce": _coalesce,
    "max": _extreme(ast.Gt),
    "min": _extreme(ast.Lt),
    "round": _round,
}

COLUMNAR_FORMS: Final[Mapping[Function, ColumnarForm]] = {
    **{FUNCTIONS[name]: _by_kind(name, forms) for name, forms in _FORMS_BY_KIND.items()},
    **{FUNCTIONS[name]: form for name, form in _OTHER_FORMS.items()},
}
"""The columnar form of every function."""
