"""Stateless operators on records, compiled to functions: select, rename, filter, derive, flatten, join."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from meshport.address import Address
from meshport.errors import ProcessError
from meshport.files.ingest import said
from meshport.process.logic.operators import Derive, Drop, Filter, Flatten, Join, Operator, Record, Rename, Select


class Lookup(Protocol):
    """The rows of a compacted product."""

    def row(self, value: Any, time: int) -> Record | None:
        """Return the row of a key as it was at an event time (microseconds); None where there is none."""
        ...


class NoRow(ProcessError):  # noqa: N818 - names a finding
    """Raised for a record without a row in a join with `missing: quarantine`."""


Step = Callable[[Sequence[dict[str, Any]], int], Sequence[dict[str, Any]]]
"""(records, event time in microseconds) -> records."""


class Transform:
    """A sequence of stateless operators, compiled.

    Args:
        operators: without `deduplicate` and groupings.
        tables: the rows of each joined product.

    Attributes:
        filters: whether one of the operators is a filter.
    """

    def __init__(self, operators: Sequence[Operator], tables: Mapping[Address, Lookup]) -> None:
        self._steps = [_step(each, tables) for each in operators]
        self.filters = any(isinstance(each, Filter) for each in operators)
        self._unfiltered = [_step(each, tables) for each in operators if not isinstance(each, Filter)]

    def __call__(self, record: dict[str, Any], time: int) -> Sequence[dict[str, Any]]:
        """Return the records that one record becomes.

        Args:
            record: the data.
            time: event time, microseconds.

        Raises:
            NoRow: a join with `missing: quarantine` finds no row.
            Exception: any that a product's function raises.
        """
        return self._run(self._steps, record, time)

    def unfiltered(self, record: dict[str, Any], time: int) -> Sequence[dict[str, Any]]:
        """Return the records it would become without the filters: in a table, the rows that it stands for."""
        return self._run(self._unfiltered, record, time)

    @staticmethod
    def _run(steps: Sequence[Step], record: dict[str, Any], time: int) -> Sequence[dict[str, Any]]:
        records: Sequence[dict[str, Any]] = (record,)
        for step in steps:
            records = step(records, time)
            if not records:
                break
        return records


def _step(operator: Operator, tables: Mapping[Address, Lookup]) -> Step:
    match operator:
        case Select(fields):
            return lambda records, _: [{name: record[name] for name in fields} for record in records]
        case Rename(names):
            return lambda records, _: [_renamed(record, names) for record in records]
        case Drop(fields):
            dropped = frozenset(fields)
            return lambda records, _: [
                {name: value for name, value in record.items() if name not in dropped} for record in records
            ]
        case Filter(test) if callable(test):
            return lambda records, _: [record for record in records if test(record)]
        case Derive(fields):
            derived = {name: each for name, each in fields.items() if callable(each)}
            return lambda records, _: [
                {**record, **{name: each(record) for name, each in derived.items()}} for record in records
            ]
        case Flatten(items):
            return _flatten(items)
        case Join():
            return _join(operator, tables[operator.table])
    raise ProcessError(f"{type(operator).__name__} is no stateless operator")


def _renamed(record: Record, names: Mapping[str, str]) -> dict[str, Any]:
    for old in names:
        record[old]  # raises KeyError for a field that does not exist
    return {names.get(name, name): value for name, value in record.items()}


def _flatten(items: str | Callable[[Record], Any]) -> Step:
    if callable(items):
        return lambda records, _: [item for record in records for item in items(record)]
    name = items

    def flattened(records: Sequence[dict[str, Any]], _: int) -> list[dict[str, Any]]:
        given = [(record, record[name]) for record in records]
        for _record, value in given:
            if value is not None and not isinstance(value, list | tuple):
                raise TypeError(f"the field {name!r} holds a {type(value).__name__}, no list to flatten")
        return [{**record, name: item} for record, value in given for item in value or ()]

    return flattened


def _join(join: Join, table: Lookup) -> Step:
    nulls = dict.fromkeys(join.take)

    def joined(records: Sequence[dict[str, Any]], time: int) -> list[dict[str, Any]]:
        found = []
        for record in records:
            value = record[join.on]
            row = None if value is None else table.row(value, time)
            if row is not None:
                if lacking := [field for field in join.take.values() if field not in row]:
                    raise NoRow(
                        f"the row of {join.table} for {join.on} = {said(value)} has no field {lacking[0]!r}: the schema that it "
                        "was written with cannot give it",
                        hint="publish the row anew and `meshport redrive` the event",
                    )
                found.append({**record, **{name: row[field] for name, field in join.take.items()}})
            elif join.missing == "quarantine":
                raise NoRow(
                    f"{join.table} has no row for {join.on} = {said(value)}",
                    hint="publish a row that held then and `meshport redrive` the event, or say `missing: keep` or `drop`",
                )
            elif join.missing == "keep":
                found.append({**record, **nulls})
        return found

    return joined
