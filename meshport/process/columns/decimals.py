"""Python's arithmetic over columns of decimals: exact up to the 28 digits of its default context, in doubt beyond them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, getcontext
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshport.process.columns.cells import (
    NOWHERE,
    Cells,
    ColumnBatch,
    Node,
    NotColumnar,
    arrow_cells,
    arrow_of,
    mask_of,
    union,
)

_FUNCTIONS: Final = {"+": pc.add, "-": pc.subtract, "*": pc.multiply}
_INT: Final = pa.decimal128(19, 0)
# The most digits of Arrow's two widths.
_NARROW: Final = 38
_WIDE: Final = 76


def arithmetic(sign: str, one: Node, other: Node) -> Node:
    """Return `one + other`, `one - other` or `one * other` of decimals, or of a decimal and an int.

    Raises:
        NotColumnar: the operator is another one, which rounds, or a result may have more digits than Arrow holds.
    """
    if sign not in _FUNCTIONS:
        raise NotColumnar(f"{one.kind} {sign} {other.kind}")
    left, right = (_INT if node.kind == "int" else node.type for node in (one, other))
    if sign == "*":
        scale, digits = left.scale + right.scale, left.precision + right.precision + 1
    else:
        scale = max(left.scale, right.scale)
        digits = max(left.precision - left.scale, right.precision - right.scale) + scale + 1
    if digits > _WIDE or scale > _NARROW:
        raise NotColumnar(f"{left} {sign} {right}")
    wide = pa.decimal256 if digits > _NARROW else pa.decimal128
    types = [wide(kind.precision, kind.scale) for kind in (left, right)]
    function = _FUNCTIONS[sign]

    def run(batch: ColumnBatch) -> Cells:
        cells = [one.run(batch), other.run(batch)]
        operands = [
            pc.cast(arrow_of(each, node.type), kind)
            for each, node, kind in zip(cells, (one, other), types, strict=True)
        ]
        return _exact(function(*operands), type, union(*(each.doubt for each in cells)))

    type = pa.decimal128(min(digits, _NARROW), scale)
    return Node("decimal", type, run)


def negate(node: Node) -> Node:
    """Return `-x` of decimals."""
    return _unary(node, pc.negate)


def absolute(node: Node) -> Node:
    """Return `abs(x)` of decimals."""
    return _unary(node, pc.abs)


def _unary(node: Node, function: Callable[[Any], Any]) -> Node:
    def run(batch: ColumnBatch) -> Cells:
        cells = node.run(batch)
        return _exact(function(cells.values), node.type, cells.doubt)

    return Node("decimal", node.type, run)


def _exact(found: Any, type: Any, doubt: Any) -> Cells:
    """Return results in a type; those that Python would round are null and in doubt."""
    precision = getcontext().prec
    if found.type.precision > precision:
        # A scalar of the results' own width, so that Arrow casts neither.
        bound = pa.scalar(Decimal(1).scaleb(precision - type.scale), found.type)
        beyond = mask_of(pc.greater_equal(pc.abs(found), bound))
        if beyond.any():
            doubt = union(doubt, beyond)
            condition = pa.array(beyond) if np.ndim(beyond) else pa.scalar(bool(beyond))
            found = pc.if_else(condition, pa.scalar(None, found.type), found)
    cells = arrow_cells(pc.cast(found, type), NOWHERE)
    return Cells(cells.values, cells.nulls, doubt)
