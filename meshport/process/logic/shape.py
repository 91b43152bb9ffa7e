"""The fields and types of the records that a pipeline makes, derived before it runs.

A pipeline that reads a field which does not exist is refused before it starts, and a declared product needs no
hand-written schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshport.address import Address, nearest
from meshport.errors import ProcessError, SchemaError
from meshport.expression.expression import Expression
from meshport.expression.inference import Inference
from meshport.expression.types import INSTANT, Type, aggregated, is_nullable, nullable, plain_type, record_types
from meshport.process.logic.fields_read import paths_in
from meshport.process.logic.misfit import misfit, shown_type
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
from meshport.product.field_path import is_nested, last_name
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
            made does not have the output's fields and types.
    """
    made, _ = _output_fields(pipeline, source, tables)
    if made is None or output is None:
        return
    found = misfit(made, output)
    if found.unmade:
        near = nearest(found.unmade[0], list(made))
        raise ProcessError(
            f"{output.name} has {_fields(found.unmade)}, which the pipeline does not make",
            hint=(f"did you mean {near!r}? " if near and len(found.unmade) == 1 else f"it makes {', '.join(made)}; ")
            + "`meshport check --write` writes a contract that fits the process",
        )
    if found.added:
        raise ProcessError(
            f"the pipeline makes {_fields(found.added)}, which {output.name} does not have",
            hint="`meshport check --write` writes a contract that fits the process; or leave "
            f"{'it' if len(found.added) == 1 else 'them'} out: `select: [{', '.join(output.field_names)}]`",
        )
    for name, (kind, declared) in found.retyped.items():
        raise ProcessError(
            f"the pipeline makes the field {name!r} as {shown_type(kind)}, which {output.name} has as {shown_type(declared)}",
            hint="`meshport check --write` writes a contract that fits the process",
        )


def _fields(names: Sequence[str]) -> str:
    return f"the field{'s' if len(names) > 1 else ''} {', '.join(map(repr, names))}"


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
                _known(operator.by, fields, named, index, operator)
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
            return {last_name(path): type_at(path, fields, named) for path in names}
        case Rename(names):
            _refuse_nested(names)
            _refuse_unknown(tuple(names), fields)
            return {names.get(name, name): kind for name, kind in fields.items()}
        case Filter(test):
            if isinstance(test, Expression):
                _refuse_unknown_paths(test, fields, named)
            return fields
        case Derive(derived):
            inference = Inference(fields, named)
            made: Fields = {}
            for name, each in derived.items():
                if isinstance(each, Expression):
                    _refuse_unknown_paths(each, fields, named)
                made[name] = inference.of(each) if isinstance(each, Expression) else None
            return {**fields, **made}
        case Flatten(items) if isinstance(items, str):
            kind = plain_type(type_at(items, fields, named))
            if is_nested(items) and last_name(items) in fields:
                raise ProcessError(
                    f"the items of {items!r} are named {last_name(items)!r}, which the record has already",
                    hint=f"rename the field {last_name(items)!r} before",
                )
            if kind is not None and not (isinstance(kind, dict) and kind.get("type") == "array"):
                raise TypeError(f"{items!r} is {kind}, no list to flatten")
            return {**fields, last_name(items): kind["items"] if kind else None}
        case Join() | JoinStream():
            return _join(operator, fields, named, rows)
        case Deduplicate(by=by):
            for path in by:
                type_at(path, fields, named)
            return fields
        case Aggregate():
            return _aggregate(operator, fields, named)
    return fields


def _join(join: Join | JoinStream, fields: Fields, named: Mapping[str, Type], rows: Mapping[Address, Fields]) -> Fields:
    type_at(join.on, fields, named)
    other, of = (join.table, "a row") if isinstance(join, Join) else (join.stream, "an event")
    row = rows.get(other)
    if row is None:
        raise ProcessError(f"the schema of {other} is not given")
    taken = {name: type_at(path, row, named, f"{of} of {other}") for name, path in join.take.items()}
    if join.missing == "keep":
        taken = {name: nullable(kind) for name, kind in taken.items()}
    return {**fields, **taken}


def _aggregate(aggregate: Aggregate, fields: Fields, named: Mapping[str, Type]) -> Fields:
    types = {path: type_at(path, fields, named) for path in (*aggregate.by, *aggregate.inputs)}
    made = {last_name(path): types[path] for path in aggregate.by}
    if aggregate.window is not None:
        made |= {"window_start": INSTANT, "window_end": INSTANT}
    for name, aggregation in aggregate.aggregations.items():
        made[name] = aggregated(aggregation, types)
    return made


def _known(paths: Sequence[str], fields: Fields, named: Mapping[str, Type], index: int, operator: Operator) -> None:
    try:
        for path in paths:
            type_at(path, fields, named)
    except ProcessError as error:
        raise ProcessError(f"{_step(index, operator)}: {error.message}", hint=error.hint) from error


def type_at(path: str, fields: Fields, named: Mapping[str, Type], what: str = "the record") -> Type:
    """Return the type of a field, within a record by its path; None where it is unknown.

    Args:
        path: the field's name or path.
        fields: the types of the record's fields.
        named: the definitions of the named types in them.
        what: the record, for the message.

    Raises:
        ProcessError: there is no such field.
    """
    name, *inner = path.split(".")
    _refuse_unknown((name,), fields, what)
    kind = fields[name]
    for each in inner:
        plain = plain_type(kind)
        if plain is None or (isinstance(plain, dict) and plain["type"] == "map"):
            return None
        definition = named.get(plain) if isinstance(plain, str) else None
        if definition is None or "fields" not in definition:
            word = plain["type"] if isinstance(plain, dict) else plain
            raise ProcessError(f"{what} has no field {path!r}: {name!r} is no record, but {word}")
        types = {field["name"]: field["type"] for field in definition["fields"]}
        _refuse_unknown((each,), types, f"{name!r} of {what}")
        name = f"{name}.{each}"
        kind = nullable(types[each]) if is_nullable(kind) else types[each]
    return kind


def _refuse_unknown_paths(expression: Expression, fields: Fields, named: Mapping[str, Type]) -> None:
    expression.refuse_unknown(list(fields))
    for path in sorted(paths_in(expression)):
        try:
            type_at(path, fields, named)
        except ProcessError as error:
            raise ProcessError(f"{expression.text!r}: {error.message}", hint=error.hint) from error


def _refuse_nested(names: Mapping[str, str]) -> None:
    for path in filter(is_nested, names):
        raise ProcessError(
            f"`rename` cannot reach {path!r} within a record", hint=f"`derive: {{{names[path]}: {path}}}` reads it"
        )


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
