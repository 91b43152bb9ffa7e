"""Row keys in the order of the event time at which each is due."""

from __future__ import annotations

import heapq


class Expiry:
    """Row keys with the event time at which each is due, microseconds.

    A key that is watched again for a later time is still due at the earlier one: the caller then watches it anew. That is
    cheaper than to move it within the heap.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._due_at: dict[str, int] = {}

    def watch(self, key: str, at: int) -> None:
        """Make a key due at a time, or at an earlier one for which it is watched already."""
        known = self._due_at.get(key)
        if known is None or at < known:
            self._due_at[key] = at
            heapq.heappush(self._heap, (at, key))

    def due(self, horizon: int | None) -> list[str]:
        """Remove and return the keys that are due at `horizon`, each once, in the order of time and key."""
        found: list[str] = []
        while horizon is not None and self._heap and self._heap[0][0] <= horizon:
            at, key = heapq.heappop(self._heap)
            if self._due_at.get(key) == at:
                del self._due_at[key]
                found.append(key)
        return found
