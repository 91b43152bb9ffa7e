"""How long after the fact an event can be read."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from datasketches import kll_doubles_sketch

from meshport.observe.levels.tally import DAY_MS, RECENT_MS
from meshport.service_levels import DelayQuantiles

__all__ = ["Delays"]

_SKETCH: Final = 200
_PANE_MS: Final = RECENT_MS // 10
# Event time that passes so much faster than the clock is history that is filled in.
_FASTER: Final = 3


class _Pane:
    """The delays of the events of half a minute, and the newest fact of them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sketch = kll_doubles_sketch(_SKETCH)
        self.first_fact_ms = self.last_fact_ms = float("nan")
        self.first_ms = self.last_ms = 0


class Delays:
    """The delays of the last five minutes: ten sketches."""

    def __init__(self) -> None:
        self._panes: deque[_Pane] = deque(maxlen=11)

    def add(self, recorded_ms: int, time_ms: float) -> float:
        """Add an event, and return its delay in milliseconds; a fact of the future has none.

        Args:
            recorded_ms: when the event came into the log.
            time_ms: when the fact happened.
        """
        number = recorded_ms // _PANE_MS
        pane = self._panes[-1] if self._panes else None
        if pane is None or number > pane.number:
            pane = _Pane(number)
            pane.first_fact_ms, pane.first_ms = time_ms, recorded_ms
            self._panes.append(pane)
        delay_ms = max(0.0, recorded_ms - time_ms)
        pane.sketch.update(delay_ms)
        pane.last_fact_ms, pane.last_ms = time_ms, recorded_ms
        return delay_ms

    def quantiles(self, now_ms: int) -> DelayQuantiles | None:
        """Return the quantiles of the last five minutes; None where no event came."""
        merged: Any = kll_doubles_sketch(_SKETCH)
        for each in self._recent(now_ms):
            merged.merge(each.sketch)
        if merged.is_empty():
            return None
        p50, p95, p99 = (round(merged.get_quantile(each), 1) for each in (0.5, 0.95, 0.99))
        return DelayQuantiles(p50=p50, p95=p95, p99=p99)

    def is_history(self, now_ms: int) -> bool:
        """Whether history is being filled in: old facts, whose time passes much faster than the clock."""
        panes = self._recent(now_ms)
        if not panes or (found := self.quantiles(now_ms)) is None or found.p50 < DAY_MS:
            return False
        first, last = panes[0], panes[-1]
        passed = max(1, last.last_ms - first.first_ms)
        return last.last_fact_ms - first.first_fact_ms > _FASTER * passed

    def _recent(self, now_ms: int) -> list[_Pane]:
        newest = now_ms // _PANE_MS
        return [each for each in self._panes if newest - 10 < each.number <= newest]
