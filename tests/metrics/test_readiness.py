"""Whether a process is ready: it has what it needs, and moves."""

from __future__ import annotations

import pytest

from meshport.metrics.readiness import STUCK_S, Readiness


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


def test_a_process_is_ready_once_it_has_what_it_needs(clock: Clock) -> None:
    """Each need that is not met is a reason, and a need that is lost is one again."""
    readiness = Readiness("run shop/revenue", ["joined", "restored"], clock=clock)
    assert readiness.state().reasons == ("not joined yet", "not restored yet")
    readiness.meet("joined")
    readiness.meet("restored")
    assert readiness.state().ready
    readiness.lack("joined", "it has left its group")
    assert readiness.state().reasons == ("it has left its group",)


def test_a_process_is_stuck_where_events_wait_and_none_is_processed(clock: Clock) -> None:
    """It is not ready from a minute without progress on, while events wait, and again with the next event."""
    readiness = Readiness("relay", clock=clock)
    readiness.lag(3)
    clock.now += STUCK_S - 1
    assert readiness.state().ready
    clock.now += 1
    found = readiness.state()
    assert (found.ready, found.waiting, found.idle_s) == (False, 3, STUCK_S)
    assert "3 events wait, and none was processed for 60 s" in found.reasons[0]
    readiness.progress()
    assert readiness.state().ready


def test_an_idle_process_is_not_stuck(clock: Clock) -> None:
    """Without events it stays ready, and an event that comes after a long silence has its minute."""
    readiness = Readiness("relay", clock=clock)
    readiness.lag(0)
    clock.now += 10 * STUCK_S
    assert readiness.state().ready
    readiness.lag(1)
    assert readiness.state().ready
    clock.now += STUCK_S
    readiness.lag(1)
    assert not readiness.state().ready


def test_a_lag_that_is_not_known_makes_no_process_stuck(clock: Clock) -> None:
    """A process that cannot tell its lag is ready while it has what it needs."""
    readiness = Readiness("publish", clock=clock)
    readiness.lag(None)
    clock.now += 10 * STUCK_S
    assert readiness.state().ready


def test_what_waits_may_be_asked_for(clock: Clock) -> None:
    """A process that is watched need not report its lag: it is counted when a probe asks."""
    waiting: list[int] = []
    readiness = Readiness("tail", clock=clock)
    readiness.watch(lambda: len(waiting))
    clock.now += 10 * STUCK_S
    waiting.append(1)
    assert readiness.state().ready, "what waits since now has its minute"
    clock.now += STUCK_S
    assert readiness.state().reasons == ("stuck: 1 events wait, and none was processed for 60 s",)
    waiting.clear()
    assert readiness.state().ready
