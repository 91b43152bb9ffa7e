"""Aggregators: exact results in any order, on plain data."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.errors import ProcessError
from meshport.process.logic import lossless_json
from meshport.process.logic.aggregators import aggregator_for
from meshport.process.logic.operators import Aggregate
from meshport.process.logic.records import RecordPosition
from meshport.product.aggregation import Aggregation

numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


def total(text: str, values: list[Any], positions: list[RecordPosition] | None = None) -> Any:
    """Return the result over some values; the accumulator is stored and restored after each."""
    each = aggregator_for(Aggregation.parse(text).kind)
    accumulator = each.start()
    for number, value in enumerate(values):
        position = positions[number] if positions else (0, 0, number, 0)
        accumulator = lossless_json.loads(lossless_json.dumps(each.add(accumulator, value, position)))
    return each.result(accumulator)


@given(st.lists(numbers, max_size=30), st.randoms())
def test_sums_of_doubles_are_those_of_fsum_in_any_order(values: list[float], random: Any) -> None:
    """A sum of doubles is rounded once, at the end, so that any order gives the same bits."""
    shuffled = random.sample(values, len(values))
    exact = math.fsum(values) if values else None
    assert total("sum(x)", values) == total("sum(x)", shuffled) == exact
    if values:
        assert total("mean(x)", shuffled) == math.fsum(values) / len(values)


@given(
    st.lists(st.lists(numbers | st.none(), max_size=6), min_size=1, max_size=6),
    st.sampled_from(["sum(x)", "mean(x)", "min(x)", "max(x)", "count()", "distinct(x)"]),
)
def test_merged_parts_are_the_whole(parts: list[list[float | None]], text: str) -> None:
    """Merged accumulators of parts give the result of one accumulator over all values, which merged sessions depend on."""
    each = aggregator_for(Aggregation.parse(text).kind)
    accumulators = [reduce(lambda a, v: each.add(a, v, (0, 0, 0, 0)), part, each.start()) for part in parts]
    merged = each.result(reduce(each.merge, accumulators))
    assert merged == total(text, [value for part in parts for value in part])


def test_kinds_of_numbers() -> None:
    """Integers add up to an integer of any size, decimals to an exact decimal; nulls are skipped."""
    assert total("sum(x)", [2**70, 1, None, -5]) == 2**70 - 4
    assert total("sum(x)", [Decimal("0.10"), Decimal("0.205"), Decimal(3)]) == Decimal("3.305")
    assert total("sum(x)", [0.1] * 10) == 1.0
    assert total("sum(x)", [1, 0.5]) == 1.5
    assert total("mean(x)", [Decimal("0.1"), Decimal("0.2")]) == pytest.approx(0.15)
    assert total("mean(x)", [1, 2, None]) == 1.5
    assert total("sum(x)", [None]) is None
    assert total("mean(x)", []) is None
    assert total("count()", [None, None]) == 2


@pytest.mark.parametrize("value", ["7", True, [1]])
def test_what_is_no_number_is_not_added_up(value: Any) -> None:
    """A sum of text, booleans or lists raises TypeError, so that the event is quarantined."""
    with pytest.raises(TypeError):
        total("sum(x)", [value])


def test_infinities_and_nan() -> None:
    """A sum with infinities or NaN is that of IEEE 754, in any order."""
    assert total("sum(x)", [math.inf, 1.0]) == math.inf
    assert math.isnan(total("sum(x)", [math.inf, 2.0, -math.inf]))
    assert math.isnan(total("max(x)", [1.0, math.nan, 2.0]))
    assert total("min(x)", [math.nan, 2.0, 1.0]) == 1.0


@given(st.permutations([0.0, -0.0, 3.0, -2.0, None]))
def test_extremes_do_not_depend_on_order(values: list[float | None]) -> None:
    """Minimum and maximum are the same bytes in any order, signed zeros included."""
    assert (repr(total("min(x)", values)), repr(total("max(x)", values))) == ("-2.0", "3.0")
    zeros = [value for value in values if value == 0]
    assert repr(total("max(x)", zeros)) == repr(total("max(x)", zeros[::-1]))


@given(st.permutations(range(5)))
def test_first_and_last_go_by_event_time(order: list[int]) -> None:
    """`first` and `last` go by event time and then by position in the log, not by the order of arrival."""
    positions: list[RecordPosition] = [(10, 0, 7, 0), (20, 0, 1, 0), (20, 1, 0, 0), (5, 3, 9, 1), (5, 3, 9, 0)]
    values = ["a", "b", "c", "d", "e"]
    given_ = [values[number] for number in order]
    assert total("first(x)", given_, [positions[number] for number in order]) == "e"
    assert total("last(x)", given_, [positions[number] for number in order]) == "c"


def test_distinct_and_collect() -> None:
    """`distinct` counts and `collect` sorts the different values; nulls are skipped."""
    assert total("distinct(x)", ["a", "b", "a", None]) == 2
    assert total("collect(x)", ["b", "a", "b", None]) == ["a", "b"]
    assert total("collect(x)", [b"b", b"a"]) == [b"a", b"b"]


@pytest.mark.parametrize("text", ["median(x)", "count(x)", "sum()", "sum(x", "sum(x, y)", ""])
def test_unknown_aggregations_are_refused(text: str) -> None:
    """Text that is no aggregation is refused with the forms that are, in product.yaml and in Python."""
    with pytest.raises(ValueError, match=r"is no aggregation; use one of count\(\), sum\(field\)"):
        Aggregation.parse(text)
    with pytest.raises(ProcessError, match="is no aggregation"):
        Aggregate(by=("id",), values={"value": text})


def test_an_aggregation_keeps_its_text() -> None:
    """An aggregation is parsed once; its text stays as written, since the digest of a stored state is made of it."""
    assert Aggregation.parse("mean( delay )") == Aggregation("mean", "delay", "mean( delay )")
    assert str(Aggregation("mean", "delay")) == "mean(delay)"
    assert str(Aggregation("count")) == "count()"
