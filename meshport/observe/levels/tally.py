"""Counts of what was looked at and what of it missed the promise, over the last minutes, hour and day.

Memory is bounded: a tally keeps ten counts of half a minute and 144 counts of ten minutes, however much is counted. Times are
given, so that a day of events can be counted in a moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["DAY_MS", "HOUR_MS", "RECENT_MS", "SpanCount", "Tally"]

RECENT_MS: Final = 300_000
"""The length of the last minutes, by which a fault is seen soon."""
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class SpanCount:
    """What was counted in a span of time.

    Attributes:
        total: how many were looked at.
        missed: how many of them missed the promise.
    """

    total: int = 0
    missed: int = 0

    @property
    def share(self) -> float | None:
        """The share that kept the promise, 0 to 1; None where none was looked at."""
        return 1 - self.missed / self.total if self.total else None


class _Panes:
    """Counts of equal spans of time, the newest ones only."""

    def __init__(self, length_ms: int, count: int) -> None:
        self._length_ms = length_ms
        self._count = count
        self._totals = [0] * count
        self._missed = [0] * count
        self._newest = -1

    def add(self, at_ms: int, total: int, missed: int) -> None:
        number = at_ms // self._length_ms
        self._move_to(number)
        if number <= self._newest - self._count:
            return  # older than what is kept
        index = number % self._count
        self._totals[index] += total
        self._missed[index] += missed

    def counted(self, now_ms: int, span_ms: int) -> SpanCount:
        self._move_to(now_ms // self._length_ms)
        last = min(self._count, -(-span_ms // self._length_ms))
        indexes = [number % self._count for number in range(self._newest - last + 1, self._newest + 1)]
        missed = sum(self._missed[each] for each in indexes)
        return SpanCount(sum(self._totals[each] for each in indexes), max(0, missed))

    def _move_to(self, number: int) -> None:
        if number <= self._newest:
            return
        for each in range(max(self._newest + 1, number - self._count + 1), number + 1):
            self._totals[each % self._count] = self._missed[each % self._count] = 0
        self._newest = number


class Tally:
    """Counts by time what was looked at and what missed the promise."""

    def __init__(self) -> None:
        self._recent = _Panes(RECENT_MS // 10, 10)
        self._day = _Panes(DAY_MS // 144, 144)

    def add(self, at_ms: int, total: int, missed: int = 0) -> None:
        """Count; what is older than a day is left out.

        Args:
            at_ms: when it was (Unix time in ms).
            total: how many were looked at.
            missed: how many of them missed the promise; negative where one that was counted as missed has come after all.
        """
        self._recent.add(at_ms, total, missed)
        self._day.add(at_ms, total, missed)

    def recent(self, now_ms: int) -> SpanCount:
        """Return what was counted in the last five minutes."""
        return self._recent.counted(now_ms, RECENT_MS)

    def hour(self, now_ms: int) -> SpanCount:
        """Return what was counted in the last hour."""
        return self._day.counted(now_ms, HOUR_MS)

    def day(self, now_ms: int) -> SpanCount:
        """Return what was counted in the last day."""
        return self._day.counted(now_ms, DAY_MS)
