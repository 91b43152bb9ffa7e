"""Aggregations over columns, with the same accumulators as `meshport.process.logic.aggregators` makes one by one.

NumPy computes counts, and sums, means and extremes of integers; results beyond 64 bits are in doubt. The aggregator itself
computes all others value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from meshport.process.columns.columnar_records import ColumnField, Fields, Integers, field_of, to_python
from meshport.process.columns.expressions import Doubt, NotColumnar
from meshport.process.logic.aggregators import Aggregator, aggregator_for
from meshport.process.logic.records import RecordPosition
from meshport.product.aggregation import Aggregation

# The sum of two integers below it is within 64 bits.
_SAFE: Final = 2**62
# A quotient of integers below it is rounded once, as in Python.
_EXACT: Final = 2**53

_NO_POSITION: Final = (0, 0, 0, 0)


class GroupIndex(NamedTuple):
    """The groups that values belong to.

    Attributes:
        of: the group of each value.
        order: the indices of the values, group by group, ascending within each.
        begins: the index in `order` at which each group begins.
        counts: the number of values of each group, at least one.
    """

    of: Integers
    order: Integers
    begins: Integers
    counts: Integers

    @classmethod
    def by(cls, of: Integers) -> GroupIndex:
        """Return the index of groups that are numbered from 0 without a gap."""
        counts = np.bincount(of)
        return cls(of, np.argsort(of, kind="stable"), np.cumsum(counts) - counts, counts)

    def sums(self, values: Integers) -> Integers:
        """Return the sum of each group."""
        return np.add.reduceat(values[self.order], self.begins)

    def running(self, values: Integers, before: Integers) -> Integers:
        """Return for each value the sum of its group up to and including it, added to the group's sum before."""
        ordered = values[self.order]
        total = np.cumsum(ordered)
        made = np.empty_like(total)
        made[self.order] = total + np.repeat(before - total[self.begins] + ordered[self.begins], self.counts)
        return made


class GroupedValues(NamedTuple):
    """The values that one aggregation adds to groups.

    Attributes:
        values: the values of the field that is read; None for `count`.
        groups: the groups of the values.
        before: the accumulator of each group before; None for a new group.
        positions: returns the position of each value.
    """

    values: pa.Array | None
    groups: GroupIndex
    before: Sequence[Any]
    positions: Callable[[], Sequence[RecordPosition]]


class Kernel(Protocol):
    """One aggregation over columns.

    Attributes:
        type: the Arrow type of its results.
    """

    type: pa.DataType

    def finals(self, given: GroupedValues) -> list[Any]:
        """Return the accumulator of each group.

        Raises:
            Doubt: the values have to be added one by one.
        """
        ...

    def both(self, given: GroupedValues) -> tuple[list[Any], pa.Array]:
        """Return the accumulators as `finals` does, and for each value the result of its group up to and including it."""
        ...


class _Vectorized:
    """A kernel that computes accumulators and running results separately."""

    finals: Callable[[GroupedValues], list[Any]]
    running: Callable[[GroupedValues], pa.Array]

    def both(self, given: GroupedValues) -> tuple[list[Any], pa.Array]:
        return self.finals(given), self.running(given)


def kernel_for(aggregation: Aggregation, fields: Fields) -> Kernel:
    """Return the kernel of an aggregation.

    Args:
        aggregation: over the records.
        fields: the fields of the records.

    Raises:
        NotColumnar: its field does not exist, has no plain values, or is no number to add up.
    """
    kind = aggregation.kind
    if aggregation.field is None:
        return _Count()
    field = field_of(aggregation.field, fields)
    by_one, whole = aggregator_for(kind), pa.types.is_integer(field.arrow)
    match kind:
        case "sum" if whole:
            return _WholeSum()
        case "mean" if whole:
            return _WholeMean()
        case "min" | "max" if whole:
            return _WholeExtreme(kind, by_one, field.arrow)
        case "first" | "last":
            return _Edge(kind, by_one, field)
    return _OneByOne(by_one, field, _result(kind, field.arrow))


def _result(kind: str, values: pa.DataType) -> pa.DataType:
    match kind:
        case "distinct":
            return pa.int64()
        case "collect":
            return pa.list_(pa.field("item", values, nullable=False))
        case "mean":
            return pa.float64()
        case "sum" if pa.types.is_decimal(values):
            return pa.decimal128(38, values.scale)
        case "sum" if pa.types.is_floating(values):
            return pa.float64()
        case "sum":
            raise NotColumnar(f"{values} is no number to add up")
    return values


class _Count(_Vectorized):
    type = pa.int64()

    def finals(self, given: GroupedValues) -> list[Any]:
        return [(known or 0) + more for known, more in zip(given.before, given.groups.counts.tolist(), strict=True)]

    def running(self, given: GroupedValues) -> pa.Array:
        known = np.array([each or 0 for each in given.before], "i8")
        return pa.array(given.groups.running(np.ones(len(given.groups.of), "i8"), known))


class _Whole(NamedTuple):
    """Integers with nulls as 0, and 1 for each that is not null."""

    numbers: Integers
    some: Integers

    @classmethod
    def of(cls, values: pa.Array) -> _Whole:
        """Return the numbers of a column.

        Raises:
            Doubt: their sum may leave 64 bits.
        """
        numbers = values.fill_null(0).to_numpy(zero_copy_only=False).astype("i8")
        if max(int(numbers.max()), -int(numbers.min())) * len(numbers) >= _SAFE:
            raise Doubt("sums may leave 64 bits")
        return cls(numbers, values.is_valid().to_numpy(zero_copy_only=False).astype("i8"))


def _numerator(accumulator: Any) -> int:
    """Return the sum of an accumulator of `Sum` over integers.

    Raises:
        Doubt: it is a sum of other numbers, or near the bounds of 64 bits.
    """
    if accumulator is None:
        return 0
    kind, numerator, _, _ = accumulator
    if kind != "int" or not -_SAFE < numerator < _SAFE:
        raise Doubt("the sum so far is none of 64 bits")
    return int(numerator)


class _WholeSum(_Vectorized):
    type = pa.int64()

    def finals(self, given: GroupedValues) -> list[Any]:
        whole, groups = _Whole.of(given.values), given.groups
        sums, some = groups.sums(whole.numbers).tolist(), groups.sums(whole.some).tolist()
        return [
            ["int", _numerator(known) + more, 0, 0.0] if count else known
            for known, more, count in zip(given.before, sums, some, strict=True)
        ]

    def running(self, given: GroupedValues) -> pa.Array:
        whole, groups, before = _Whole.of(given.values), given.groups, given.before
        known = np.array([_numerator(each) for each in before], "i8")
        seen = groups.running(whole.some, np.array([each is not None for each in before], "i8"))
        return pa.array(groups.running(whole.numbers, known), mask=seen == 0)


class _WholeMean(_Vectorized):
    type = pa.float64()
    _sum: Final = _WholeSum()

    def finals(self, given: GroupedValues) -> list[Any]:
        counts, sums = self._parts(given.before)
        more = given.groups.sums(_Whole.of(given.values).some).tolist()
        totals = self._sum.finals(given._replace(before=sums))
        return [[count + each, total] for count, each, total in zip(counts, more, totals, strict=True)]

    def running(self, given: GroupedValues) -> pa.Array:
        counts, sums = self._parts(given.before)
        whole, groups = _Whole.of(given.values), given.groups
        count = groups.running(whole.some, np.array(counts, "i8"))
        total = groups.running(whole.numbers, np.array([_numerator(each) for each in sums], "i8"))
        if np.abs(total).max() >= _EXACT:
            raise Doubt("a sum that no double holds")
        return pa.array(total / np.maximum(count, 1), mask=count == 0)

    @staticmethod
    def _parts(before: Sequence[Any]) -> tuple[list[int], list[Any]]:
        return [each[0] if each else 0 for each in before], [each[1] if each else None for each in before]


class _WholeExtreme(_Vectorized):
    def __init__(self, kind: str, by_one: Aggregator, values: pa.DataType) -> None:
        self.type = values
        self._by_one = by_one
        self._of = np.minimum if kind == "min" else np.maximum
        # Stands for null: no value is less extreme.
        info = np.iinfo("i8")
        self._none = info.max if kind == "min" else info.min

    def finals(self, given: GroupedValues) -> list[Any]:
        numbers, some = self._numbers(given.values)
        groups = given.groups
        found = self._of.reduceat(numbers[groups.order], groups.begins).tolist()
        merge = self._by_one.merge
        return [
            merge(known, each) if count else known
            for known, each, count in zip(given.before, found, groups.sums(some).tolist(), strict=True)
        ]

    def running(self, given: GroupedValues) -> pa.Array:
        numbers, some = self._numbers(given.values)
        groups, before = given.groups, given.before
        ordered = numbers[groups.order]
        for known, begin, count in zip(before, groups.begins.tolist(), groups.counts.tolist(), strict=True):
            if known is not None:
                ordered[begin] = self._of(ordered[begin], known)
            self._of.accumulate(ordered[begin : begin + count], out=ordered[begin : begin + count])
        made = np.empty_like(ordered)
        made[groups.order] = ordered
        seen = groups.running(some, np.array([each is not None for each in before], "i8"))
        return pa.array(made, mask=seen == 0).cast(self.type)

    def _numbers(self, values: Any) -> tuple[Integers, Integers]:
        numbers = values.cast(pa.int64()).fill_null(self._none).to_numpy(zero_copy_only=False)
        return numbers, values.is_valid().to_numpy(zero_copy_only=False).astype("i8")


class _OneByOne:
    """Any aggregation that does not depend on the positions of values, value by value."""

    def __init__(self, by_one: Aggregator, field: ColumnField, type_: pa.DataType) -> None:
        self.type = type_
        self._by_one = by_one
        self._values = to_python(field)

    def finals(self, given: GroupedValues) -> list[Any]:
        return self._add_each(given, lambda _: None)

    def both(self, given: GroupedValues) -> tuple[list[Any], pa.Array]:
        made: list[Any] = []
        result = self._by_one.result
        finals = self._add_each(given, lambda accumulator: made.append(result(accumulator)))
        ordered = [None] * len(made)
        for at, each in zip(given.groups.order.tolist(), made, strict=True):
            ordered[at] = each
        try:
            return finals, pa.array(ordered, self.type)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise Doubt("a result that its column does not hold") from error

    @staticmethod
    def _positions(given: GroupedValues) -> Sequence[RecordPosition]:
        return [_NO_POSITION] * len(given.groups.of)

    def _add_each(self, given: GroupedValues, visit: Callable[[Any], None]) -> list[Any]:
        """Return the accumulator of each group, and call `visit` with the accumulator after each value."""
        groups, before = given.groups, given.before
        values, positions = self._values(given.values), self._positions(given)
        order, start, add = groups.order.tolist(), self._by_one.start, self._by_one.add
        finals = []
        try:
            for known, begin, count in zip(before, groups.begins.tolist(), groups.counts.tolist(), strict=True):
                accumulator = start() if known is None else known
                for at in order[begin : begin + count]:
                    accumulator = add(accumulator, values[at], positions[at])
                    visit(accumulator)
                finals.append(accumulator)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise Doubt("a value that cannot be aggregated") from error
        return finals


class _Edge(_OneByOne):
    """The first or last value by event time."""

    def __init__(self, kind: str, by_one: Aggregator, field: ColumnField) -> None:
        super().__init__(by_one, field, field.arrow)
        self._last = kind == "last"

    @staticmethod
    def _positions(given: GroupedValues) -> Sequence[RecordPosition]:
        return given.positions()

    def finals(self, given: GroupedValues) -> list[Any]:
        positions, groups = given.positions(), given.groups
        time = np.array([position[0] for position in positions], "i8")
        # Values of one time keep the order of the log.
        ordered = np.lexsort((np.arange(len(time)), time, groups.of))
        edge = ordered[groups.begins + (groups.counts - 1 if self._last else 0)]
        found = self._values(given.values.take(pa.array(edge)))  # type: ignore[union-attr]  # an edge has a field
        merge = self._by_one.merge
        return [
            merge(known, [list(positions[at]), each])
            for known, each, at in zip(given.before, found, edge.tolist(), strict=True)
        ]
