"""When Python looks for objects in circles while batches are processed.

A batch makes some twenty objects a message, none of them in a circle, and lets all of them go at its end. Python counts those
that are alive: below as many as a batch has, it looked for circles in the midst of each, which took as long as all the rest.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# 20,000 messages come to some 400,000 objects; what a product's functions leave in circles is some 100 MB at most.
_THRESHOLDS: Final = (1_000_000, 20, 100)


@contextmanager
def infrequent_gc() -> Iterator[None]:
    """Look for circles once a million objects are alive; this holds for the whole process."""
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
