"""Waiting for an event: the only clock that a test may look at, since it ends a hang and measures nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest

# Ten times what the slowest event takes on an idle machine: one core that is shared with other work is enough.
PATIENCE_S: Final = 150.0
"""Seconds that a test waits for an event, a command or a message before it fails."""


def wait_for(condition: Callable[[], object], what: str | Callable[[], str] = "", *, pause_s: float = 0.02) -> None:
    """Wait until the condition is true.

    Args:
        condition: asked after each pause; its value counts as true or false.
        what: was awaited, for the message of the failure.
        pause_s: seconds between two looks.
    """
    for _ in patiently(what):
        if condition():
            return
        time.sleep(pause_s)


def patiently(what: str | Callable[[], str] = "") -> Iterator[None]:
    """Yield, for the rounds of a loop that leaves it by itself, until `PATIENCE_S` have passed; fail then."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        yield
    pytest.fail(f"not within {PATIENCE_S:g} s: {what if isinstance(what, str) else what()}")
