"""Being told to stop: SIGINT and SIGTERM, as an exception while a command begins, as an event once it waits for one."""

from __future__ import annotations

import signal
import threading


def interrupt_on_signal() -> None:
    """SIGTERM raises KeyboardInterrupt, as SIGINT does: whatever was opened until then is closed in order."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)


def stop_on_signal() -> threading.Event:
    """An event that SIGINT and SIGTERM set, from now on."""
    stopped = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stopped.set())
    return stopped
