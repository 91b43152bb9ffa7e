"""What this product should hold, counted again from the plays alone, without any of the processor's code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from meshport.event import Event

LATENESS = timedelta(hours=12)
GAP = timedelta(minutes=30)


def recount(sources: Mapping[str, Sequence[Event]]) -> Iterator[dict[str, Any]]:
    """Every session that can grow no more.

    A play is late if it began more than the lateness before another that its partition held earlier; it does not count.
    Of plays with one id the first counts. A session ends where a listener's next play begins more than the gap later;
    it is over once its partition holds a play that began more than gap and lateness after its last one.
    """
    newest: dict[int, datetime] = {}
    known: set[str] = set()
    listeners: defaultdict[tuple[int, str], list[Event]] = defaultdict(list)
    for play in sources["mesh://player/plays"]:
        begun = newest.setdefault(play.partition, play.time)
        if play.time >= begun - LATENESS and play.id not in known:
            known.add(play.id)
            listeners[play.partition, play.data["user_id"]].append(play)
        newest[play.partition] = max(begun, play.time)
    for (partition, _), plays in listeners.items():
        for session in _sessions(sorted(plays, key=lambda play: play.time)):
            if session[-1].time + GAP + LATENESS < newest[partition]:
                yield _row(session)


def _sessions(plays: list[Event]) -> Iterator[list[Event]]:
    session = plays[:1]
    for play in plays[1:]:
        if play.time - session[-1].time > GAP:
            yield session
            session = []
        session.append(play)
    yield session


def _row(session: list[Event]) -> dict[str, Any]:
    plays = [play.data for play in session]
    return {
        "user_id": plays[0]["user_id"],
        "window_start": session[0].time,
        "window_end": session[-1].time,
        "plays": len(plays),
        "skips": sum(play["ended"] == "SKIPPED" for play in plays),
        "played_ms": sum(play["played_ms"] for play in plays),
        "artists": sorted({play["artist_id"] for play in plays}),
    }
