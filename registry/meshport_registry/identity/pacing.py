"""How fast refusals are answered, so that a flood of them leaves the time of the process to other callers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

_AT_ONCE: Final = 100
_PER_SECOND: Final = 200.0
_LONGEST_WAIT_S: Final = 2.0


class Pacing:
    """Delays answers beyond `_AT_ONCE` in a row and `_PER_SECOND` a second, by two seconds at most.

    A client waits for its answer, so that its next request comes later; connections are bounded elsewhere.

    Args:
        clock: returns seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free_at = clock()

    async def turn(self) -> None:
        """Return when the next answer may be sent."""
        if (wait := self.next_wait()) > 0:
            await asyncio.sleep(wait)

    def next_wait(self) -> float:
        """Count one answer, and return the seconds that it has to wait."""
        now = self._clock()
        earliest = now - _AT_ONCE / _PER_SECOND
        self._free_at = max(self._free_at, earliest) + 1 / _PER_SECOND
        self._free_at = min(self._free_at, now + _LONGEST_WAIT_S)
        return max(0.0, self._free_at - now)
