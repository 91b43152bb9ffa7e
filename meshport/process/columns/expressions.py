"""Expressions of product.yaml over Arrow columns: every row has the value that `Expression` gives, or is in doubt.

A row whose value Arrow may compute differently (an int beyond int64, a division by zero, a letter beyond ASCII in
`lower`) is in doubt, and the row path computes it. An expression that Arrow cannot compute raises `NotColumnar`. Where an
expression gives an int in some rows and a float in others (`coalesce(price, 0)` of a double), the rows with an int are in
doubt, unless the value is only compared or computed with a float.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshport.expression.expression import Expression
from meshport.process.columns import arithmetic, comparisons, decimals, functions
from meshport.process.columns.cells import (
    Cells,
    ColumnBatch,
    Doubt,
    Node,
    NotColumnar,
    arrow_cells,
    choose,
    constant,
    holds_uuid,
    in_unit,
    kind_of,
    load,
    memoized,
    resolve_mixed,
    store,
    truth_of,
    unify,
    union,
)

__all__ = ["Compiled", "Doubt", "NotColumnar", "compile_columns", "truth"]

_SIGNS: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}
_DURATION: Final = pa.duration("us")


@dataclass(frozen=True)
class Compiled:
    """An expression compiled for columns.

    Attributes:
        text: the expression as written.
        type: the Arrow type of its values.
    """

    text: str
    type: pa.DataType
    _node: Node
    _read: Mapping[str, pa.DataType]

    def __call__(self, columns: Mapping[str, pa.Array]) -> pa.Array:
        """Return one value for each row.

        Args:
            columns: at least one array by name, all of one length, of the types that the expression was compiled for.

        Raises:
            Doubt: some rows have to be computed by the row path. Called with the other rows, this returns their values.
            TypeError: a column has another type.
        """
        for name, kind in self._read.items():
            if columns[name].type != kind:
                raise TypeError(f"{self.text!r} was compiled for {name!r} of {kind}, not {columns[name].type}")
        count = len(next(iter(columns.values())))
        try:
            with np.errstate(all="ignore"):
                cells = self._node.run(ColumnBatch(columns, count))
                if cells.doubt.any():
                    raise Doubt(f"values of {self.text!r}", np.broadcast_to(cells.doubt, count).copy())
                return store(cells, self._node, count)
        except (pa.ArrowInvalid, pa.ArrowCapacityError) as error:
            raise Doubt(f"{self.text!r}: {error}") from error


def compile_columns(expression: Expression, arrow: pa.Schema) -> Compiled:
    """Compile an expression for the columns of a schema.

    Args:
        expression: the expression as declared.
        arrow: the columns, as `meshport.columnar.arrow_schema` returns them.

    Raises:
        NotColumnar: the expression has no columnar form; the message has the reason.
    """
    node = resolve_mixed(_ColumnCompiler(arrow).of(expression.tree))
    if node.kind == "uuid" or holds_uuid(node.type):
        raise NotColumnar(f"{expression.text!r} is a uuid or holds one, which columns have as text")
    read = {name: arrow.field(name).type for name in sorted(expression.fields)}
    compiled = Compiled(expression.text, node.type, node, read)
    # A run over no rows shows whether Arrow has the kernels.
    try:
        found = compiled({name: pa.array([], kind) for name, kind in read.items()} or {"": pa.nulls(0)})
    except (pa.ArrowNotImplementedError, Doubt) as error:
        raise NotColumnar(f"{expression.text!r}: {error}") from error
    if found.type != node.type:
        raise NotColumnar(f"{expression.text!r} makes {found.type}, where {node.type} was meant")
    return compiled


def truth(values: pa.Array) -> pa.Array:
    """Return for each value whether Python takes it for true: it is neither null nor zero nor empty.

    Raises:
        NotColumnar: the values have a type that expressions do not have.
    """
    kind = kind_of(pa.field("", values.type))
    return pa.array(np.broadcast_to(truth_of(load(values, kind), kind), len(values)))


class _ColumnCompiler:
    """Compiles the syntax tree of an `Expression` to nodes over columns."""

    def __init__(self, arrow: pa.Schema) -> None:
        self._arrow = arrow
        self._columns: dict[str, Node] = {}

    def of(self, node: ast.expr) -> Node:
        match node:
            case ast.Constant(value=value):
                return _literal(value)
            case ast.Name(id=name):
                return self._column(name)
            case ast.Attribute(value=inner, attr=name):
                return _inner(self.of(inner), name)
            case ast.BinOp(left=left, op=operation, right=right):
                return _binary(_SIGNS[type(operation)], self.of(left), self.of(right))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _negation(self._truth(operand))
            case ast.UnaryOp(op=op, operand=operand):
                return functions.signed(self.of(operand), minus=isinstance(op, ast.USub))
            case ast.BoolOp(op=op, values=values):
                return _chained(op, [self.of(value) for value in values])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return _conditional(self._truth(test), *unify([self.of(body), self.of(orelse)]))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compare(left, ops, others)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return functions.called(name, [self.of(argument) for argument in arguments], arguments)
        raise NotColumnar(f"{type(node).__name__} as a value")

    def _column(self, name: str) -> Node:
        if name not in self._columns:
            if self._arrow.get_field_index(name) < 0:
                raise NotColumnar(f"there is no one column {name!r}")
            field = self._arrow.field(name)
            kind = kind_of(field)
            self._columns[name] = memoized(Node(kind, field.type, lambda batch: load(batch.columns[name], kind)))
        return self._columns[name]

    def _truth(self, node: ast.expr) -> Node:
        """Return the truth of an expression; there the operands of `and` and `or` may be of several kinds."""
        match node:
            case ast.BoolOp(op=op, values=values):
                return _chained(op, [self._truth(value) for value in values])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _negation(self._truth(operand))
        found = self.of(node)

        def run(batch: ColumnBatch) -> Cells:
            cells = found.run(batch)
            return Cells(truth_of(cells, found.kind), doubt=cells.doubt)

        return comparisons.boolean(run)

    def _compare(self, left: ast.expr, ops: Sequence[ast.cmpop], others: Sequence[ast.expr]) -> Node:
        pairs: list[Node] = []
        one = self.of(left)
        for op, right in zip(ops, others, strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                pairs.append(self._member(left, one, right, yes=isinstance(op, ast.In)))
                if len(pairs) < len(ops):
                    raise NotColumnar("a comparison of what was asked for a member")
                break
            # In a chain of comparisons the middle operands are each in two of them.
            other = memoized(self.of(right))
            pairs.append(_pair(one, op, other))
            left, one = right, other
        return reduce(comparisons.both, pairs)

    def _member(self, left: ast.expr, item: Node, right: ast.expr, *, yes: bool) -> Node:
        match right:
            case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
                return comparisons.member(item, [self.of(each) for each in items], yes=yes)
        text = left.value if isinstance(left, ast.Constant) and isinstance(left.value, str) else None
        return comparisons.within(item, text, self.of(right), yes=yes)


def _pair(one: Node, op: ast.cmpop, other: Node) -> Node:
    match op:
        case ast.Is() | ast.IsNot():
            return comparisons.is_null(one, yes=isinstance(op, ast.Is))
        case ast.Eq() | ast.NotEq():
            return comparisons.equal(one, other, yes=isinstance(op, ast.Eq))
    return comparisons.ordered(type(op), one, other)


def _literal(value: Any) -> Node:
    match value:
        case None:
            return constant("null", pa.null(), None)
        case bool():
            return constant("bool", pa.bool_(), value)
        case int() if -(2**63) <= value < 2**63:
            return constant("int", pa.int64(), value)
        case float():
            return constant("float", pa.float64(), value)
        case str() if value.isascii() or value.encode(errors="replace").decode() == value:
            return constant("str", pa.string(), value)
    raise NotColumnar(f"the literal {value!r}")


def _inner(outer: Node, name: str) -> Node:
    if outer.kind != "record" or outer.type.get_field_index(name) < 0:
        raise NotColumnar(f"{name!r} of {outer.type}")
    index = outer.type.get_field_index(name)
    field = outer.type.field(index)
    kind = kind_of(field)

    def run(batch: ColumnBatch) -> Cells:
        cells = outer.run(batch)
        return replace(load(pc.struct_field(cells.values, [index]), kind), doubt=cells.doubt)

    return Node(kind, field.type, run)


def _negation(node: Node) -> Node:
    def run(batch: ColumnBatch) -> Cells:
        cells = node.run(batch)
        return Cells(~cells.values, doubt=cells.doubt)

    return comparisons.boolean(run)


def _chained(op: ast.boolop, nodes: list[Node]) -> Node:
    """Return `and` or `or`, whose value is one of the operands; doubts of later operands do not count."""
    first, *others = unify(nodes)
    for other in others:
        first = _second(first, other, if_true=isinstance(op, ast.And))
    return first


def _second(one: Node, other: Node, *, if_true: bool) -> Node:
    def run(batch: ColumnBatch) -> Cells:
        left = one.run(batch)
        true = truth_of(left, one.kind)
        found = choose(true if if_true else ~true, other.run(batch), left)
        return replace(found, doubt=union(found.doubt, left.doubt))

    return Node(one.kind, one.type, run)


def _conditional(test: Node, body: Node, orelse: Node) -> Node:
    def run(batch: ColumnBatch) -> Cells:
        asked = test.run(batch)
        found = choose(asked.values, body.run(batch), orelse.run(batch))
        return replace(found, doubt=union(found.doubt, asked.doubt))

    return Node(body.kind, body.type, run)


def _binary(sign: str, one: Node, other: Node) -> Node:
    kinds = (one.kind, other.kind)
    if "null" in kinds:
        return comparisons.none(one, other)
    if sign == "+" and kinds == ("str", "str"):
        return _joined(one, other)
    if sign == "-" and one.kind == other.kind and one.kind in {"instant", "local", "day", "duration"}:
        return functions.null_aware(
            "duration", _DURATION, arithmetic.subtract, in_unit(one, _DURATION), in_unit(other, _DURATION)
        )
    if sign == "+" and kinds == ("duration", "duration"):
        return functions.null_aware(
            "duration", _DURATION, arithmetic.add, in_unit(one, _DURATION), in_unit(other, _DURATION)
        )
    if set(kinds) <= {"bool", "int"}:
        kind = "float" if sign == "/" else "int"
        type = pa.float64() if sign == "/" else pa.int64()
        return functions.null_aware(kind, type, arithmetic.INTS[sign], functions.as_int(one), functions.as_int(other))
    if set(kinds) <= {"bool", "int", "float", "mixed"}:
        # An int with a float becomes a float; two operands of the kind "mixed" may both be ints.
        if "float" not in kinds:
            one, other = resolve_mixed(one), resolve_mixed(other)
        return functions.null_aware(
            "float", pa.float64(), arithmetic.FLOATS[sign], functions.as_float(one), functions.as_float(other)
        )
    if "decimal" in kinds and set(kinds) <= {"decimal", "int"}:
        return decimals.arithmetic(sign, one, other)
    raise NotColumnar(f"{one.kind} {sign} {other.kind}")


def _joined(one: Node, other: Node) -> Node:
    def run(batch: ColumnBatch) -> Cells:
        left, right = one.run(batch), other.run(batch)
        joined = pc.binary_join_element_wise(left.values, right.values, "")
        return arrow_cells(joined, union(left.doubt, right.doubt))

    return Node("str", pa.string(), run)
