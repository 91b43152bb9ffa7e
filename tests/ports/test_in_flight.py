"""Which offsets are handled with all that precede, whatever the order in which tasks handle events."""

from __future__ import annotations

import threading
from random import Random

from meshport.ports.in_flight import InFlightOffsets
from tests.waiting import PATIENCE_S


def test_an_offset_advances_past_what_is_handled_in_any_order() -> None:
    """In each random order, the offset of a partition is that of its first event that is not handled; gaps are passed."""
    random = Random(7)
    for _ in range(50):
        offsets: InFlightOffsets[str] = InFlightOffsets()
        log = sorted(random.sample(range(200), 40))
        received = [offsets.received("event", 3, offset) for offset in log]
        waiting = random.sample(received, len(received))
        while waiting:
            offsets.done(waiting.pop())
            left = [each.offset for each in waiting]
            assert offsets.handled() == {3: min(left, default=log[-1] + 1)}
            assert offsets.count == len(left)


def test_what_nothing_handles_is_passed_over() -> None:
    """An event that was seen before moves the offset once those before it are handled."""
    offsets: InFlightOffsets[str] = InFlightOffsets()
    first = offsets.received("event", 0, 10)
    offsets.passed_over(0, 11)
    assert offsets.handled() == {0: 10}
    offsets.done(first)
    assert offsets.handled() == {0: 12}


def test_a_partition_of_another_member_counts_no_more() -> None:
    """After a partition is lost its events are not begun, count for no offset, and make room; others stay."""
    offsets: InFlightOffsets[str] = InFlightOffsets()
    lost, begun, kept = offsets.received("a", 0, 5), offsets.received("b", 0, 6), offsets.received("c", 1, 7)
    assert offsets.begin(begun)
    offsets.lose(0)
    assert not offsets.begin(lost)
    offsets.done(begun)
    assert (offsets.handled(), offsets.count) == ({1: 7}, 1)
    again = offsets.received("a", 0, 5)  # the partition is assigned again
    offsets.done(lost)
    assert (offsets.handled(), offsets.begin(again), offsets.begin(kept)) == ({0: 5, 1: 7}, True, True)


def test_a_revoked_partition_waits_for_what_is_begun_alone() -> None:
    """Nothing further is begun, and the wait ends once what was begun is handled; its offset is committed then."""
    offsets: InFlightOffsets[str] = InFlightOffsets()
    begun, waiting = offsets.received("a", 0, 5), offsets.received("b", 0, 6)
    assert offsets.begin(begun)
    drained: list[bool] = []
    thread = threading.Thread(target=lambda: drained.append(offsets.drain([0, 1], PATIENCE_S)))
    thread.start()
    while not waiting.lost:
        thread.join(0.001)
    assert not offsets.begin(waiting)
    offsets.done(begun)
    thread.join()
    assert (drained, offsets.handled(), offsets.count) == ([True], {0: 6}, 0)


def test_a_wait_for_what_is_begun_ends() -> None:
    """An event that is handled for longer than the wait does not hold the group back."""
    offsets: InFlightOffsets[str] = InFlightOffsets()
    assert offsets.begin(offsets.received("a", 0, 5))
    assert not offsets.drain([0], 0)
    assert offsets.handled() == {0: 5}


def test_room_is_waited_for() -> None:
    """A full window waits until an event is handled."""
    offsets: InFlightOffsets[str] = InFlightOffsets()
    received = [offsets.received("a", 0, offset) for offset in range(3)]
    assert not offsets.wait_for_room(3, 0)
    threading.Thread(target=lambda: offsets.done(received[2])).start()
    assert offsets.wait_for_room(3, PATIENCE_S)
