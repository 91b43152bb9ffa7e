"""The events of a group whose handling failed, in the order in which they are tried again. No I/O, and no clock."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from meshport.kafka.received import InputMessage

__all__ = ["Retry", "WaitingEvent", "WaitingEvents", "require_group"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """What a subscriber does with an event whose handling fails: it tries again later, and after the last try quarantines it.

    Args:
        tries: how often an event is handled at most.
        first_s: seconds between the first and the second try. Each further pause is twice as long.
        longest_s: seconds of the longest pause.

    Raises:
        ValueError: there is no try, or a pause is negative.
    """

    tries: int = 5
    first_s: float = 1.0
    longest_s: float = 300.0

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.tries < 1:
            raise ValueError(f"an event is handled at least once, found tries={self.tries}")
        if self.first_s < 0 or self.longest_s < 0:
            raise ValueError(f"a pause is not negative, found first_s={self.first_s}, longest_s={self.longest_s}")

    def pause_s(self, tries: int) -> float:
        """Return the seconds after which an event is handled again that has failed so often."""
        return float(min(self.longest_s, self.first_s * 2.0 ** min(tries - 1, 60)))


def require_group(on_error: Retry | None, group: str | None) -> None:
    """Refuse retries without a group.

    Raises:
        ValueError: there is none.
    """
    if on_error is not None and group is None:
        raise ValueError("`on_error` needs a group: the events that wait are those of the group")


@dataclass(eq=False, slots=True)
class WaitingEvent:
    """An event that waits to be handled again, or for an earlier one of its key.

    Attributes:
        message: as it was read from the port's topic.
        partition: the partition whose reader handles it: that of the message, unless the port's present generation has fewer.
        tries: how often its handling failed; 0 of an event that waits for an earlier one.
        due: the Unix time from which it is handled again, in seconds.
        redriven: how often it was redriven, after it had been quarantined.
    """

    message: InputMessage
    partition: int
    tries: int
    due: float
    redriven: int = 0

    @property
    def position(self) -> Position:
        """Topic, partition and offset of the message."""
        return self.message[:3]

    @property
    def lane(self) -> _Lane:
        """What all events of its key share; an event without a key shares it with none."""
        return self.partition, self.position if self.message.key is None else self.message.key


Position = tuple[str, int, int]
_Lane = tuple[int, Position | bytes]


class WaitingEvents:
    """Events that wait, those of each key in the order in which they were added: the first of them is tried before the next.

    Attributes:
        partitions: of which all waiting events are here.
    """

    def __init__(self) -> None:
        self.partitions: Final[set[int]] = set()
        self._lanes: Final[dict[_Lane, deque[WaitingEvent]]] = {}
        self._positions: Final[set[Position]] = set()
        # (due, position, event) of the first of each lane, and entries that hold no more.
        self._order: Final[list[tuple[float, Position, WaitingEvent]]] = []

    def __len__(self) -> int:
        return len(self._positions)

    def has(self, position: Position) -> bool:
        """Return whether the event at this topic, partition and offset waits."""
        return position in self._positions

    def holds_back(self, partition: int, key: bytes | None) -> bool:
        """Return whether an event of this key waits, so that a later one has to wait too."""
        return key is not None and (partition, key) in self._lanes

    def restore(self, partitions: Iterable[int], events: Iterable[WaitingEvent]) -> None:
        """Add all waiting events of partitions, those of a key in their order."""
        for event in events:
            self.add(event)
        self.partitions.update(partitions)

    def add(self, event: WaitingEvent) -> None:
        """Add an event, after those of its key."""
        lane = self._lanes.setdefault(event.lane, deque())
        lane.append(event)
        self._positions.add(event.position)
        if len(lane) == 1:
            self._expect(event)

    def _expect(self, event: WaitingEvent) -> None:
        heapq.heappush(self._order, (event.due, event.position, event))

    def first(self) -> WaitingEvent | None:
        """Return the event that is tried next, whether it is due or not; None where none waits."""
        while self._order:
            due, _, event = self._order[0]
            lane = self._lanes.get(event.lane)
            if lane is not None and lane[0] is event and event.due == due:
                return event
            heapq.heappop(self._order)
        return None

    def take(self) -> WaitingEvent | None:
        """Return the event that `first` returns, and leave it out until it is put off, removed or given back."""
        event = self.first()
        if event is not None:
            heapq.heappop(self._order)
        return event

    def give_back(self, event: WaitingEvent) -> None:
        """Note that an event that was taken is not handled."""
        if self.is_first(event):
            self._expect(self._lanes[event.lane][0])

    def is_first(self, event: WaitingEvent) -> bool:
        """Return whether an event waits, and none of its key before it."""
        lane = self._lanes.get(event.lane)
        return lane is not None and lane[0].position == event.position

    def put_off(self, event: WaitingEvent, due: float) -> None:
        """Note that the first event of its key has failed again."""
        if self.is_first(event):
            first = self._lanes[event.lane][0]
            first.tries += 1
            first.due = due
            self._expect(first)

    def remove(self, event: WaitingEvent) -> None:
        """Remove the first event of its key, if it is that; the next one of the key may be tried from now on."""
        if not self.is_first(event):
            return
        lane = self._lanes[event.lane]
        lane.popleft()
        self._positions.discard(event.position)
        if lane:
            self._expect(lane[0])
        else:
            del self._lanes[event.lane]

    def forget(self, partition: int) -> None:
        """Forget a partition that another member reads."""
        self.partitions.discard(partition)
        for lane in [each for each in self._lanes if each[0] == partition]:
            for event in self._lanes.pop(lane):
                self._positions.discard(event.position)

    def clear(self) -> None:
        """Forget all."""
        self.partitions.clear()
        self._lanes.clear()
        self._positions.clear()
        self._order.clear()
