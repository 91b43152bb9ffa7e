"""Thresholds of Python's cyclic garbage collector for the time in which batches are processed.

A batch makes some twenty objects for each message, none of them in a reference cycle, and drops all of them at its end. With
Python's default thresholds the collector ran in the middle of each batch and took as long as everything else.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# 20,000 messages make some 400,000 objects. The cycles that a product's functions may leave until then are 100 MB at most.
_THRESHOLDS: Final = (1_000_000, 20, 100)


_lock: Final = threading.Lock()
_before: list[tuple[int, int, int]] = []
"""The thresholds before the first engine of the process; one entry for each that runs, since engines may end in any order."""


@contextmanager
def infrequent_gc() -> Iterator[None]:
    """Collect cyclic garbage only after a million allocations; the thresholds are those of the whole process."""
    with _lock:
        _before.append(_before[0] if _before else gc.get_threshold())
        gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        with _lock:
            before = _before.pop()
            if not _before:
                gc.set_threshold(*before)
