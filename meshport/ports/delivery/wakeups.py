"""Waking the tasks that await receipts: many with one call into their event loop.

A call into a loop from another thread writes to the loop's socket and takes 10 us of both. Delivery reports come in batches, so
the first of a batch makes the call, and the others are woken by it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import Final

__all__ = ["Wakeups", "wakeups_here"]


class Wakeups:
    """The tasks of one event loop that are to be woken.

    Args:
        loop: that runs in the present thread.

    Attributes:
        loop: as given.
    """

    __slots__ = ("_called", "_waiters", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: Final = loop
        self._waiters: Final[deque[asyncio.Future[None]]] = deque()
        self._called = False

    def wake(self, waiter: asyncio.Future[None]) -> None:
        """Give a waiter of this loop its result, soon. Any thread may call this; a loop that is closed has no waiters."""
        self._waiters.append(waiter)
        if not self._called:  # else a scheduled call finds this waiter: it clears the flag before it looks
            self._called = True
            with suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        self._called = False
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():  # its task may have been cancelled
                waiter.set_result(None)


class _Here(threading.local):
    found: Wakeups | None = None


_here: Final = _Here()


def wakeups_here() -> Wakeups:
    """Return the wakeups of the loop that runs in this thread."""
    loop = asyncio.get_running_loop()
    if _here.found is None or _here.found.loop is not loop:
        _here.found = Wakeups(loop)
    return _here.found
