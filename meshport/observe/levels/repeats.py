"""Events that come a second time: the same id of the same source among the last ones that were read."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["RepeatedIds"]

_REMEMBERED: Final = 50_000


class RepeatedIds:
    """Remembers the ids of the last events, as hashes of eight bytes each.

    Args:
        remembered: how many; a repeat that comes after more events than these is not seen.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._order: deque[int] = deque()
        self._known: set[int] = set()
        self._remembered = remembered

    def is_repeat(self, source: str, event_id: str) -> bool:
        """Return whether an event with this id came before, and remember it."""
        one = hash((source, event_id))
        if one in self._known:
            return True
        self._known.add(one)
        self._order.append(one)
        if len(self._order) > self._remembered:
            self._known.discard(self._order.popleft())
        return False
