"""The drift of values: how far those of now are from those of the same time a day before.

Of numbers it is the greatest distance of the two distribution functions (Kolmogorov and Smirnov's statistic), of words and flags
half the sum of the distances of their shares (total variation). What a sample of this size differs by chance is taken off, so
that no drift is 0. Sketches of a fixed size hold the values (KLL, of `datasketches`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from math import sqrt
from typing import Any, Final

from datasketches import kll_doubles_sketch

__all__ = ["LEAST_VALUES", "Distribution", "drift_of"]

LEAST_VALUES: Final = 200
"""Of fewer values nothing is said."""
_SKETCH: Final = 200
_POINTS: Final = 100
_MOST_WORDS: Final = 64
_MOST_FIELDS: Final = 20
# By chance, two samples of one distribution are further apart than this many times the root of their size once in 10^7 times.
_KS_NOISE: Final = 2.9


class _Values:
    """The values of one field: numbers in a sketch, words in counts."""

    def __init__(self) -> None:
        self.numbers = kll_doubles_sketch(_SKETCH)
        self.words: Counter[str] = Counter()
        self.count = 0

    def add(self, value: Any) -> None:
        self.count += 1
        if value is None or isinstance(value, bool):
            self.words[f"{value}"] += 1
        elif isinstance(value, (int, float, Decimal)):
            if (number := float(value)) == number:  # a NaN is equal to nothing
                self.numbers.update(number)
        elif isinstance(value, str):
            # Beyond so many words it is no list of choices, and the rest is one word.
            self.words[value if value in self.words or len(self.words) < _MOST_WORDS else ""] += 1


class Distribution:
    """The values of the fields of a port in one span of time; memory is bounded by the number of fields.

    Args:
        fields: the fields that are watched; of none, all that have numbers, words or flags, as far as the first twenty.
        without: fields that are left out then: keys, times and numbers of facts, whose values always move on.
    """

    def __init__(self, fields: Iterable[str] = (), *, without: Iterable[str] = ()) -> None:
        self._fields = tuple(fields)
        self._without = frozenset(without)
        self._values: dict[str, _Values] = {}

    def add(self, record: Mapping[str, Any]) -> None:
        """Add the values of one record."""
        for name in self._fields or record:
            if name in self._without or not isinstance(
                value := record.get(name), (int, float, Decimal, str, type(None))
            ):
                continue
            found = self._values.get(name)
            if found is None:
                if len(self._values) >= _MOST_FIELDS:
                    continue
                found = self._values[name] = _Values()
            found.add(value)

    @property
    def count(self) -> int:
        """How many values the field with most of them has."""
        return max((each.count for each in self._values.values()), default=0)

    def items(self) -> Iterable[tuple[str, _Values]]:
        """Return the values by field."""
        return self._values.items()

    def of(self, field: str) -> _Values | None:
        """Return the values of a field."""
        return self._values.get(field)


def drift_of(now: Distribution, before: Distribution) -> dict[str, float]:
    """Return how far the values of each field are apart, 0 to 1; a field with too few values in either is left out."""
    found = {}
    for name, values in now.items():
        earlier = before.of(name)
        if earlier is None or min(values.count, earlier.count) < LEAST_VALUES:
            continue
        if (distance := _distance(values, earlier)) is not None:
            found[name] = round(distance, 4)
    return found


def _distance(one: _Values, other: _Values) -> float | None:
    noise = _KS_NOISE * sqrt((1 / one.count + 1 / other.count) / 2)
    # The share of numbers beside nulls, so that a field that becomes null drifts too.
    distances: list[float] = [abs(one.numbers.n / one.count - other.numbers.n / other.count) - noise]
    if min(one.numbers.n, other.numbers.n) >= LEAST_VALUES:
        distances.append(_of_numbers(one.numbers, other.numbers) - noise)
    if one.words or other.words:
        if max(len(one.words), len(other.words)) >= _MOST_WORDS:
            return None if len(distances) == 1 else max(0.0, *distances)  # no list of choices: names, ids, text
        choices = len({*one.words, *other.words}) + 1
        by_chance = noise + sqrt(choices / 6.3 * (1 / one.count + 1 / other.count))
        distances.append(_of_words(one, other) - by_chance)
    return max(0.0, *distances)


def _of_numbers(one: Any, other: Any) -> float:
    points = sorted({*_quantiles(one), *_quantiles(other)})
    first, second = one.get_cdf(points, inclusive=True), other.get_cdf(points, inclusive=True)
    return max((abs(a - b) for a, b in zip(first, second, strict=True)), default=0.0)


def _quantiles(sketch: Any) -> list[float]:
    quantile: Callable[[float], float] = sketch.get_quantile
    return [quantile(each / _POINTS) for each in range(1, _POINTS)]


def _of_words(one: _Values, other: _Values) -> float:
    words = {*one.words, *other.words}
    return sum(abs(one.words[each] / one.count - other.words[each] / other.count) for each in words) / 2
