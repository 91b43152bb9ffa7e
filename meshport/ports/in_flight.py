"""The events that were received and are not handled, in any order: which offsets of a partition are done with all that precede.

A thread receives events, and the tasks of an event loop handle many at a time. A partition's offset advances to the first event
that is not handled, whatever was handled after it: a restart repeats events but skips none.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection
from typing import Generic, TypeVar

from meshport.kafka.received import InputMessage
from meshport.ports.failed.waiting import WaitingEvent

__all__ = ["InFlight", "InFlightOffsets"]

_Item = TypeVar("_Item")


class InFlight(Generic[_Item]):
    """What was received at one offset.

    Attributes:
        item: an event, or a message that cannot be read.
        partition: of the message.
        offset: of the message.
        begun: whether a task handles it or has handled it.
        done: whether it is handled.
        lost: whether another member of the group reads its partition from now on, so that it must not be begun.
        message: as it was read, where an event that fails is tried again; else None.
        waiting: of an event that is handled again, what waits; None of one that comes in the topic's order.
    """

    __slots__ = ("begun", "done", "item", "lost", "message", "offset", "partition", "waiting")

    def __init__(
        self,
        item: _Item,
        partition: int,
        offset: int,
        message: InputMessage | None = None,
        waiting: WaitingEvent | None = None,
    ) -> None:
        self.item = item
        self.partition = partition
        self.offset = offset
        self.message = message
        self.waiting = waiting
        self.begun = self.done = self.lost = False


class _Partition(Generic[_Item]):
    """The events of one partition in the order of its log, from the first that is not handled on."""

    __slots__ = ("next_offset", "open")

    def __init__(self) -> None:
        self.open: deque[InFlight[_Item]] = deque()
        self.next_offset = 0  # after the last event that was received

    def handled(self) -> int:
        """Return the offset before which everything is handled."""
        while self.open and self.open[0].done:
            self.open.popleft()
        return self.open[0].offset if self.open else self.next_offset


class InFlightOffsets(Generic[_Item]):
    """The events in flight of all partitions; thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._partitions: dict[int, _Partition[_Item]] = {}
        self._count = 0

    @property
    def count(self) -> int:
        """How many events are received and not handled."""
        return self._count

    def received(
        self, item: _Item, partition: int, offset: int, message: InputMessage | None = None
    ) -> InFlight[_Item]:
        """Note an event; those of a partition come in the order of its log."""
        found = InFlight(item, partition, offset, message)
        with self._changed:
            known = self._partitions.setdefault(partition, _Partition())
            known.open.append(found)
            known.next_offset = offset + 1
            self._count += 1
        return found

    def passed_over(self, partition: int, offset: int) -> None:
        """Note an offset that nothing has to handle, such as that of an event that was seen before."""
        with self._changed:
            self._partitions.setdefault(partition, _Partition()).next_offset = offset + 1

    def begin(self, each: InFlight[_Item]) -> bool:
        """Return whether an event may be handled; False where another member reads its partition."""
        with self._changed:
            each.begun = not each.lost
            return each.begun

    def give_back(self, each: InFlight[_Item]) -> None:
        """Note that an event that was begun is not handled."""
        with self._changed:
            each.begun = False
            self._changed.notify_all()

    def done(self, each: InFlight[_Item]) -> None:
        """Note that an event is handled."""
        with self._changed:
            if each.done:
                return
            each.done = True
            if not each.lost:
                self._count -= 1
            self._changed.notify_all()

    def handled(self) -> dict[int, int]:
        """Return by partition the offset before which everything is handled."""
        with self._changed:
            return {number: each.handled() for number, each in self._partitions.items()}

    def wait_for_room(self, limit: int, timeout_s: float) -> bool:
        """Wait until fewer than `limit` events are in flight, and return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count < limit, timeout_s)

    def drain(self, partitions: Collection[int], timeout_s: float) -> bool:
        """Begin no event of these partitions any more, and wait for those that are begun; return whether they are handled."""
        with self._changed:
            open = [
                each for number in partitions if number in self._partitions for each in self._partitions[number].open
            ]
            for each in open:
                if not each.begun:
                    self._lose(each)
            deadline = time.monotonic() + timeout_s
            while any(each.begun and not each.done for each in open):
                if (left_s := deadline - time.monotonic()) <= 0:
                    return False
                self._changed.wait(left_s)
            return True

    def lose(self, partition: int) -> None:
        """Forget a partition that another member reads."""
        with self._changed:
            found = self._partitions.pop(partition, None)
            for each in found.open if found is not None else ():
                self._lose(each)

    def clear(self) -> None:
        """Forget all partitions, of which everything is handled."""
        with self._changed:
            for number in list(self._partitions):
                self.lose(number)

    def wake(self) -> None:
        """End a wait for room early."""
        with self._changed:
            self._changed.notify_all()

    def _lose(self, each: InFlight[_Item]) -> None:
        if not each.lost and not each.done:
            self._count -= 1
        each.lost = True
