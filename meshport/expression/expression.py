"""Expressions of product.yaml: a small, safe part of Python's own grammar.

    delay > 0 and origin in ("ATL", "ORD")
    duration_ms / 60000
    coalesce(label, "none")
    price.amount * quantity

Names are fields of the record, dots go into nested records: `price.amount` is null where `price` is null. A field may be
named like a keyword of Python: `class == "first"`, `event.from`. Where expressions use the word themselves (`and`, `or`,
`not`, `in`, `is`, `if`, `else`, `None`, `True`, `False`), a field of that name stands in backquotes: `` `in` > 3 ``.

There are literals, arithmetic (`+ - * / // %`),
comparisons, `in`, `and`, `or`, `not`, `a if c else b`, and the functions of `meshport.expression.functions`; nothing
else, so an expression can neither reach into Python nor run for long.

Arithmetic and functions with a null give null, and an ordering comparison with a null is false. `x is None` tests for
null, `coalesce(x, 0)` replaces it.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any, Final

from meshport.address import nearest
from meshport.errors import ProcessError
from meshport.expression.functions import FUNCTIONS, null_safe

# Longer than expressions in practice, and far below what exhausts Python's own parser.
_LONGEST: Final = 1000
_DEEPEST: Final = 40


@dataclass(frozen=True)
class Expression:
    """An expression, checked and compiled.

    Attributes:
        text: the expression as written.
        fields: the fields that it reads; of a dotted path the first name.
        tree: its syntax tree, of the nodes that expressions have.

    Raises:
        ProcessError: the text is no such expression; the message names what it holds instead.
    """

    text: str
    fields: frozenset[str] = field(init=False)
    tree: ast.expr = field(init=False, repr=False, compare=False)
    _run: Callable[[Mapping[str, Any]], Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check and compile."""
        tree = _parse(self.text)
        _Check(self.text).visit(tree, 0)
        object.__setattr__(self, "tree", tree)
        object.__setattr__(self, "fields", frozenset(_names(tree)))
        body = ast.Expression(ast.Lambda(args=_RECORD_ARGUMENT, body=_RowCompiler().of(tree)))
        code = compile(ast.fix_missing_locations(body), "<expression>", "eval")
        # Only nodes that `_Check` lets through reach this point, and they see nothing but `_WORLD`.
        object.__setattr__(self, "_run", eval(code, dict(_WORLD)))  # noqa: S307

    def __call__(self, record: Mapping[str, Any]) -> Any:
        """Return the value for one record.

        Raises:
            KeyError: the record lacks a field.
            TypeError: an operator or a function does not take these values.
            ArithmeticError: a division by zero, an overflow.
        """
        return self._run(record)

    def refuse_unknown(self, known: Sequence[str]) -> None:
        """Check that every field that the expression reads exists.

        Args:
            known: the fields of the record.

        Raises:
            ProcessError: one does not.
        """
        for name in sorted(self.fields - set(known)):
            near = nearest(name, list(known))
            raise ProcessError(
                f"{self.text!r} reads {name!r}, which the record does not have",
                hint=f"did you mean {near!r}?" if near else f"its fields: {', '.join(known)}",
            )


def _parse(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ProcessError(f"an expression of {len(text)} characters", hint=f"at most {_LONGEST}")
    try:
        return ast.parse(_TOKEN.sub(_as_identifier, text.strip()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # Python advises `:=` besides `==`, which expressions do not have.
        reason = (
            error.msg.replace(" or ':='", "") if isinstance(error, SyntaxError) else str(error) or "it nests too deep"
        )
        used = sorted({token["name"] for token in _TOKEN.finditer(text)} & _WORDS - {"None", "True", "False"})
        raise ProcessError(
            f"{text!r} is no expression: {reason}",
            hint="write it as in Python: `delay > 0 and origin == 'ATL'`"
            + (f"; a field that is named {' or '.join(map(repr, used))} stands in backquotes" if used else ""),
        ) from error


_TOKEN: Final = re.compile(
    r"""[rbuf]{0,2}(?:'''.*?'''|\"{3}.*?\"{3}|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")  # a text
    |`(?P<quoted>[^`]*)`
    |\d[\w.]*
    |(?P<dot>\.\s*)?(?P<name>[^\W\d]\w*)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_WORDS: Final = frozenset({"and", "or", "not", "in", "is", "if", "else", "None", "True", "False"})
"""The keywords of Python that expressions use."""


def _as_identifier(token: re.Match[str]) -> str:
    """Return a token as Python's parser takes it.

    A field's name that is a keyword is written with another form of its first letter. Python takes only the exact spelling for
    a keyword, and brings identifiers into the normal form NFKC, which is the plain name again.
    """
    quoted, name = token["quoted"], token["name"]
    if quoted is None and (name is None or (name in _WORDS and not token["dot"])):
        return token[0]
    if quoted is not None and not quoted.isidentifier():
        raise ProcessError(
            f"`{quoted}` is no name of a field", hint="backquotes hold one name; a path is written `shot`.`class`"
        )
    plain = name if quoted is None else quoted
    return (token["dot"] or "") + (chr(ord(plain[0]) + _FULLWIDTH) + plain[1:] if iskeyword(plain) else plain)


_FULLWIDTH: Final = ord("\N{FULLWIDTH LATIN SMALL LETTER A}") - ord("a")

_BINARY: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "_add",
    ast.Sub: "_sub",
    ast.Mult: "_mul",
    ast.Div: "_div",
    ast.FloorDiv: "_floordiv",
    ast.Mod: "_mod",
}
_ORDERING: Final[Mapping[type[ast.cmpop], str]] = {ast.Lt: "_lt", ast.LtE: "_le", ast.Gt: "_gt", ast.GtE: "_ge"}
_MEMBER: Final[Mapping[type[ast.cmpop], str]] = {ast.In: "_in", ast.NotIn: "_not_in"}


_NO_BITS: Final = "expressions do not compute with bits"
_OTHER_OPERATORS: Final[Mapping[type[ast.operator] | type[ast.unaryop], tuple[str, str]]] = {
    ast.Pow: ("**", "multiply: `a * a`"),
    ast.MatMult: ("@", "multiply numbers with `*`"),
    ast.BitAnd: ("&", f"`and` joins conditions; {_NO_BITS}"),
    ast.BitOr: ("|", f"`or` joins conditions; {_NO_BITS}"),
    ast.BitXor: ("^", f"two conditions differ where `a != b`; {_NO_BITS}"),
    ast.LShift: ("<<", f"multiply: `a * 8`; {_NO_BITS}"),
    ast.RShift: (">>", f"divide: `a // 8`; {_NO_BITS}"),
    ast.Invert: ("~", f"`not` negates a condition; {_NO_BITS}"),
}
"""Python's operators that expressions do not have, as they are written, and what there is instead."""


def _other_syntax(node: ast.expr) -> tuple[str, str | None]:
    """Return what a node that expressions do not have is to its author, and what there is instead, if there is something.

    `for`, `lambda`, `yield` and `await` make no node: they are names of fields.
    """
    match node:
        case ast.BinOp(op=operation) | ast.UnaryOp(op=operation):
            sign, instead = _OTHER_OPERATORS[type(operation)]
            return f"the operator `{sign}`", instead
        case ast.Constant(value=bytes()):
            return "a literal of bytes", "write a text, without the `b` before its quotes"
        case ast.Constant(value=complex()):
            return "a complex number", "numbers are integers or have a decimal point: `2`, `0.5`"
        case ast.Constant():
            return "`...`", None
        case ast.Call(func=ast.Name(id=name), keywords=[_, *_]):
            return f"an argument of {name}() by its name", f"give the values alone: `{name}(a, b)`"
        case ast.Call(func=ast.Attribute(attr=name)):
            here = name in FUNCTIONS
            return f"a call of the method `.{name}()`", f"call the function: `{name}(a)`" if here else None
        case ast.Call():
            return "a call of something that is no function", None
        case ast.Subscript():
            return "square brackets after a value", "a dot leads into a record: `price.amount`; `in` looks into a list"
        case ast.Dict():
            return "a dictionary", "derive one field for each value"
        case ast.NamedExpr():
            return "the assignment `:=`", "`==` compares; to name a value, derive it as a field in a step before"
        case ast.Starred():
            return "`*` before a list", "give the values one by one"
        case _:  # JoinedStr, and TemplateStr since Python 3.14
            return "a text with `f` or `t` before its quotes", 'join texts with `+`: `"n: " + str(a)`'


class _Check:
    """Refuses every node that is not in the grammar of expressions."""

    def __init__(self, text: str) -> None:
        self._text = text

    def visit(self, node: ast.expr, depth: int) -> None:
        if depth > _DEEPEST:
            raise ProcessError(f"{self._text!r} nests more than {_DEEPEST} levels deep")
        for child in self._children(node):
            self.visit(child, depth + 1)

    def _children(self, node: ast.expr) -> Sequence[ast.expr]:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return ()
            case ast.Name(id=name):
                if name.startswith("__") and name.endswith("__"):
                    raise self._refused(f"the name {name!r}")
                return ()
            case ast.Attribute(value=inner, attr=name):
                if not isinstance(inner, ast.Name | ast.Attribute) or (name.startswith("__") and name.endswith("__")):
                    raise self._refused(f"the attribute {name!r}")
                return (inner,)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return (left, right)
            case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
                return (operand,)
            case ast.BoolOp(values=values):
                return values
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return (test, body, orelse)
            case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
                return items
            case ast.Compare(left=left, ops=ops, comparators=others):
                for each, other in zip(ops, others, strict=True):
                    if isinstance(each, ast.Is | ast.IsNot) and not (
                        isinstance(other, ast.Constant) and other.value is None
                    ):
                        raise self._refused("`is` with anything but None", "`==` compares two values")
                return (left, *others)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                self._call(name, arguments)
                return arguments
        raise self._refused(*_other_syntax(node))

    def _call(self, name: str, arguments: Sequence[ast.expr]) -> None:
        if name not in FUNCTIONS:
            near = nearest(name, list(FUNCTIONS))
            raise ProcessError(
                f"{self._text!r} calls {name!r}",
                hint=f"did you mean {near!r}?" if near else f"functions: {', '.join(FUNCTIONS)}",
            )
        function = FUNCTIONS[name]
        if not function.least <= len(arguments) <= function.most:
            raise self._refused(
                f"{name}() with {len(arguments)} values",
                f"{name}() takes {function.least}" + (f" to {function.most}" if function.most > function.least else ""),
            )

    def _refused(self, what: str, instead: str | None = None) -> ProcessError:
        return ProcessError(
            f"{self._text!r} holds {what}, which expressions do not have",
            hint=instead
            or "fields, literals, + - * / // %, comparisons, in, and/or/not, a if b else c, "
            f"and the functions {', '.join(FUNCTIONS)}; write anything else in Python (`process: python:`)",
        )


def _names(node: ast.expr) -> Iterator[str]:
    functions = {id(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and id(each) not in functions:
            yield each.id


_RECORD_ARGUMENT: Final = ast.arguments(
    posonlyargs=[ast.arg("_record")], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]
)


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _calling(function: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(_load(function), list(arguments), [])


class _RowCompiler:
    """Rewrites a checked tree: names to look-ups in the record, operators to their null-safe functions."""

    def __init__(self) -> None:
        self._middles = 0

    def of(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.Name(id=name):
                return ast.Subscript(_load("_record"), ast.Constant(name), ast.Load())
            case ast.Attribute(value=inner, attr=name):
                return _calling("_inner", self.of(inner), ast.Constant(name))
            case ast.BinOp(left=left, op=operation, right=right):
                return _calling(_BINARY[type(operation)], self.of(left), self.of(right))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ast.UnaryOp(ast.Not(), self.of(operand))
            case ast.UnaryOp(op=op, operand=operand):
                return _calling("_neg" if isinstance(op, ast.USub) else "_pos", self.of(operand))
            case ast.BoolOp(op=op, values=values):
                return ast.BoolOp(op, [self.of(value) for value in values])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return ast.IfExp(self.of(test), self.of(body), self.of(orelse))
            case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
                return ast.Tuple([self.of(item) for item in items], ast.Load())
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compare(left, ops, others)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return _calling(f"_f_{name}", *(self.of(argument) for argument in arguments))
        return node

    def _compare(self, left: ast.expr, ops: Sequence[ast.cmpop], others: Sequence[ast.expr]) -> ast.expr:
        pairs: list[ast.expr] = []
        first = self.of(left)
        for number, (op, right) in enumerate(zip(ops, others, strict=True)):
            second = following = self.of(right)
            if number + 1 < len(ops):
                # The middle operand is computed once; copied, it would double with every level of nesting.
                self._middles += 1
                name = f"_middle{self._middles}"
                second, following = ast.NamedExpr(ast.Name(name, ast.Store()), second), _load(name)
            named = _ORDERING.get(type(op)) or _MEMBER.get(type(op))
            pairs.append(_calling(named, first, second) if named else ast.Compare(first, [op], [second]))
            first = following
        return pairs[0] if len(pairs) == 1 else ast.BoolOp(ast.And(), pairs)


def _binary(function: Callable[[Any, Any], Any], null: Any = None) -> Callable[[Any, Any], Any]:
    return lambda a, b: null if a is None or b is None else function(a, b)


def _product(a: Any, b: Any) -> Any:
    # Text or a list times a number would let nine bytes of a record make gigabytes.
    if isinstance(a, str | bytes | list) or isinstance(b, str | bytes | list):
        raise TypeError(f"{type(a).__name__} * {type(b).__name__}")
    return a * b


def _remainder(a: Any, b: Any) -> Any:
    if isinstance(a, str | bytes):  # Python's text formatting
        raise TypeError(f"{type(a).__name__} % {type(b).__name__}")
    return a % b


def _inner(record: Any, name: str) -> Any:
    return None if record is None else record[name]


_WORLD: Final[Mapping[str, Any]] = {
    "__builtins__": {},
    "_add": _binary(operator.add),
    "_sub": _binary(operator.sub),
    "_mul": _binary(_product),
    "_div": _binary(operator.truediv),
    "_floordiv": _binary(operator.floordiv),
    "_mod": _binary(_remainder),
    "_lt": _binary(operator.lt, False),
    "_le": _binary(operator.le, False),
    "_gt": _binary(operator.gt, False),
    "_ge": _binary(operator.ge, False),
    "_in": lambda item, items: items is not None and item in items,
    "_not_in": lambda item, items: items is not None and item not in items,
    "_neg": null_safe(operator.neg),
    "_pos": null_safe(operator.pos),
    "_inner": _inner,
    **{f"_f_{name}": function.row for name, function in FUNCTIONS.items()},
}
