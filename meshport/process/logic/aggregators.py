"""Aggregators: what a group of records is boiled down to.

Each works on plain data (what JSON can hold), never changes an accumulator in place, and gives the same result in
whatever order its values come. Sums are exact: `0.1` added ten times and taken in any order is one and the same double,
the one that `math.fsum` gives.
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
    """One aggregation over a group."""

    def start(self) -> Any:
        """The accumulator of no value."""
        ...

    def add(self, accumulator: Any, value: Any, position: RecordPosition) -> Any:
        """The accumulator with one value more; `value` is None for a null."""
        ...

    def merge(self, one: Any, other: Any) -> Any:
        """The accumulator of the values of both."""
        ...

    def result(self, accumulator: Any) -> Any:
        """What the group comes to."""
        ...


def aggregator_for(kind: AggregationKind) -> Aggregator:
    """Return the aggregator that computes one kind of aggregation."""
    return _AGGREGATORS[kind]


class Count:
    """How many records."""

    def start(self) -> int:
        """Zero."""
        return 0

    def add(self, accumulator: int, value: Any, position: RecordPosition) -> int:  # noqa: ARG002 - every aggregator takes them
        """One more."""
        return accumulator + 1

    def merge(self, one: int, other: int) -> int:
        """Both."""
        return one + other

    def result(self, accumulator: int) -> int:
        """The count."""
        return accumulator


class Sum:
    """The exact sum of integers, doubles or decimals; nulls are skipped, and no value at all is null.

    The accumulator is `[kind, numerator, shift, rest]`: the sum is numerator / base**shift, base 2 for integers (shift
    0) and doubles, 10 for decimals. Every finite double is such a fraction, so nothing is ever rounded before the
    end, and the shift is the largest seen: the accumulator too is the same in any order. `rest` adds up infinities
    and NaN.
    """

    def start(self) -> None:
        """No value."""
        return

    def add(self, accumulator: Any, value: Any, position: RecordPosition) -> Any:  # noqa: ARG002 - every aggregator takes it
        """The sum with one value more.

        Raises:
            TypeError: the value is no number, or decimals and doubles meet.
        """
        return accumulator if value is None else _plus(accumulator, _exact(value))

    def merge(self, one: Any, other: Any) -> Any:
        """The sum of both."""
        return other if one is None else one if other is None else _plus(one, other)

    def result(self, accumulator: Any) -> Any:
        """The sum: an int, a double correctly rounded once, or an exact decimal.

        Raises:
            OverflowError: it is beyond a double.
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
    """The exact sum by the count of the values that are not null, as a double; null where there is none."""

    _sum: Final = Sum()

    def start(self) -> Any:
        """No value."""
        return [0, None]

    def add(self, accumulator: Any, value: Any, position: RecordPosition) -> Any:
        """The mean with one value more."""
        if value is None:
            return accumulator
        return [accumulator[0] + 1, self._sum.add(accumulator[1], value, position)]

    def merge(self, one: Any, other: Any) -> Any:
        """The mean of both."""
        return [one[0] + other[0], self._sum.merge(one[1], other[1])]

    def result(self, accumulator: Any) -> float | None:
        """The mean."""
        count, total = accumulator
        if not count:
            return None
        kind, numerator, shift, _ = total
        if kind == "decimal":
            return float(numerator / (count * 10**shift))
        return float(self._sum.result(total) / count)


class Extreme:
    """The least or greatest value that is not null; NaN counts as greater than all.

    Args:
        sign: -1 for the least, 1 for the greatest.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def start(self) -> None:
        """No value."""
        return

    def add(self, accumulator: Any, value: Any, position: RecordPosition) -> Any:  # noqa: ARG002 - every aggregator takes it
        """The more extreme of the two."""
        if value is None:
            return accumulator
        return self.merge(accumulator, value)

    def merge(self, one: Any, other: Any) -> Any:
        """The more extreme of the two."""
        if one is None or other is None:
            return other if one is None else one
        if one == other:
            # 0.0 and -0.0, 1 and 1.0: equal, yet not the same bytes; the order of coming must not decide.
            return min(one, other, key=repr) if not one and isinstance(one, float) else one
        if one != one or other != other:  # noqa: PLR0124 - only NaN differs from itself
            return one if (one != one) == (self._sign > 0) else other  # noqa: PLR0124 - as above
        return one if (one > other) == (self._sign > 0) else other

    def result(self, accumulator: Any) -> Any:
        """The value, or null."""
        return accumulator


class Edge:
    """The first or last value by event time, then by place in the log; a null counts as a value.

    Args:
        sign: -1 for the first, 1 for the last.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def start(self) -> None:
        """No value."""
        return

    def add(self, accumulator: Any, value: Any, position: RecordPosition) -> Any:
        """The one that stands nearer to the edge."""
        return self.merge(accumulator, [list(position), value])

    def merge(self, one: Any, other: Any) -> Any:
        """The one that stands nearer to the edge."""
        if one is None or other is None:
            return other if one is None else one
        return one if (one[0] > other[0]) == (self._sign > 0) else other

    def result(self, accumulator: Any) -> Any:
        """The value, or null."""
        return None if accumulator is None else accumulator[1]


class Distinct:
    """How many different values that are not null; it keeps all of them."""

    def start(self) -> dict[str, int]:
        """No value."""
        return {}

    def add(self, accumulator: dict[str, int], value: Any, position: RecordPosition) -> dict[str, int]:  # noqa: ARG002
        """The values with one more."""
        if value is None or (text := lossless_json.dumps(value)) in accumulator:
            return accumulator
        return {**accumulator, text: 1}

    def merge(self, one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
        """The values of both."""
        return one | other

    def result(self, accumulator: dict[str, int]) -> Any:
        """How many."""
        return len(accumulator)


class Collect(Distinct):
    """The different values that are not null, each once: sorted, so that the order of coming does not show."""

    def result(self, accumulator: dict[str, int]) -> list[Any]:
        """The values; those that have no order of their own in that of their plain text."""
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
