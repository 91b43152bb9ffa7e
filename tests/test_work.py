"""The count of work: what it counts, and that it ends what exceeds its limit."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest

from tests.work import TooMuchWork, counted


def test_each_round_of_a_loop_counts() -> None:
    """Ten times the rounds are ten times the lines, in loops, comprehensions and generators."""
    for work_of in (_loop, _comprehension, _generator):
        with counted() as few:
            work_of(100)
        with counted() as many:
            work_of(1000)
        assert 100 <= few.lines < 500, work_of
        assert 9 * few.lines < many.lines < 11 * few.lines, work_of


def test_endless_work_is_ended_at_its_limit() -> None:
    """A loop without an end fails as soon as its limit is passed, wherever the loop is."""
    with pytest.raises(TooMuchWork, match="more than 1000 lines"), counted(1000) as work:
        _loop(10**12)
    assert work.lines == 1001


def test_an_exceeded_limit_cannot_be_swallowed() -> None:
    """Code that catches every exception fails at the end of the block."""

    def swallowing() -> None:
        with suppress(Exception):
            _loop(10**12)

    with pytest.raises(TooMuchWork), counted(1000):
        swallowing()


def test_the_trace_function_of_before_is_restored() -> None:
    """A debugger or a measurement of coverage goes on after the block."""

    def others(*_: object) -> None:
        """Trace nothing."""

    before = sys.gettrace()
    sys.settrace(others)
    try:
        with counted():
            pass
        assert sys.gettrace() is others
    finally:
        sys.settrace(before)


def _loop(rounds: int) -> None:
    count = 0
    while count < rounds:
        count += 1


def _comprehension(rounds: int) -> list[int]:
    return [number for number in range(rounds)]  # noqa: C416 - the loop is what is counted


def _generator(rounds: int) -> bool:
    return all(number >= 0 for number in range(rounds))
