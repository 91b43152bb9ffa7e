"""Being told to stop: SIGINT and SIGTERM as an event that commands wait for."""

from __future__ import annotations

import signal
import threading


def stop_on_signal() -> threading.Event:
    """An event that SIGINT and SIGTERM set, from now on."""
    stopped = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stopped.set())
    return stopped
