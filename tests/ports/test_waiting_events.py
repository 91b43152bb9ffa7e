"""The order in which events are tried again: those of a key one after another, whatever else waits."""

from __future__ import annotations

import random

import pytest

from meshport.kafka.received import InputMessage
from meshport.ports.failed.waiting import Retry, WaitingEvent, WaitingEvents


def event(offset: int, key: bytes | None, *, due: float = 0.0, partition: int = 0) -> WaitingEvent:
    """An event that waits."""
    return WaitingEvent(InputMessage("t", partition, offset, key, b"", ()), partition, 1, due)


def taken(waiting: WaitingEvents) -> list[int]:
    """The offsets in the order in which the events come, each handled when it does."""
    found = []
    while (first := waiting.first()) is not None:
        found.append(first.message.offset)
        waiting.remove(first)
    return found


def test_a_pause_doubles_up_to_the_longest() -> None:
    """After each failure the pause is twice as long, and never longer than said."""
    retry = Retry(tries=9, first_s=0.5, longest_s=3)
    assert [retry.pause_s(tries) for tries in range(1, 6)] == [0.5, 1, 2, 3, 3]
    assert Retry().pause_s(10_000) == 300


@pytest.mark.parametrize("wrong", [{"tries": 0}, {"first_s": -1}, {"longest_s": -0.1}])
def test_a_policy_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    """Without a try, or with a negative pause, there is no policy."""
    with pytest.raises(ValueError, match="found"):
        Retry(**wrong)  # type: ignore[arg-type]


def test_events_of_a_key_come_in_order_and_others_by_their_time() -> None:
    """A later event of a key waits for the first, though it is due earlier; events of other keys and without one do not."""
    waiting = WaitingEvents()
    for each in (event(1, b"a", due=9), event(2, b"b", due=5), event(3, b"a", due=0), event(4, None, due=7)):
        waiting.add(each)
    assert waiting.holds_back(0, b"a")
    assert not waiting.holds_back(0, None)
    assert not waiting.holds_back(1, b"a")
    assert taken(waiting) == [2, 4, 1, 3]
    assert len(waiting) == 0
    assert not waiting.holds_back(0, b"a")


def test_an_event_that_fails_again_is_put_off() -> None:
    """Its new time counts, and later ones of its key still wait for it."""
    waiting = WaitingEvents()
    first = event(1, b"a", due=1)
    for each in (first, event(2, b"a"), event(3, b"b", due=2)):
        waiting.add(each)
    waiting.put_off(first, 3)
    assert first.tries == 2
    assert taken(waiting) == [3, 1, 2]


def test_a_partition_that_is_forgotten_leaves_nothing() -> None:
    """Events of a partition that another member reads are gone, and may be added again."""
    waiting = WaitingEvents()
    for each in (event(1, b"a"), event(2, b"a"), event(1, b"a", partition=1)):
        waiting.add(each)
    waiting.forget(0)
    assert (len(waiting), waiting.has(("t", 0, 1)), waiting.has(("t", 1, 1))) == (1, False, True)
    waiting.add(event(2, b"a"))
    assert sorted(taken(waiting)) == [1, 2]


def test_no_order_of_failures_changes_the_order_of_a_key() -> None:
    """Whatever fails how often, the events of each key are handled in the order in which they were added, each once."""
    choice = random.Random(20260301)
    waiting = WaitingEvents()
    keys = [choice.choice([b"a", b"b", b"c"]) for _ in range(200)]
    for offset, key in enumerate(keys):
        waiting.add(event(offset, key, due=choice.random()))
    handled: list[int] = []
    while (first := waiting.first()) is not None:
        if choice.random() < 0.5:
            waiting.put_off(first, first.due + choice.random())
        else:
            handled.append(first.message.offset)
            waiting.remove(first)
    assert sorted(handled) == list(range(200))
    for key in set(keys):
        own = [offset for offset in handled if keys[offset] == key]
        assert own == sorted(own)
