"""How fast refusals are answered, so that a flood of them leaves the time of the process to other callers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

_AT_ONCE: Final = 1000
_EARNED_PER_SECOND: Final = 10.0
_PER_SECOND: Final = 100.0
_LONGEST_WAIT_S: Final = 2.0


class Pacing:
    """Delays refusals that come after `_AT_ONCE` others, to `_PER_SECOND` a second, each by two seconds at most.

    A client waits for its answer, so that its next request comes later; the number of connections is bounded elsewhere.

    Args:
        clock: returns seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: float = _AT_ONCE
        self._counted_at = self._free_at = clock()

    @property
    def crowded(self) -> bool:
        """Whether refusals are delayed at the moment."""
        return self._left < 1

    async def turn(self) -> None:
        """Count one refusal, and return when it may be answered."""
        if (wait := self.next_wait()) > 0:
            await asyncio.sleep(wait)

    def next_wait(self) -> float:
        """Count one refusal, and return the seconds that its answer has to wait."""
        now = self._clock()
        earned, self._counted_at = (now - self._counted_at) * _EARNED_PER_SECOND, now
        self._left = min(_AT_ONCE, self._left + earned)
        if self._left >= 1:
            self._left -= 1
            return 0.0
        self._free_at = min(max(self._free_at, now) + 1 / _PER_SECOND, now + _LONGEST_WAIT_S)
        return self._free_at - now
