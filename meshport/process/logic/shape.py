"""The fields and types of the records that a pipeline makes, derived before it runs.

A pipeline that reads a field which does not exist is refused before it starts, and a declared product needs no
hand-written schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshport.address import Address, nearest
from meshport.errors import ProcessError, SchemaError
from meshport.process.logic.expression import Expression
from meshport.process.logic.inference import Inference
from meshport.process.logic.pipeline import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Filter,
    Flatten,
    Join,
    JoinStream,
    Operator,
    Pipeline,
    Rename,
    Select,
)
from meshport.process.logic.types import INSTANT, Type, aggregated, nullable, plain_type, record_types
from meshport.schema import Schema, parse_schema
from meshport.schema.canonical import canonical, canonical_text

Fields = dict[str, Type]


def check_pipeline(
    pipeline: Pipeline, source: Schema, tables: Mapping[Address, Schema], output: Schema | None = None
) -> None:
    """Check every field that a pipeline reads, and the record that it makes.

    Args:
        pipeline: the logic.
        source: the schema of its input.
        tables: the schemas of the products that it joins, streams included.
        output: the schema of its output port.

    Raises:
        ProcessError: a step reads a field that does not exist or adds up a field that is no number, or the record that is
            made does not have the output's fields.
    """
    made, _ = _output_fields(pipeline, source, tables)
    if made is None or output is None:
        return
    for field in output.fields:
        if field["name"] not in made and "default" not in field:
            near = nearest(field["name"], list(made))
            raise ProcessError(
                f"{output.name} has the field {field['name']!r}, which the pipeline does not make",
                hint=f"did you mean {near!r}?" if near else f"it makes {', '.join(made)}",
            )
    for name in made:
        if name not in output.field_names:
            raise ProcessError(
                f"the pipeline makes the field {name!r}, which {output.name} does not have",
                hint=f"leave it out: `select: [{', '.join(output.field_names)}]`",
            )


def derive_schema(pipeline: Pipeline, name: str, source: Schema, tables: Mapping[Address, Schema]) -> Schema:
    """Return the schema of the record that a declared pipeline makes.

    A field that is kept keeps its type. `count` and `distinct` are long; `sum` is long for integers, double for floats and
    doubles, a decimal of the same scale for decimals; `mean` is double; `min`, `max`, `first` and `last` have the type of
    their field, and `collect` is an array of it. An aggregation of a nullable field is nullable, since a group may hold
    only nulls. The bounds of windows are timestamps in milliseconds. A nullable field has the default null.

    Args:
        pipeline: the logic.
        name: full name of the record (`network.DelaysByAirport`).
        source: the schema of the input.
        tables: the schemas of the products that are joined, streams included.

    Raises:
        ProcessError: a step reads a field that does not exist, or Python makes a field, whose type is unknown.
    """
    made, named = _output_fields(pipeline, source, tables)
    if made is None:
        raise ProcessError(
            "the schema of the record that a Python function makes is unknown",
            hint="write it by hand (`schema:` of the port)",
        )
    for field, kind in made.items():
        if kind is None:
            raise ProcessError(f"the type of the field {field!r} is unknown", hint="write the schema by hand")
    fields: list[dict[str, Any]] = []
    for field, kind in made.items():
        null_first = isinstance(kind, list) and kind[0] == "null"
        fields.append({"name": field, "type": kind} | ({"default": None} if null_first else {}))
    try:
        form = canonical({"type": "record", "name": name, "fields": fields}, named)
        return parse_schema(canonical_text(form), source=f"the schema of {name}")
    except SchemaError as error:
        raise ProcessError(f"no schema can be made: {error.message}", hint=error.hint) from error


def _output_fields(
    pipeline: Pipeline, source: Schema, tables: Mapping[Address, Schema]
) -> tuple[Fields | None, dict[str, Type]]:
    """Return the fields of the record that is made, None where Python makes it; and all named types."""
    fields: Fields | None
    fields, named = record_types(source)
    rows: dict[Address, Fields] = {}
    for address, schema in tables.items():
        rows[address], more = record_types(schema)
        named |= more
    for index, operator in enumerate(pipeline.operators):
        if isinstance(operator, Apply) or (isinstance(operator, Flatten) and callable(operator.items)):
            if fields is not None and isinstance(operator, Apply):
                _known(operator.by, fields, index, operator)
            fields = None
        elif fields is not None:
            try:
                fields = _fields_after(operator, fields, named, rows)
            except (ProcessError, TypeError) as error:
                message = error.message if isinstance(error, ProcessError) else str(error)
                hint = error.hint if isinstance(error, ProcessError) else None
                raise ProcessError(f"{_step(index, operator)}: {message}", hint=hint) from error
        elif isinstance(operator, Aggregate):
            fields = _aggregate(operator, _Anything(), named)
    return fields, named


class _Anything(dict[str, Type]):
    """The fields of a record that Python made: any name, of unknown type."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> Type:
        return None


def _fields_after(
    operator: Operator, fields: Fields, named: Mapping[str, Type], rows: Mapping[Address, Fields]
) -> Fields:
    match operator:
        case Select(names):
            _refuse_unknown(names, fields)
            return {name: fields[name] for name in names}
        case Rename(names):
            _refuse_unknown(tuple(names), fields)
            return {names.get(name, name): kind for name, kind in fields.items()}
        case Filter(test):
            if isinstance(test, Expression):
                test.refuse_unknown(list(fields))
            return fields
        case Derive(derived):
            inference = Inference(fields, named)
            made: Fields = {}
            for name, each in derived.items():
                if isinstance(each, Expression):
                    each.refuse_unknown(list(fields))
                made[name] = inference.of(each) if isinstance(each, Expression) else None
            return {**fields, **made}
        case Flatten(items) if isinstance(items, str):
            _refuse_unknown((items,), fields)
            kind = plain_type(fields[items])
            if kind is not None and not (isinstance(kind, dict) and kind.get("type") == "array"):
                raise TypeError(f"{items!r} is {kind}, no list to flatten")
            return {**fields, items: kind["items"] if kind else None}
        case Join() | JoinStream():
            return _join(operator, fields, rows)
        case Deduplicate(by=by):
            _refuse_unknown(by, fields)
            return fields
        case Aggregate():
            return _aggregate(operator, fields, named)
    return fields


def _join(join: Join | JoinStream, fields: Fields, rows: Mapping[Address, Fields]) -> Fields:
    _refuse_unknown((join.on,), fields)
    other, of = (join.table, "a row") if isinstance(join, Join) else (join.stream, "an event")
    row = rows.get(other)
    if row is None:
        raise ProcessError(f"the schema of {other} is not given")
    _refuse_unknown(tuple(join.take.values()), row, what=f"{of} of {other}")
    taken = {name: row[field] for name, field in join.take.items()}
    if join.missing == "keep":
        taken = {name: nullable(kind) for name, kind in taken.items()}
    return {**fields, **taken}


def _aggregate(aggregate: Aggregate, fields: Fields, named: Mapping[str, Type]) -> Fields:  # noqa: ARG001 - as its siblings
    _refuse_unknown((*aggregate.by, *aggregate.inputs), fields)
    made = {name: fields[name] for name in aggregate.by}
    if aggregate.window is not None:
        made |= {"window_start": INSTANT, "window_end": INSTANT}
    for name, aggregation in aggregate.aggregations.items():
        made[name] = aggregated(aggregation, fields)
    return made


def _known(names: Sequence[str], fields: Fields, index: int, operator: Operator) -> None:
    try:
        _refuse_unknown(names, fields)
    except ProcessError as error:
        raise ProcessError(f"{_step(index, operator)}: {error.message}", hint=error.hint) from error


def _refuse_unknown(names: Sequence[str], fields: Fields, what: str = "the record") -> None:
    for name in names:
        if name not in fields:
            near = nearest(name, list(fields))
            raise ProcessError(
                f"{what} has no field {name!r}",
                hint=f"did you mean {near!r}?" if near else f"its fields: {', '.join(fields)}",
            )


def _step(index: int, operator: Operator) -> str:
    word = "join" if isinstance(operator, JoinStream) else type(operator).__name__.lower()
    return f"process.steps[{index}].{word}"
