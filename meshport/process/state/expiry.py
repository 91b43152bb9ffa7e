"""Which rows have to be looked at next, by event time."""

from __future__ import annotations

import heapq


class Expiry:
    """Row keys with the event time at which each is due, microseconds.

    A row's due time may move: watching it again for a later time costs nothing, `due` gives the key at the earlier
    time and the caller watches it anew.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._at: dict[str, int] = {}

    def watch(self, key: str, at: int) -> None:
        """Give the key once time has come to `at`, or earlier."""
        known = self._at.get(key)
        if known is None or at < known:
            self._at[key] = at
            heapq.heappush(self._heap, (at, key))

    def due(self, horizon: int | None) -> list[str]:
        """The keys that are due at this time, each once, in order of time and key; they are watched no longer."""
        found: list[str] = []
        while horizon is not None and self._heap and self._heap[0][0] <= horizon:
            at, key = heapq.heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                found.append(key)
        return found
