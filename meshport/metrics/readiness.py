"""Whether a long-running process is ready: it has what it needs, and moves.

A process that has joined its group, restored its state and processes what waits is ready. It is stuck, and not ready, where
events wait and none was processed for a minute: a connection that is open and gives nothing looks healthy from outside
(aiokafka#1154, faust#523).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

STUCK_S: Final = 60.0
"""Seconds without progress, while events wait, after which a process counts as stuck."""


@dataclass(frozen=True, slots=True)
class ReadyState:
    """Whether a process is ready, at one moment.

    Attributes:
        name: of what is asked, such as `meshport run shop/revenue`.
        ready: whether it is.
        reasons: why it is not; none where it is.
        waiting: how many events wait; None where that is not known.
        idle_s: seconds since the last progress.
    """

    name: str
    ready: bool
    reasons: tuple[str, ...] = ()
    waiting: int | None = None
    idle_s: float = 0.0


class Readiness:
    """What a long-running process reports of itself. Any thread may report and ask.

    Args:
        name: of the process, as people know it.
        needs: what it has to have first, such as `joined` and `restored`; see `meet`.
        stuck_s: seconds without progress, while events wait, after which it is stuck.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        name: str,
        needs: Iterable[str] = (),
        *,
        stuck_s: float = STUCK_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name: Final = name
        self._stuck_s = stuck_s
        self._clock = clock
        self._lock = threading.Lock()
        self._missing: dict[str, str] = {need: f"not {need} yet" for need in needs}
        self._waiting: int | None = None
        self._look: Callable[[], int | None] | None = None
        self._moved = clock()

    def meet(self, need: str) -> None:
        """Note that the process has what it needs, such as `joined`."""
        with self._lock:
            if self._missing.pop(need, None) is not None:
                self._moved = self._clock()

    def lack(self, need: str, why: str) -> None:
        """Note that it has not, or not any more, and why."""
        with self._lock:
            self._missing[need] = why

    def progress(self) -> None:
        """Note that the process has moved: it processed, restored or published something."""
        with self._lock:
            self._moved = self._clock()

    def lag(self, waiting: int | None) -> None:
        """Note how many events wait now; None where that is not known."""
        with self._lock:
            if not self._waiting:
                # What waits since now cannot have been waiting before: an idle process does not get stuck at its first event.
                self._moved = self._clock()
            self._waiting = waiting

    def watch(self, waiting: Callable[[], int | None]) -> None:
        """Have `waiting` called, by the thread that asks, for how many events wait; in place of `lag`."""
        with self._lock:
            self._look = waiting

    def state(self) -> ReadyState:
        """Return whether the process is ready now."""
        if self._look is not None:
            self.lag(self._look())
        with self._lock:
            idle_s = self._clock() - self._moved
            reasons = list(self._missing.values())
            if self._waiting and idle_s >= self._stuck_s:
                reasons.append(f"stuck: {self._waiting} events wait, and none was processed for {idle_s:.0f} s")
            return ReadyState(self.name, not reasons, tuple(reasons), self._waiting, idle_s)
