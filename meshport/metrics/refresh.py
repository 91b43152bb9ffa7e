"""Brings figures up to date before they are read: most are counted already, and copied into metrics when they are read.

prometheus_client collects in the order of registration. Every module of definitions imports this one first, so that it comes
before them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final
from weakref import WeakMethod

from prometheus_client import REGISTRY, Metric
from prometheus_client.registry import Collector

__all__ = ["before_scrape"]

_log: Final = logging.getLogger(__name__)


class _Refresh(Collector):
    """Has no metrics: it calls what sets those of others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[WeakMethod[Callable[[], None]]] = []

    def add(self, call: Callable[[], None]) -> None:
        with self._lock:
            self._calls = [each for each in self._calls if each() is not None]
            self._calls.append(WeakMethod(call))

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            calls = [call for each in self._calls if (call := each()) is not None]
        for call in calls:
            try:
                call()
            except Exception:  # noqa: BLE001 - whatever a part raises is logged
                # One part that cannot be asked must not take the figures of all others away.
                _log.exception("a figure is not up to date")
        return ()


_REFRESH: Final = _Refresh()
REGISTRY.register(_REFRESH)


def before_scrape(method: Callable[[], None]) -> None:
    """Have a bound method called before each time that metrics are read, for as long as its object lives."""
    _REFRESH.add(method)
