"""Being told to stop: SIGINT and SIGTERM, as an exception while a command begins, as an event once it waits for one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


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


class Unbroken:
    """From its making on, SIGINT and SIGTERM raise KeyboardInterrupt, but within its `with` only at the end of it.

    A signal that comes while Kafka's client takes a message comes out of it as TypeError ("expected header key to be unicode
    string"), once in some dozen interruptions.
    """

    def __init__(self) -> None:
        self._held = self._pending = False
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self._told)

    def _told(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._held:
            raise KeyboardInterrupt
        self._pending = True

    def __enter__(self) -> Self:
        self._held = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held = False
        if self._pending and kind is None:
            self._pending = False
            raise KeyboardInterrupt
