"""The fields of its inputs that a pipeline reads, which a product has to declare so that the gate can protect it.

A field is read by a pipeline if the pipeline would fail, or give other results, without it: the operands of expressions,
aggregations and joins, the keys by which rows are matched, the time of the events, and the fields of the output.
A path with dots (`shot.statsbomb_xg`) is a field within a record, as in expressions.

The fields that a product's own Python reads cannot be derived; see `FieldsRead.complete`. Of a joined product Python sees
only the fields that the join takes, which are known.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from meshport.address import Address
from meshport.expression.expression import Expression
from meshport.process.logic.operators import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Filter,
    Flatten,
    Join,
    JoinStream,
    Operator,
    Rename,
    Select,
)
from meshport.process.logic.pipeline import Pipeline
from meshport.product.field_path import last_name


@dataclass(frozen=True)
class InputContract:
    """The part of an input's contract that a pipeline depends on.

    Attributes:
        fields: the names of the schema's fields, in order.
        key: the fields of the record key.
        time: the field of the event time; None where the publisher gives it.
        compacted: whether a later record of a key replaces the earlier one.
    """

    fields: tuple[str, ...]
    key: tuple[str, ...] = ()
    time: str | None = None
    compacted: bool = False


@dataclass(frozen=True)
class FieldsRead:
    """The fields of each input that a pipeline is known to read.

    Attributes:
        paths: by input, each field once, in the order of the input's schema. A path includes all fields within it.
        complete: whether no other field of the pipeline's own input is read; False where a Python function receives whole
            records.
        surplus: the fields of the input that records keep to the end though the output does not have them, and that no
            operator is known to read.
        computed: by input, the paths whose values operators compute with, rather than pass on: operands of expressions, keys of
            groups, joins and de-duplications, and what is aggregated. What a Python function reads is not among them.
    """

    paths: Mapping[Address, tuple[str, ...]]
    complete: bool
    surplus: tuple[str, ...] = ()
    computed: Mapping[Address, tuple[str, ...]] = field(default_factory=dict)

    def missing(self, address: Address, declared: Iterable[str]) -> tuple[str, ...]:
        """Return the paths of an input that a list of declared fields does not cover."""
        names = tuple(declared)
        return tuple(path for path in self.paths.get(address, ()) if not any(within(path, name) for name in names))


def fields_read(
    pipeline: Pipeline, inputs: Mapping[Address, InputContract], output: Collection[str] | None = None
) -> FieldsRead:
    """Return the fields that a pipeline reads.

    Args:
        pipeline: the logic; its fields exist (`meshport.process.logic.shape.check_pipeline`).
        inputs: the contracts of its input and of joined products. What it reads of others is left out.
        output: the fields of its output. A field that the output does not have is not read by being kept to the end, as
            one that came into the input's contract after the pipeline was written. None: every kept field is read.
    """
    source = inputs.get(pipeline.input, InputContract(()))
    walk = _Walk(pipeline.input, source)
    for operator in pipeline.operators:
        walk.step(operator)
    computed = {each: _in_order(paths, inputs[each].fields) for each, paths in walk.computed.items() if each in inputs}
    carried = {name: path for name, (address, path) in walk.origins.items() if address == pipeline.input}
    kept = [name for name in carried if output is None or name in output]
    walk.read(*kept)
    needs = walk.needs
    for address, paths in walk.computed.items():
        needs.setdefault(address, set()).update(paths)
    own = needs.setdefault(pipeline.input, set())
    own |= {name for name in walk.present if not any(within(path, name) for path in own)}
    own |= {source.time} if source.time else set()
    if source.compacted and isinstance(pipeline.grouping, Aggregate):
        own |= set(source.key)  # an updated row replaces the contribution of its key
    for address in pipeline.joined:
        other = inputs.get(address, InputContract(()))
        needs.setdefault(address, set()).update(other.key, [other.time] if other.time else [])
    read = {path.partition(".")[0] for path in own}
    ends = {origin for name, origin in carried.items() if name not in kept}
    return FieldsRead(
        {each: _in_order(paths, inputs[each].fields) for each, paths in needs.items() if each in inputs},
        walk.complete,
        tuple(name for name in source.fields if name in ends - read),
        computed,
    )


@dataclass
class _Walk:
    """Goes through the operators, with the input and the path from which each field of the record comes unchanged."""

    input: Address
    source: InputContract
    complete: bool = True
    needs: dict[Address, set[str]] = field(default_factory=dict)
    computed: dict[Address, set[str]] = field(default_factory=dict)
    origins: dict[str, tuple[Address, str]] = field(init=False)
    present: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.origins = {name: (self.input, name) for name in self.source.fields}

    def read(self, *paths: str) -> None:
        """Note that fields of the record are read, each by its path."""
        for path in paths:
            if origin := self._origin(path):
                self.computed.setdefault(origin[0], set()).add(origin[1])

    def _origin(self, path: str) -> tuple[Address, str] | None:
        """Return the input and its path from which a field of the record comes unchanged; None for one that a step made."""
        name, dot, inner = path.partition(".")
        if name not in self.origins:
            return None
        address, field = self.origins[name]
        return address, field + dot + inner

    def step(self, operator: Operator) -> None:
        match operator:
            case Select(names):
                self._is_present(names)
                self.origins = {last_name(path): origin for path in names if (origin := self._origin(path))}
            case Rename(names):
                self._is_present(names)
                self.origins = {names.get(name, name): origin for name, origin in self.origins.items()}
            case Filter(test):
                self._function(test)
            case Derive(derived):
                for each in derived.values():
                    self._function(each)
                self._made(derived)
            case Flatten(items):
                if callable(items):
                    self._anything()
                else:  # an item has the name of its list, so that paths within it keep their beginning
                    self._is_present((items,))
                    origin = self._origin(items)
                    self._made((last_name(items),))
                    self.origins |= {last_name(items): origin} if origin else {}
            case Join() | JoinStream():
                self.read(operator.on)
                other = operator.table if isinstance(operator, Join) else operator.stream
                self.needs.setdefault(other, set()).update(operator.take.values())
                self.origins |= {name: (other, taken) for name, taken in operator.take.items()}
            case Deduplicate(by=by):
                self.read(*by)
            case Aggregate():
                self.read(*operator.by, *operator.inputs)
                self.origins = {}
            case Apply(by=by):
                self.read(*by)
                self._anything()

    def _is_present(self, names: Iterable[str]) -> None:
        """Note fields that must exist, although their values are not read yet."""
        origins = (self._origin(name) for name in names)
        self.present |= {origin[1] for origin in origins if origin and origin[0] == self.input}

    def _function(self, function: object) -> None:
        if isinstance(function, Expression):
            read, tested = _paths(function)
            self.read(*read)
            self._is_present(tested)  # whether a record is null shows in any field within it
        else:
            self.complete = False

    def _made(self, names: Iterable[str]) -> None:
        for name in names:
            self.origins.pop(name, None)

    def _anything(self) -> None:
        """Note a function that takes whole records and makes fields of unknown origin."""
        self.complete = False
        self.origins = {}


def paths_in(expression: Expression) -> frozenset[str]:
    """Return the fields that an expression reads, those within records by their dotted path."""
    read, tested = _paths(expression)
    return frozenset(read | tested)


def _paths(expression: Expression) -> tuple[set[str], set[str]]:
    """Return the fields whose values an expression reads, and those that it compares with null."""
    read: set[str] = set()
    tested: set[str] = set()
    pending: list[ast.expr] = [expression.tree]
    while pending:
        node = pending.pop()
        if path := _path(node):
            read.add(path)
            continue
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot) and (path := _path(node.left)):
            tested.add(path)
            continue
        children = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
        pending += [child for child in children if isinstance(child, ast.expr)]
    return read, tested


def within(path: str, other: str) -> bool:
    """Return whether a path is that of another field, or of a field within it."""
    return path == other or path.startswith(f"{other}.")


def _path(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (inner := _path(node.value)):
        return f"{inner}.{node.attr}"
    return None


def _in_order(paths: set[str], fields: tuple[str, ...]) -> tuple[str, ...]:
    """Return paths in the order of the schema's fields, without those that another path includes."""
    kept = [path for path in paths if not any(path != other and within(path, other) for other in paths)]
    order = {name: number for number, name in enumerate(fields)}
    return tuple(sorted(kept, key=lambda path: (order.get(path.partition(".")[0], len(fields)), path)))
