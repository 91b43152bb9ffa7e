"""Stateless operators over columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshport.address import Address
from meshport.columnar import values_of_fields
from meshport.expression.expression import Expression
from meshport.process.columns.columnar_records import (
    ColumnarRecords,
    ColumnField,
    Fields,
    field_of,
    fields_of,
    plain_schema,
    to_python,
)
from meshport.process.columns.expressions import Compiled, Doubt, NotColumnar, compile_columns, truth
from meshport.process.logic.operators import Derive, Drop, Filter, Flatten, Join, Operator, Rename, Select
from meshport.process.wire.tables import TableRows
from meshport.schema import Schema

Step = Callable[[ColumnarRecords], ColumnarRecords]
"""A compiled operator. It raises `Doubt` for records that have to go to the row path."""


class JoinedTable:
    """A compacted product that columns are joined with.

    Args:
        table: its rows.
        schema: the current schema of its port.
    """

    def __init__(self, table: TableRows, schema: Schema) -> None:
        self.table = table
        self.schema = schema


def compile_steps(
    operators: Sequence[Operator], fields: Fields, tables: Mapping[Address, JoinedTable]
) -> tuple[list[Step], Fields]:
    """Compile operators, and return them with the fields of the records that they make.

    Raises:
        NotColumnar: an operator has no columnar form over these fields.
    """
    steps: list[Step] = []
    for operator in operators:
        step, fields = _step(operator, fields, tables)
        steps.append(step)
    return steps, fields


def _step(operator: Operator, fields: Fields, tables: Mapping[Address, JoinedTable]) -> tuple[Step, Fields]:
    match operator:
        case Select(names):
            return _select(names), {name: field_of(name, fields) for name in names}
        case Rename(names):
            for old in names:
                field_of(old, fields)
            return _rename(names), {names.get(name, name): field for name, field in fields.items()}
        case Drop(names):
            return _drop(frozenset(names)), {name: field for name, field in fields.items() if name not in names}
        case Filter(test) if isinstance(test, Expression):
            return _filter(compile_columns(test, plain_schema(fields))), fields
        case Derive(derived):
            return _derive(derived, fields)
        case Flatten(name) if isinstance(name, str):
            return _flatten(name, fields)
        case Join():
            return _join(operator, fields, tables[operator.table])
    raise NotColumnar(f"{type(operator).__name__.lower()} runs Python of the product, record by record")


def _select(names: Sequence[str]) -> Step:
    return lambda given: ColumnarRecords({name: given.columns[name] for name in names}, given.origin, given.time)


def _rename(names: Mapping[str, str]) -> Step:
    return lambda given: ColumnarRecords(
        {names.get(name, name): column for name, column in given.columns.items()}, given.origin, given.time
    )


def _drop(names: Collection[str]) -> Step:
    return lambda given: ColumnarRecords(
        {name: column for name, column in given.columns.items() if name not in names}, given.origin, given.time
    )


def _filter(test: Compiled) -> Step:
    def filtered(given: ColumnarRecords) -> ColumnarRecords:
        return given.take(truth(test(given.columns)).to_numpy(zero_copy_only=False))

    return filtered


def _derive(derived: Mapping[str, Any], fields: Fields) -> tuple[Step, Fields]:
    schema = plain_schema(fields)
    compiled: dict[str, Compiled] = {}
    for name, each in derived.items():
        if not isinstance(each, Expression):
            raise NotColumnar(f"{name!r} is derived by Python of the product, record by record")
        compiled[name] = compile_columns(each, schema)

    def with_derived(given: ColumnarRecords) -> ColumnarRecords:
        made = {name: each(given.columns) for name, each in compiled.items()}
        return ColumnarRecords({**given.columns, **made}, given.origin, given.time)

    return with_derived, {**fields, **{name: ColumnField(each.type) for name, each in compiled.items()}}


def _flatten(name: str, fields: Fields) -> tuple[Step, Fields]:
    field = field_of(name, fields)
    if not pa.types.is_list(field.arrow):
        raise NotColumnar(f"{name!r} is {field.arrow}, no list")

    def flattened(given: ColumnarRecords) -> ColumnarRecords:
        lists = given.columns[name]
        parents = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
        rest = ColumnarRecords({each: c for each, c in given.columns.items() if each != name}, given.origin, given.time)
        taken = rest.take(parents.astype("i8"))
        items = pc.list_flatten(lists)
        columns = {each: items if each == name else taken.columns[each] for each in given.columns}
        return ColumnarRecords(columns, taken.origin, taken.time)

    uuid = None if field.uuid is None else field.arrow.value_field
    return flattened, {**fields, name: ColumnField(field.arrow.value_type, uuid)}


def _join(join: Join, fields: Fields, joined: JoinedTable) -> tuple[Step, Fields]:
    on = to_python(field_of(join.on, fields))
    row_fields = fields_of(joined.schema)
    taken = {name: field_of(field, row_fields) for name, field in join.take.items()}
    values = values_of_fields(joined.schema)

    def with_row(given: ColumnarRecords) -> ColumnarRecords:
        rows = joined.table.rows_at(on(given.columns[join.on]), given.time.tolist())
        missing = np.array([row is None for row in rows], bool)
        if missing.any():
            if join.missing == "quarantine":
                raise Doubt("a row is missing", missing)
            if join.missing == "drop":
                given = given.take(~missing)
                rows = [row for row in rows if row is not None]
        distinct = {id(row): row for row in rows}
        number = {identity: at for at, identity in enumerate(distinct)}
        index = pa.array([number[id(row)] for row in rows], pa.int32())
        made = {}
        try:
            for name, field in join.take.items():
                value = values[field]
                found = [None if row is None else value(row[field]) for row in distinct.values()]
                made[name] = pa.array(found, taken[name].arrow).take(index)
        except (KeyError, pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise Doubt("a row of an earlier schema") from error
        return ColumnarRecords({**given.columns, **made}, given.origin, given.time)

    return with_row, {**fields, **taken}
