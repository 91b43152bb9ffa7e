"""SIGINT and SIGTERM: an exception while a command starts, an event once it waits for the end."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


def interrupt_on_signal() -> None:
    """Have SIGINT and SIGTERM raise KeyboardInterrupt, so that contexts that are open are closed in order."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)


def stop_on_signal() -> threading.Event:
    """Return an event that SIGINT and SIGTERM set from now on."""
    stopped = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stopped.set())
    return stopped


class Uninterrupted:
    """A context at whose end, not within it, SIGINT and SIGTERM raise KeyboardInterrupt; outside of it they do so at once.

    An exception that a signal handler raises while Kafka's client takes a message surfaces as a TypeError of the client
    ("expected header key to be unicode string"), in about one of some dozen interruptions.
    """

    def __init__(self) -> None:
        self._inside = self._pending = False
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self._signalled)

    def _signalled(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._inside:
            raise KeyboardInterrupt
        self._pending = True

    def __enter__(self) -> Self:
        self._inside = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = False
        if self._pending and kind is None:
            self._pending = False
            raise KeyboardInterrupt
