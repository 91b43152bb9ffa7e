"""What becomes of a promise when it is judged, and the words in which that is said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from meshport.event.attributes import rfc3339
from meshport.service_levels import LevelState, MeasuredBy

__all__ = ["LevelOutcome", "instant_text", "percent", "span", "unknown"]


class LevelOutcome(NamedTuple):
    """The judgement of one promise.

    Attributes:
        state: how it is kept.
        measured: what was measured, in words; None where nothing was.
        budget: the part of the error budget that is left; None where there is none.
        reason: why the state is what it is, in one sentence.
        by: by what a completeness is measured; None of other promises.
    """

    state: LevelState
    measured: str | None
    budget: float | None
    reason: str
    by: MeasuredBy | None = None


def unknown(reason: str, measured: str | None = None) -> LevelOutcome:
    """Return the outcome of what is not known, with the reason."""
    return LevelOutcome(LevelState.UNKNOWN, measured, None, reason)


def percent(part: float) -> str:
    """Return a part of one in words: `99.5 %`."""
    return f"{100 * part:.4g} %"


def span(length_ms: float) -> str:
    """Return a length of time in its largest fitting unit: `350 ms`, `12 s`, `2.5 h`."""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if length_ms >= length:
            return f"{length_ms / length:.3g} {unit}"
    return f"{length_ms:.0f} ms"


def instant_text(at_ms: int) -> str:
    """Return an instant (Unix time in ms) as text: `2001-02-03T04:05:06Z`."""
    return rfc3339(datetime.fromtimestamp(at_ms / 1000, UTC)).decode()
