"""Which fields of its inputs each field of a pipeline's output is made from, as its operators say.

`FieldOrigin.how` follows OpenLineage's column lineage: a value is copied, derived by an expression, or aggregated over a group.
What decides only whether or where a record appears, such as a filter or the key of a join, is an influence on every field.

Nothing is guessed: fields that a product's own Python makes are of unknown origin.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from meshport.address import Address
from meshport.expression.expression import Expression
from meshport.field_flows import How
from meshport.process.logic.declared_reads import ReadPort
from meshport.process.logic.fields_read import InputContract, paths_in
from meshport.process.logic.load import declared_pipeline
from meshport.process.logic.operators import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Drop,
    Filter,
    Flatten,
    Join,
    JoinStream,
    Operator,
    Rename,
    Select,
)
from meshport.process.logic.pipeline import Pipeline
from meshport.product import Product
from meshport.product.field_path import last_name


@dataclass(frozen=True)
class FieldOrigin:
    """A field of an input from which a field of the output is made.

    Attributes:
        address: of the input, as the process names it.
        path: the field; within a record its path.
        how: how it comes into the output.
        by: the expression or aggregation, as written; "" for a copy.
    """

    address: Address
    path: str
    how: How = How.COPIED
    by: str = ""


@dataclass(frozen=True)
class FieldLineage:
    """The origins of the fields of an output.

    Attributes:
        fields: by field of the output, in order; no origin where the field counts events or is a constant.
        influences: the fields that decide whether and where records appear.
        unknown: the fields of the output that Python makes.
    """

    fields: Mapping[str, tuple[FieldOrigin, ...]]
    influences: tuple[FieldOrigin, ...] = ()
    unknown: tuple[str, ...] = ()


def field_lineage(pipeline: Pipeline, inputs: Mapping[Address, InputContract], output: Collection[str]) -> FieldLineage:
    """Return the origins of the fields of a pipeline's output.

    Args:
        pipeline: the logic; its fields exist (`meshport.process.logic.shape.check_pipeline`).
        inputs: the contracts of its input and of joined products, by the addresses that the pipeline names.
        output: the fields of the output's contract, in order.
    """
    walk = _LineageWalk(pipeline.input, inputs)
    for operator in pipeline.operators:
        walk.step(operator)
    known = {name: walk.made[name] for name in output if name in walk.made}
    unknown = tuple(name for name in output if known.get(name) is None)
    return FieldLineage(
        {name: _unique(found) for name, found in known.items() if found is not None},
        _unique(walk.influences),
        unknown,
    )


def declared_lineage(product: Product, ports: Iterable[ReadPort], output: Collection[str]) -> FieldLineage | None:
    """Return the origins of the fields of a product's default port, as product.yaml declares its process.

    Args:
        product: the product.
        ports: those that it reads; of several majors of a port that it reads without one, the first counts.
        output: the fields of the contract of its default port, in order.

    Returns:
        The origins; None where the product has no process, or Python returns its steps.

    Raises:
        ProcessError: a declared step cannot be run.
    """
    pipeline = declared_pipeline(product)
    if pipeline is None:
        return None
    known = list(ports)
    inputs: dict[Address, InputContract] = {}
    for address in (pipeline.input, *pipeline.joined):
        port = next((each for each in known if each.is_at(address)), None)
        if port is not None:
            inputs[address] = port.contract
    return field_lineage(pipeline, inputs, output)


def _unique(origins: Iterable[FieldOrigin]) -> tuple[FieldOrigin, ...]:
    return tuple(dict.fromkeys(origins))


@dataclass
class _LineageWalk:
    """Goes through the operators with the origins of each field of the record; None for a field that Python made."""

    input: Address
    inputs: Mapping[Address, InputContract]
    made: dict[str, tuple[FieldOrigin, ...] | None] = field(init=False)
    influences: list[FieldOrigin] = field(default_factory=list)

    def __post_init__(self) -> None:
        source = self.inputs.get(self.input, InputContract(()))
        self.made = {name: (FieldOrigin(self.input, name),) for name in source.fields}

    def at(self, path: str) -> tuple[FieldOrigin, ...] | None:
        """Return the origins of a field of the record, within a record by its path; None where Python made it."""
        name, dot, inner = path.partition(".")
        found = self.made.get(name)
        if found is None or not dot:
            return found
        return tuple(
            FieldOrigin(each.address, f"{each.path}.{inner}") if each.how is How.COPIED else each for each in found
        )

    def step(self, operator: Operator) -> None:
        match operator:
            case Select(paths):
                self.made = {last_name(path): self.at(path) for path in paths}
            case Rename(names):
                self.made = {names.get(name, name): found for name, found in self.made.items()}
            case Drop(names):
                self.made = {name: found for name, found in self.made.items() if name not in names}
            case Filter(test):
                if isinstance(test, Expression):
                    self.influence(sorted(paths_in(test)), How.FILTERS, test.text)
            case Derive(derived):
                self.made |= {name: self.derived(each) for name, each in derived.items()}
            case Flatten(items):
                if isinstance(items, str):
                    self.made[last_name(items)] = self.at(items)
                else:
                    self.made = dict.fromkeys(self.made)
            case Join() | JoinStream():
                self.join(operator)
            case Deduplicate(by=by):
                self.influence(by, How.FILTERS, "deduplicate")
            case Aggregate():
                self.aggregate(operator)
            case Apply(by=by):
                self.influence(by, How.GROUPS, "apply")
                self.made = {}

    def influence(self, paths: Iterable[str], how: How, by: str) -> None:
        """Note fields of the record that decide about the whole record."""
        for path in paths:
            self.influences += (FieldOrigin(each.address, each.path, how, by) for each in self.at(path) or ())

    def derived(self, function: Expression | str | Callable[..., object]) -> tuple[FieldOrigin, ...] | None:
        """Return the origins of a derived field. An expression that is a path alone copies."""
        if not isinstance(function, Expression):
            return None
        paths = sorted(paths_in(function))
        if paths == [function.text.strip()]:
            return self.at(paths[0])
        return self.changed(paths, How.DERIVED, function.text)

    def changed(self, paths: Iterable[str], how: How, by: str) -> tuple[FieldOrigin, ...] | None:
        """Return the origins of a value that is made of fields of the record; None where Python made one of them."""
        found: list[FieldOrigin] = []
        for path in paths:
            origins = self.at(path)
            if origins is None:
                return None
            # What was aggregated stays aggregated, whatever an expression makes of the result.
            found += (
                FieldOrigin(each.address, each.path, each.how if each.how is How.AGGREGATED else how, by)
                for each in origins
            )
        return _unique(found)  # at each step, so that steps which use a field twice do not double what is kept

    def join(self, join: Join | JoinStream) -> None:
        other = join.table if isinstance(join, Join) else join.stream
        self.influence((join.on,), How.JOINS, f"on {join.on}")
        for key in self.inputs.get(other, InputContract(())).key:
            self.influences.append(FieldOrigin(other, key, How.JOINS, f"on {join.on}"))
        self.made |= {name: (FieldOrigin(other, path),) for name, path in join.take.items()}

    def aggregate(self, aggregate: Aggregate) -> None:
        self.influence(aggregate.by, How.GROUPS, f"by {', '.join(aggregate.by)}")
        made: dict[str, tuple[FieldOrigin, ...] | None] = {last_name(path): self.at(path) for path in aggregate.by}
        if aggregate.window is not None:
            time = self.inputs.get(self.input, InputContract(())).time
            origin = () if time is None else (FieldOrigin(self.input, time, How.DERIVED, "window"),)
            made |= {"window_start": origin, "window_end": origin}
        for name, aggregation in aggregate.aggregations.items():
            read = () if aggregation.field is None else (aggregation.field,)
            made[name] = self.changed(read, How.AGGREGATED, str(aggregation).strip())
        self.made = made
