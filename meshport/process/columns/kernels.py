"""Aggregations over whole columns, to the very accumulators that `meshport.process.logic.aggregators` makes one by one.

Counts, and sums, means and extremes of whole numbers go by NumPy; what they cannot hold is in doubt. All others go
value by value through the aggregator itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from meshport.process.columns.columnar_records import ColumnField, Fields, Integers, to_python
from meshport.process.columns.expressions import Doubt, NotColumnar
from meshport.process.logic.aggregators import Aggregator, aggregator_for
from meshport.process.logic.records import RecordPosition
from meshport.product.aggregation import Aggregation

# Beyond it a sum of two may leave 64 bits; and a quotient of whole numbers below the other is rounded once, as Python's.
_SAFE: Final = 2**62
_EXACT: Final = 2**53

_NOWHERE: Final = (0, 0, 0, 0)

Places = Callable[[], Sequence[RecordPosition]]


class GroupIndex(NamedTuple):
    """Which group each of some values belongs to.

    Attributes:
        of: the group of each value.
        order: the values, group by group, in order within each.
        begins: where each group begins in `order`.
        counts: how many values each has; one at least.
    """

    of: Integers
    order: Integers
    begins: Integers
    counts: Integers

    @classmethod
    def by(cls, of: Integers) -> GroupIndex:
        """The groups of values, numbered from 0 without a gap."""
        counts = np.bincount(of)
        return cls(of, np.argsort(of, kind="stable"), np.cumsum(counts) - counts, counts)

    def sums(self, values: Integers) -> Integers:
        """The sum of each group."""
        return np.add.reduceat(values[self.order], self.begins)

    def running(self, values: Integers, before: Integers) -> Integers:
        """For each value the sum of its group up to it, on top of what was there before."""
        ordered = values[self.order]
        total = np.cumsum(ordered)
        made = np.empty_like(total)
        made[self.order] = total + np.repeat(before - total[self.begins] + ordered[self.begins], self.counts)
        return made


class Kernel(Protocol):
    """One aggregation over columns.

    Attributes:
        type: of its results.
    """

    type: pa.DataType

    def finals(self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places) -> list[Any]:
        """The accumulator of each group.

        Args:
            values: the field that is read, if one is.
            groups: of the values.
            before: the accumulator of each group before; None where it is new.
            places: gives the place of each value.

        Raises:
            Doubt: it has to be computed one by one.
        """
        ...

    def both(
        self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places
    ) -> tuple[list[Any], pa.Array]:
        """As `finals`; and for each value the result of its group up to it."""
        ...


class _Apart:
    """Both are computed for themselves."""

    finals: Callable[..., list[Any]]
    running: Callable[..., pa.Array]

    def both(
        self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places
    ) -> tuple[list[Any], pa.Array]:
        given = values, groups, before, places
        return self.finals(*given), self.running(*given)


def kernel_for(aggregation: Aggregation, fields: Fields) -> Kernel:
    """The kernel of an aggregation.

    Args:
        aggregation: over the records.
        fields: of the records.

    Raises:
        NotColumnar: its field is none of plain values.
    """
    kind = aggregation.kind
    if aggregation.field is None:
        return _Count()
    field = fields.get(aggregation.field)
    if field is None:
        raise NotColumnar(f"there is no field {aggregation.field!r}")
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


class _Count(_Apart):
    type = pa.int64()

    def finals(self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places) -> list[Any]:  # noqa: ARG002 - every kernel takes them
        return [(known or 0) + more for known, more in zip(before, groups.counts.tolist(), strict=True)]

    def running(self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places) -> pa.Array:  # noqa: ARG002 - as above
        known = np.array([each or 0 for each in before], "i8")
        return pa.array(groups.running(np.ones(len(groups.of), "i8"), known))


class _Whole(NamedTuple):
    """Whole numbers, nulls as 0, and which of them are none."""

    numbers: Integers
    some: Integers

    @classmethod
    def of(cls, values: pa.Array) -> _Whole:
        """The numbers of a column.

        Raises:
            Doubt: their sum may leave 64 bits.
        """
        numbers = values.fill_null(0).to_numpy(zero_copy_only=False).astype("i8")
        if max(int(numbers.max()), -int(numbers.min())) * len(numbers) >= _SAFE:
            raise Doubt("sums may leave 64 bits")
        return cls(numbers, values.is_valid().to_numpy(zero_copy_only=False).astype("i8"))


def _numerator(accumulator: Any) -> int:
    """The sum so far, of an accumulator of `Sum` over whole numbers.

    Raises:
        Doubt: it is one of other numbers, or leaves 64 bits.
    """
    if accumulator is None:
        return 0
    kind, numerator, _, _ = accumulator
    if kind != "int" or not -_SAFE < numerator < _SAFE:
        raise Doubt("the sum so far is none of 64 bits")
    return int(numerator)


class _WholeSum(_Apart):
    type = pa.int64()

    def finals(self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places) -> list[Any]:  # noqa: ARG002 - every kernel takes them
        whole = _Whole.of(values)
        sums, some = groups.sums(whole.numbers).tolist(), groups.sums(whole.some).tolist()
        return [
            ["int", _numerator(known) + more, 0, 0.0] if count else known
            for known, more, count in zip(before, sums, some, strict=True)
        ]

    def running(self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places) -> pa.Array:  # noqa: ARG002 - as above
        whole = _Whole.of(values)
        known = np.array([_numerator(each) for each in before], "i8")
        seen = groups.running(whole.some, np.array([each is not None for each in before], "i8"))
        return pa.array(groups.running(whole.numbers, known), mask=seen == 0)


class _WholeMean(_Apart):
    type = pa.float64()
    _sum: Final = _WholeSum()

    def finals(self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places) -> list[Any]:
        counts, sums = self._apart(before)
        whole = _Whole.of(values)
        made = zip(
            counts, groups.sums(whole.some).tolist(), self._sum.finals(values, groups, sums, places), strict=True
        )
        return [[count + more, total] for count, more, total in made]

    def running(self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places) -> pa.Array:  # noqa: ARG002 - every kernel takes them
        counts, sums = self._apart(before)
        whole = _Whole.of(values)
        count = groups.running(whole.some, np.array(counts, "i8"))
        total = groups.running(whole.numbers, np.array([_numerator(each) for each in sums], "i8"))
        if np.abs(total).max() >= _EXACT:
            raise Doubt("a sum that no double holds")
        return pa.array(total / np.maximum(count, 1), mask=count == 0)

    @staticmethod
    def _apart(before: Sequence[Any]) -> tuple[list[int], list[Any]]:
        return [each[0] if each else 0 for each in before], [each[1] if each else None for each in before]


class _WholeExtreme(_Apart):
    def __init__(self, kind: str, by_one: Aggregator, values: pa.DataType) -> None:
        self.type = values
        self._by_one = by_one
        self._of = np.minimum if kind == "min" else np.maximum
        # What no other value is more extreme than; it stands for null.
        info = np.iinfo("i8")
        self._none = info.max if kind == "min" else info.min

    def finals(self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places) -> list[Any]:  # noqa: ARG002 - every kernel takes them
        numbers, some = self._numbers(values)
        found = self._of.reduceat(numbers[groups.order], groups.begins).tolist()
        merge = self._by_one.merge
        return [
            merge(known, each) if count else known
            for known, each, count in zip(before, found, groups.sums(some).tolist(), strict=True)
        ]

    def running(self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places) -> pa.Array:  # noqa: ARG002 - as above
        numbers, some = self._numbers(values)
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
    """Any aggregation that does not ask where a value stands, value by value."""

    def __init__(self, by_one: Aggregator, field: ColumnField, type_: pa.DataType) -> None:
        self.type = type_
        self._by_one = by_one
        self._values = to_python(field)

    def finals(self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places) -> list[Any]:
        return self._go(values, groups, before, places, lambda _: None)

    def both(
        self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places
    ) -> tuple[list[Any], pa.Array]:
        made: list[Any] = []
        result = self._by_one.result
        finals = self._go(values, groups, before, places, lambda accumulator: made.append(result(accumulator)))
        ordered = [None] * len(made)
        for at, each in zip(groups.order.tolist(), made, strict=True):
            ordered[at] = each
        try:
            return finals, pa.array(ordered, self.type)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise Doubt("a result that its column does not hold") from error

    @staticmethod
    def _places(places: Places, count: int) -> Sequence[RecordPosition]:  # noqa: ARG004 - an edge asks for them
        return [_NOWHERE] * count

    def _go(
        self,
        values: Any,
        groups: GroupIndex,
        before: Sequence[Any],
        places: Places,
        told: Callable[[Any], None],
    ) -> list[Any]:
        """The accumulator of each group; `told` gets each accumulator on the way. None but the last is kept."""
        given, at_place = self._values(values), self._places(places, len(groups.of))
        order, start, add = groups.order.tolist(), self._by_one.start, self._by_one.add
        finals = []
        try:
            for known, begin, count in zip(before, groups.begins.tolist(), groups.counts.tolist(), strict=True):
                accumulator = start() if known is None else known
                for at in order[begin : begin + count]:
                    accumulator = add(accumulator, given[at], at_place[at])
                    told(accumulator)
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
    def _places(places: Places, count: int) -> Sequence[RecordPosition]:  # noqa: ARG004 - as its sibling
        return places()

    def finals(self, values: pa.Array | None, groups: GroupIndex, before: Sequence[Any], places: Places) -> list[Any]:
        at_place = places()
        time = np.array([place[0] for place in at_place], "i8")
        # Of one time the later in the log is the later; the values stand in the order of the log.
        ordered = np.lexsort((np.arange(len(time)), time, groups.of))
        edge = ordered[groups.begins + (groups.counts - 1 if self._last else 0)]
        found = self._values(values.take(pa.array(edge)))  # type: ignore[union-attr]  # an edge has a field
        merge = self._by_one.merge
        return [
            merge(known, [list(at_place[at]), each])
            for known, each, at in zip(before, found, edge.tolist(), strict=True)
        ]
