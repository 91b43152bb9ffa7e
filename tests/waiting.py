"""Waiting for an event: the only clock that a test may look at, since it ends a hang and measures nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest

# Ten times what the slowest event takes on an idle machine: one core that is shared with other work is enough.
PATIENCE_S: Final = 150.0
"""Seconds that a test waits for an event, a command or a message before it fails."""


def wait_for(
    condition: Callable[[], object],
    what: str | Callable[[], str] = "",
    *,
    pause_s: float | None = None,
    patience_s: float = PATIENCE_S,
) -> None:
    """Wait until the condition is true.

    Args:
        condition: asked after each pause; its value counts as true or false.
        what: was awaited, for the message of the failure.
        pause_s: seconds between two looks. By default 0.02 s at first and 0.2 s at last, for one that costs a broker
            several requests; a test that has to act at once names a pause.
        patience_s: seconds after which the test fails; more for a command that does many things of which each may take that time.
    """
    pause = 0.02 if pause_s is None else pause_s
    for _ in patiently(what, patience_s):
        if condition():
            return
        time.sleep(pause)
        if pause_s is None:
            pause = min(pause * 1.1, 0.2)


def patiently(what: str | Callable[[], str] = "", patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Yield, for the rounds of a loop that leaves it by itself, until `patience_s` seconds have passed; fail then."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        yield
    pytest.fail(f"not within {patience_s:g} s: {what if isinstance(what, str) else what()}")
