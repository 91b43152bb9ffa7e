"""Aggregators: each computes one kind of aggregation over a group of records.

An aggregator works on plain data, never changes an accumulator in place, and gives the same result in any order of its
values. Sums are exact: `0.1` added ten times in any order is the same double, the one that `math.fsum` gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Protocol

from meshport.process.logic import lossless_json
from meshport.process.logic.records import RecordPosition
from meshport.product.aggregation import AggregationKind


class Aggregator(Protocol):
    """Computes one kind of aggregation over a group."""

    def start(self) -> Any:
        """Return the accumulator of no value."""
        ...

    def add(self, accumulator: Any, value: Any, position: RecordPosition) -> Any:
        """Return the accumulator with one value added; `value` is None for a null."""
        ...

    def merge(self, one: Any, other: Any) -> Any:
        """Return the accumulator of the values of both."""
        ...

    def result(self, accumulator: Any) -> Any:
        """Return the result of an accumulator."""
        ...


def aggregator_for(kind: AggregationKind) -> Aggregator:
    """Return the aggregator that computes one kind of aggregation."""
    return _AGGREGATORS[kind]


class Count:
    """Counts records."""

    def start(self) -> int:
        """Return zero."""
        return 0

    def add(self, accumulator: int, value: Any, position: RecordPosition) -> int:  # noqa: ARG002 - every aggregator takes them
        """Return the count plus one."""
        return accumulator + 1

    def merge(self, one: int, other: int) -> int:
        """Return the sum of both counts."""
        return one + other

    def result(self, accumulator: int) -> int:
        """Return the count."""
        return accumulator


class Sum:
    """Sums integers, doubles or decimals exactly; nulls are skipped, and the sum of no value is null.

    The accumulator is `[kind, numerator, shift, rest]`: the sum is numerator / base**shift, base 2 for integers (shift
    0) and doubles, 10 for decimals. Every finite double is such a fraction, so that only the result is rounded. The shift
    is the largest seen, so that the accumulator too is the same in any order. `rest` adds up infinities and NaN.
    """

    def start(self) -> None:
        """Return the accumulator of no value."""
        return

    def add(self, accumulator: Any, value: Any, position: RecordPosition) -> Any:  # noqa: ARG002 - every aggregator takes it
        """Return the sum with one value added.

        Raises:
            TypeError: the value is no number, or a decimal meets a double.
        """
        return accumulator if value is None else _plus(accumulator, _exact(value))

    def merge(self, one: Any, other: Any) -> Any:
        """Return the sum of both."""
        return other if one is None else one if other is None else _plus(one, other)

    def result(self, accumulator: Any) -> Any:
        """Return the sum: an int, a double that is rounded once, or an exact decimal.

        Raises:
            OverflowError: it is beyond the range of a double.
        """
        if accumulator is None:
            return None
        kind, numerator, shift, rest = accumulator
        if kind == "int":
            return int(numerator)
        if kind == "decimal":
            return Decimal((int(numerator < 0), tuple(map(int, str(abs(numerator)))), -shift))
        return float(rest) if rest else float(numerator / (1 << shift))


def _exact(value: Any) -> list[Any]:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError(f"{value!r} is no number to add up")
    if isinstance(value, int):
        return ["int", value, 0, 0.0]
    if isinstance(value, float):
        if not math.isfinite(value):
            return ["float", 0, 0, value]
        numerator, denominator = value.as_integer_ratio()
        return ["float", numerator, denominator.bit_length() - 1, 0.0]
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise TypeError(f"{value!r} is no number to add up")
    numerator = int("".join(map(str, digits))) * (-1 if sign else 1)
    return ["decimal", numerator * 10**exponent if exponent > 0 else numerator, max(-exponent, 0), 0.0]


def _plus(one: Any, other: Any) -> Any:
    if one is None:
        return other
    kind, numerator, shift, rest = one
    other_kind, other_numerator, other_shift, other_rest = other
    if kind != other_kind:
        if "decimal" in {kind, other_kind}:
            raise TypeError(f"{kind} and {other_kind} are not added up together")
        kind = "float"
    base = 10 if kind == "decimal" else 2
    if shift < other_shift:
        numerator, shift = numerator * base ** (other_shift - shift), other_shift
    elif other_shift < shift:
        other_numerator = other_numerator * base ** (shift - other_shift)
    return [kind, numerator + other_numerator, shift, rest + other_rest]


class Mean:
    """Divides the exact sum by the count of the values that are not null, as a double; null where there are none."""

    _sum: Final = Sum()

    def start(self) -> Any:
        """Return the accumulator of no value."""
        return [0, None]

    def add(self, accumulator: Any, value: Any, position: RecordPosition) -> Any:
        """Return the mean with one value added."""
        if value is None:
            return accumulator
        return [accumulator[0] + 1, self._sum.add(accumulator[1], value, position)]

    def merge(self, one: Any, other: Any) -> Any:
        """Return the mean of both."""
        return [one[0] + other[0], self._sum.merge(one[1], other[1])]

    def result(self, accumulator: Any) -> float | None:
        """Return the mean."""
        count, total = accumulator
        if not count:
            return None
        kind, numerator, shift, _ = total
        if kind == "decimal":
            return float(numerator / (count * 10**shift))
        return float(self._sum.result(total) / count)


class Extreme:
    """Finds the least or the greatest value that is not null; NaN is greater than all others.

    Args:
        sign: -1 for the least, 1 for the greatest.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def start(self) -> None:
        """Return the accumulator of no value."""
        return

    def add(self, accumulator: Any, value: Any, position: RecordPosition) -> Any:  # noqa: ARG002 - every aggregator takes it
        """Return the more extreme of the two."""
        if value is None:
            return accumulator
        return self.merge(accumulator, value)

    def merge(self, one: Any, other: Any) -> Any:
        """Return the more extreme of the two."""
        if one is None or other is None:
            return other if one is None else one
        if one == other:
            # 0.0 and -0.0 are equal, but not the same bytes; the result must not depend on their order.
            return min(one, other, key=repr) if not one and isinstance(one, float) else one
        if one != one or other != other:  # noqa: PLR0124 - only NaN differs from itself
            return one if (one != one) == (self._sign > 0) else other  # noqa: PLR0124 - as above
        return one if (one > other) == (self._sign > 0) else other

    def result(self, accumulator: Any) -> Any:
        """Return the value, or null."""
        return accumulator


class Edge:
    """Finds the first or the last value by event time, then by position in the log; a null counts as a value.

    Args:
        sign: -1 for the first, 1 for the last.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def start(self) -> None:
        """Return the accumulator of no value."""
        return

    def add(self, accumulator: Any, value: Any, position: RecordPosition) -> Any:
        """Return the one whose position is nearer to the edge."""
        return self.merge(accumulator, [list(position), value])

    def merge(self, one: Any, other: Any) -> Any:
        """Return the one whose position is nearer to the edge."""
        if one is None or other is None:
            return other if one is None else one
        return one if (one[0] > other[0]) == (self._sign > 0) else other

    def result(self, accumulator: Any) -> Any:
        """Return the value, or null."""
        return None if accumulator is None else accumulator[1]


class Distinct:
    """Counts the different values that are not null; the accumulator holds all of them."""

    def start(self) -> dict[str, int]:
        """Return the accumulator of no value."""
        return {}

    def add(self, accumulator: dict[str, int], value: Any, position: RecordPosition) -> dict[str, int]:  # noqa: ARG002
        """Return the values with one added."""
        if value is None or (text := lossless_json.dumps(value)) in accumulator:
            return accumulator
        return {**accumulator, text: 1}

    def merge(self, one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
        """Return the values of both."""
        return one | other

    def result(self, accumulator: dict[str, int]) -> Any:
        """Return their count."""
        return len(accumulator)


class Collect(Distinct):
    """Collects the different values that are not null, sorted, so that the result does not depend on their order."""

    def result(self, accumulator: dict[str, int]) -> list[Any]:
        """Return the values in order; values without an order of their own are sorted by their JSON text."""
        values = [lossless_json.loads(text) for text in sorted(accumulator)]
        try:
            return sorted(values)
        except TypeError:
            return values


_AGGREGATORS: Final[Mapping[AggregationKind, Aggregator]] = {
    "count": Count(),
    "sum": Sum(),
    "mean": Mean(),
    "min": Extreme(-1),
    "max": Extreme(1),
    "first": Edge(-1),
    "last": Edge(1),
    "distinct": Distinct(),
    "collect": Collect(),
}
