"""Finds assertions about time in the syntax trees of tests, so that the suite passes on a machine of any speed.

Refused is a comparison of a clock in an assertion, wherever the clock was read: in the assertion, in a variable, a list, an
attribute, a key of a dictionary or a function of another module. What counts as an assertion is an `assert`, an `if` that
raises or fails, an exit code, and a deadline of Hypothesis.

Allowed are the forms that measure nothing:

- a `while` that compares a clock, and an `if` in a loop that compares a clock with a deadline (`clock() + patience`): both
  only end a wait;
- a wall clock beside a value that is no clock's, as in `before <= event.recorded <= datetime.now(UTC)`: an order, no length.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import Final


class Kind(IntEnum):
    """What a value has to do with a clock; the greater wins where values are combined."""

    NONE = 0
    WALL = 1
    """An instant of the wall clock."""
    DEADLINE = 2
    """An instant of another clock, and a number added to it."""
    CLOCK = 3
    """A reading of a clock that counts from nowhere: monotonic, or of CPU time."""
    SPAN = 4
    """A difference of readings."""
    VERDICT = 5
    """The outcome of a comparison that is refused in an assertion."""


@dataclass(frozen=True, order=True)
class Refusal:
    """An assertion about time.

    Attributes:
        line: of the module.
        text: its source.
    """

    line: int
    text: str


@dataclass
class Known:
    """What modules of a suite know of one another: names whose values come from clocks, each with its module.

    Attributes:
        functions: the kind of what a function returns.
        attributes: the kind of the attributes, properties and methods of a name.
        keys: the kind of what dictionaries hold under a key.
    """

    functions: dict[tuple[str, str], Kind] = field(default_factory=dict)
    attributes: dict[tuple[str, str], Kind] = field(default_factory=dict)
    keys: dict[tuple[str, str], Kind] = field(default_factory=dict)

    def size(self) -> int:
        """A number that grows with whatever is learnt."""
        return sum(sum(each.values()) for each in (self.functions, self.attributes, self.keys))


_CLOCKS: Final = {
    **dict.fromkeys(
        f"time.{name}{unit}" for name in ("monotonic", "perf_counter", "process_time", "thread_time") for unit in ("", "_ns")
    ),
    **dict.fromkeys(("time.clock_gettime", "time.clock_gettime_ns", "timeit.default_timer", "timeit.timeit", "os.times")),
}  # fmt: skip
_WALLS: Final = {
    "time.time", "time.time_ns", "time.gmtime", "time.localtime", "datetime.now", "datetime.utcnow", "datetime.today",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "date.today", "datetime.date.today",
}  # fmt: skip
_CPU_FIELDS: Final = {"ru_utime", "ru_stime", "tms_utime", "tms_stime"}
# Calls whose result is as much a clock's as their arguments.
_THROUGH: Final = {
    "abs", "float", "int", "iter", "list", "max", "min", "next", "reversed", "round", "set", "sorted", "sum", "tuple", "zip",
    "enumerate", "mean", "median", "fmean", "stdev", "quantiles", "approx", "timedelta", "Fraction", "Decimal",
}  # fmt: skip
_FOLLOWED: Final = (
    *(ast.Assert, ast.If, ast.Call, ast.Dict, ast.Return, ast.Yield, ast.Import, ast.ImportFrom, ast.Constant),
    *(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For, ast.AsyncFor, ast.comprehension),
)
_FILLING: Final = {"add", "append", "extend", "insert", "put", "update"}
_COMPARING: Final = {"isclose", "allclose"}


def refusals(modules: Mapping[str, str]) -> dict[str, list[Refusal]]:
    """Find the assertions about time in a suite.

    Args:
        modules: the source of each module, by its dotted name.

    Returns:
        Those of each module that has some, in the order of their lines.
    """
    known = Known()
    readers = [_Module(name, ast.parse(source), known, modules.keys()) for name, source in modules.items()]
    before = -1
    while known.size() != before:  # a module may learn from each other one what a function returns
        before = known.size()
        for reader in readers:
            reader.learn()
    found = {reader.name: sorted(set(reader.refused())) for reader in readers}
    return {name: each for name, each in found.items() if each}


class _Module:
    """One module: what its names hold, function by function."""

    def __init__(self, name: str, tree: ast.Module, known: Known, suite: Set[str]) -> None:
        self.name = name
        self._known = known
        self._scopes = _scopes_of(tree)
        nodes = [node for scope in self._scopes for node in scope.nodes]
        self._imported = dict(_imports(nodes))
        # Modules whose objects, or whose output as a process of its own, this one may have.
        self._related = {name, *(suite & _mentioned(nodes, self._imported.values()))}

    def learn(self) -> None:
        """Follow every assignment until nothing new is learnt."""
        before = -1
        while (now := sum(sum(scope.names.values()) for scope in self._scopes) + self._known.size()) != before:
            before = now
            for scope in self._scopes:
                for node in scope.nodes:
                    self._follow(node, scope)

    def refused(self) -> Iterator[Refusal]:
        """The assertions about time."""
        for scope in self._scopes:
            for node in scope.nodes:
                if self._is_refused(node, scope):
                    yield Refusal(node.lineno, ast.unparse(node).partition("\n")[0])  # type: ignore[attr-defined] # statements and calls have lines

    def _is_refused(self, node: ast.AST, scope: _Scope) -> bool:
        match node:
            case ast.Assert(test=test):
                return self._judges(test, scope)
            case ast.If(test=test) if self._judges(test, scope) and _fails(node):
                return not (scope.is_in_loop(node) and self._compares_deadlines(test, scope))
            case ast.Call(func=func, keywords=keywords) if _last(func) == "settings":
                return any(each.arg == "deadline" and not _is_none(each.value) for each in keywords)
            case ast.Call(func=func, args=[status, *_]) if _last(func) in {"exit", "_exit"}:
                return self._judges(status, scope)
        return False

    def _judges(self, test: ast.expr, scope: _Scope) -> bool:
        """Whether the truth of an expression depends on a length of time."""
        return any(
            self._kind(each, scope) is Kind.VERDICT
            for each in ast.walk(test)
            if isinstance(each, ast.Compare | ast.Name | ast.Call | ast.Attribute | ast.Subscript)
        )

    def _compares_deadlines(self, test: ast.expr, scope: _Scope) -> bool:
        """Whether all comparisons of clocks are of a reading with a deadline."""
        for compare in (each for each in ast.walk(test) if isinstance(each, ast.Compare)):
            kinds = {self._kind(each, scope) for each in (compare.left, *compare.comparators)}
            if kinds & {Kind.SPAN, Kind.VERDICT} or (Kind.CLOCK in kinds and Kind.DEADLINE not in kinds):
                return False
        return True

    def _follow(self, node: ast.AST, scope: _Scope) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._assign(target, value, scope)
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
                self._assign(target, value, scope)
            case ast.AugAssign(target=target, value=value):
                self._hold(target, self._kind(value, scope), scope)
            case ast.For(target=target, iter=value) | ast.AsyncFor(target=target, iter=value):
                self._hold(target, self._kind(value, scope), scope)
            case ast.comprehension(target=target, iter=value):
                self._hold(target, self._kind(value, scope), scope)
            case ast.Return(value=ast.expr() as value) | ast.Yield(value=ast.expr() as value):
                scope.returns = max(scope.returns, self._kind(value, scope))
                self._publish(scope)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    self._learn_key(key, self._kind(value, scope))
            case ast.Call(func=ast.Attribute(value=holder, attr=method), args=arguments) if method in _FILLING:
                self._hold(holder, max((self._kind(each, scope) for each in arguments), default=Kind.NONE), scope)
            case ast.Call(func=func, keywords=keywords) if _last(func)[:1].isupper() or _last(func) == "dict":
                for each in keywords:
                    self._learn_attribute(each.arg or "", self._kind(each.value, scope))

    def _assign(self, target: ast.expr, value: ast.expr, scope: _Scope) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, other in zip(target.elts, value.elts, strict=True):
                self._assign(one, other, scope)
        else:
            self._hold(target, self._kind(value, scope), scope)

    def _hold(self, target: ast.expr, kind: Kind, scope: _Scope) -> None:
        match target:
            case ast.Name(id=name):
                holder = scope.of(name) or scope
                holder.names[name] = max(holder.names.get(name, Kind.NONE), kind)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self._hold(part, kind, scope)
            case ast.Attribute(attr=name):
                self._learn_attribute(name, kind)
            case ast.Subscript(value=holder, slice=key):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    self._learn_key(key, kind)
                else:
                    self._hold(holder, kind, scope)
            case ast.Starred(value=inner):
                self._hold(inner, kind, scope)

    def _publish(self, scope: _Scope) -> None:
        if isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef):
            if scope.is_method:
                self._learn_attribute(scope.node.name, scope.returns)
            else:
                name = (self.name, scope.node.name)
                self._known.functions[name] = max(self._known.functions.get(name, Kind.NONE), scope.returns)

    def _learn_attribute(self, name: str, kind: Kind) -> None:
        if kind >= Kind.CLOCK:
            known = self._known.attributes
            known[self.name, name] = max(known.get((self.name, name), Kind.NONE), kind)

    def _learn_key(self, key: ast.expr | None, kind: Kind) -> None:
        if kind >= Kind.CLOCK and isinstance(key, ast.Constant) and isinstance(key.value, str):
            known = self._known.keys
            known[self.name, key.value] = max(known.get((self.name, key.value), Kind.NONE), kind)

    def _learnt(self, known: Mapping[tuple[str, str], Kind], name: str) -> Kind:
        return max(known.get((module, name), Kind.NONE) for module in self._related) if known else Kind.NONE

    def _kind(self, value: ast.AST, scope: _Scope) -> Kind:
        match value:
            case ast.Name(id=name):
                holder = scope.of(name)
                return holder.names[name] if holder else Kind.NONE
            case ast.Attribute(value=holder, attr=name):
                if name in _CPU_FIELDS:
                    return Kind.CLOCK
                return max(self._kind(holder, scope), self._learnt(self._known.attributes, name))
            case ast.Subscript(value=holder, slice=key):
                known = self._learnt(self._known.keys, str(key.value)) if isinstance(key, ast.Constant) else Kind.NONE
                return max(self._kind(holder, scope), known)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return self._difference(left, right, scope)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                kind = max(self._kind(left, scope), self._kind(right, scope))
                return Kind.DEADLINE if kind is Kind.CLOCK else kind
            case ast.Compare():
                return self._comparison([value.left, *value.comparators], scope)
            case ast.Call():
                return self._call(value, scope)
            case ast.Lambda(body=body) | ast.Await(value=body):
                return self._kind(body, scope)
            case ast.IfExp(body=body, orelse=other):
                return max(self._kind(body, scope), self._kind(other, scope))
            case ast.NamedExpr(value=inner) | ast.Starred(value=inner):
                return self._kind(inner, scope)
            case (
                ast.DictComp(value=inner)
                | ast.ListComp(elt=inner)
                | ast.SetComp(elt=inner)
                | ast.GeneratorExp(elt=inner)
            ):
                return self._kind(inner, scope)
            case ast.BinOp() | ast.UnaryOp() | ast.BoolOp() | ast.List() | ast.Tuple() | ast.Set():
                return max((self._kind(each, scope) for each in ast.iter_child_nodes(value)), default=Kind.NONE)
        return Kind.NONE

    def _difference(self, left: ast.expr, right: ast.expr, scope: _Scope) -> Kind:
        ours, theirs = self._kind(left, scope), self._kind(right, scope)
        if theirs is Kind.NONE and (
            isinstance(right, ast.Constant) or _last(getattr(right, "func", right)) == "timedelta"
        ):
            return ours  # an instant, moved
        return Kind.SPAN if max(ours, theirs) else Kind.NONE

    def _comparison(self, sides: list[ast.expr], scope: _Scope) -> Kind:
        kinds = [self._kind(each, scope) for each in sides]
        lengths = any(each > Kind.WALL for each in kinds)
        walls = any(one and other for one, other in pairwise(kinds))
        return Kind.VERDICT if lengths or walls else Kind.NONE

    def _call(self, call: ast.Call, scope: _Scope) -> Kind:
        name = self._full_name(call.func)
        if name in _CLOCKS or name.endswith("loop().time"):
            return Kind.CLOCK
        if name in _WALLS:
            return Kind.WALL
        last = _last(call.func)
        arguments = [*call.args, *(each.value for each in call.keywords)]
        if last in _COMPARING:
            return self._comparison(arguments, scope)
        if last in _THROUGH or last in {"all", "any", "bool"}:
            return max((self._kind(each, scope) for each in arguments), default=Kind.NONE)
        if isinstance(call.func, ast.Name):
            module, _, function = name.rpartition(".")
            returned = self._known.functions.get((module or self.name, function), Kind.NONE)
            return max(returned, self._kind(call.func, scope))
        return self._kind(call.func, scope)

    def _full_name(self, func: ast.expr) -> str:
        first, dot, rest = _dotted(func).partition(".")
        return self._imported.get(first, first) + dot + rest


class _Scope:
    """A module or a function: the kinds of its own names, and the names that it looks up outside.

    Attributes:
        node: the module or function.
        is_method: whether it is a function of a class.
        nodes: those within it that matter here, without those of the functions that it defines.
        names: the kinds of its names.
        returns: the kind of what it returns.
    """

    def __init__(self, node: ast.AST, outer: _Scope | None, *, is_method: bool = False) -> None:
        self.node = node
        self.is_method = is_method
        self.nodes: list[ast.AST] = []
        self.names: dict[str, Kind] = {}
        self.returns = Kind.NONE
        self._outer = outer
        self._own = _parameters(node)
        self._outside: set[str] = set()
        self._in_loops: set[int] = set()

    def take(self, node: ast.AST, *, in_loop: bool) -> None:
        """Take note of a node within it."""
        if isinstance(node, _FOLLOWED):
            self.nodes.append(node)
            if in_loop:
                self._in_loops.add(id(node))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            self._own.add(node.id)
        elif isinstance(node, ast.Nonlocal | ast.Global):
            self._outside.update(node.names)

    def of(self, name: str) -> _Scope | None:
        """The scope that holds a name."""
        if name in self._own and name not in self._outside:
            self.names.setdefault(name, Kind.NONE)
            return self
        return self._outer.of(name) if self._outer else None

    def is_in_loop(self, node: ast.AST) -> bool:
        """Whether a loop of the scope is around the node."""
        return id(node) in self._in_loops


def _scopes_of(tree: ast.Module) -> list[_Scope]:
    """The module and its functions, each after the one that defines it."""
    scopes = [_Scope(tree, None)]
    left: list[tuple[ast.AST, _Scope, bool]] = [(tree, scopes[0], False)]
    while left:
        node, scope, in_loop = left.pop()
        for each in ast.iter_child_nodes(node):
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                scopes.append(_Scope(each, scope, is_method=isinstance(node, ast.ClassDef)))
                left.append((each, scopes[-1], False))
            elif each._fields:
                scope.take(each, in_loop=in_loop)
                left.append((each, scope, in_loop or isinstance(each, ast.For | ast.While)))
    return scopes


def _parameters(node: ast.AST) -> set[str]:
    arguments = getattr(node, "args", None)
    return {each.arg for each in ast.walk(arguments) if isinstance(each, ast.arg)} if arguments else set()


def _imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((each.asname, each.name) for each in node.names if each.asname)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((each.asname or each.name, f"{node.module}.{each.name}") for each in node.names)


def _mentioned(nodes: Iterable[ast.AST], imported: Iterable[str]) -> set[str]:
    """The modules that a module imports, or names in a text, as where it starts one."""
    words = {each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return words | {name for each in imported for name in (each, each.rpartition(".")[0])}


def _dotted(func: ast.expr) -> str:
    """`a.b` of a name and its attribute, `a().b` of a call's."""
    match func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=holder, attr=name):
            return f"{_dotted(holder)}.{name}"
        case ast.Call(func=called):
            return f"{_dotted(called)}()"
    return ""


def _last(func: ast.AST) -> str:
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _fails(node: ast.If) -> bool:
    """Whether one of the two ways of an `if` ends in a failure."""
    return any(
        isinstance(each, ast.Raise | ast.Assert) or (isinstance(each, ast.Call) and _last(each.func) == "fail")
        for statement in (*node.body, *node.orelse)
        for each in ast.walk(statement)
    )
