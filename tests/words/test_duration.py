"""Durations as descriptors and flags write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.product.duration import format_duration, parse_duration

LENGTHS = st.integers(0, 36_525 * 86_400_000).map(lambda ms: timedelta(milliseconds=ms))


@given(LENGTHS)
def test_a_length_is_read_as_it_is_written(length: timedelta) -> None:
    """Every duration of whole milliseconds up to a century is parsed from its own text."""
    assert parse_duration(format_duration(length)) == length


@pytest.mark.parametrize(
    ("text", "length", "shortest"),
    [
        ("500ms", timedelta(milliseconds=500), "500ms"),
        ("30s", timedelta(seconds=30), "30s"),
        ("90m", timedelta(minutes=90), "90m"),
        ("24h", timedelta(days=1), "1d"),
        ("7 d", timedelta(days=7), "7d"),
        ("0s", timedelta(0), "0ms"),
        ("36525d", timedelta(days=36_525), "36525d"),
    ],
)
def test_a_length_is_written_in_its_largest_unit(text: str, length: timedelta, shortest: str) -> None:
    """A duration is a number and a unit, and is written in the largest unit that is exact."""
    assert parse_duration(text) == length
    assert format_duration(length) == shortest


@pytest.mark.parametrize(
    "value", ["", "7", "d", "7 weeks", "1.5h", "-1h", "1h30m", "PT1H", "36526d", "٣d", 7, 7.5, True, None]
)
def test_what_is_no_length_is_refused(value: object) -> None:
    """Text without a unit is refused, and so is a bare number, which pydantic would read as seconds."""
    with pytest.raises(ValueError, match="no length of time; write a number and one of ms, s, m, h, d"):
        parse_duration(value)
