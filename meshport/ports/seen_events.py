"""What a subscriber remembers of the events that it has read, to leave repeated ones out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from meshport.event import Event


class SeenEvents:
    """The last (source, id) pairs of each partition, with the offset at which each was first seen.

    Args:
        size: how many pairs to remember for each partition.

    Attributes:
        on_repeated: called for each event that was seen before.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.on_repeated: Callable[[], object] = lambda: None
        self._pairs: dict[int, OrderedDict[tuple[str, str], int]] = {}

    def first(self, event: Event) -> bool:
        """See `is_first`."""
        return self.is_first(event.partition, event.offset, event.source, event.id)

    def is_first(self, partition: int, offset: int, source: str, id: str) -> bool:
        """Return whether an event was not seen before, and remember it."""
        pairs = self._pairs.setdefault(partition, OrderedDict())
        identity = (source, id)
        if identity in pairs:
            # The same offset again is a repeat of this very event after a rebalance, not a duplicate of it.
            if pairs[identity] == offset:
                return True
            self.on_repeated()
            return False
        pairs[identity] = offset
        if len(pairs) > self._size:
            pairs.popitem(last=False)
        return True

    def forget(self, partition: int) -> None:
        """Forget a partition that another member reads now; events that are repeated after its return count as new."""
        self._pairs.pop(partition, None)
