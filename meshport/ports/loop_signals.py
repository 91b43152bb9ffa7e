"""Stopping the readers of an event loop by the signal with which a process is asked to end."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakKeyDictionary

__all__ = ["stopped_by_sigterm"]

_stops: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, list[Callable[[], None]]]] = WeakKeyDictionary()


@contextmanager
def stopped_by_sigterm(stop: Callable[[], None]) -> Iterator[None]:
    """Call a function on SIGTERM, with those of all readers of the running loop.

    Where something else handles the signal, as a server does, that stops the readers. SIGINT is asyncio's own: it cancels.

    Args:
        stop: asks a reader to end; it must not wait.
    """
    loop = asyncio.get_running_loop()
    if loop not in _stops and not _is_free():
        yield
        return
    stops = _stops.setdefault(loop, [])
    if not stops:
        loop.add_signal_handler(signal.SIGTERM, lambda: [each() for each in stops.copy()])
    stops.append(stop)
    try:
        yield
    finally:
        stops.remove(stop)
        if not stops:
            del _stops[loop]
            loop.remove_signal_handler(signal.SIGTERM)


def _is_free() -> bool:
    """Return whether a handler can be installed here, and nothing else has one: Windows' loops take none."""
    here = threading.current_thread() is threading.main_thread() and hasattr(signal, "pthread_kill")
    return here and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
