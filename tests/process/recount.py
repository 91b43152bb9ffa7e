"""Derived products recounted from the source log in the plainest way, without closing windows and without state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from meshport.event import Event


def on_time(events: Iterable[Event], lateness: timedelta) -> Iterator[Event]:
    """Return the events that were not late, judged partition by partition."""
    newest: dict[int, datetime] = {}
    for event in events:
        watermark = newest.get(event.partition)
        if watermark is None or event.time >= watermark - lateness:
            yield event
        newest[event.partition] = max(event.time, watermark or event.time)


def unique(events: Iterable[Event], within: timedelta) -> Iterator[Event]:
    """Return the events without those that repeat an id."""
    seen: dict[str, list[datetime]] = defaultdict(list)
    for event in events:
        if all(abs(event.time - other) > within for other in seen[event.id]):
            seen[event.id].append(event.time)
            yield event


def hourly(events: Iterable[Event], by: str) -> dict[str, dict[str, Any]]:
    """Return count and sum of milliseconds by key and hour."""
    groups: dict[tuple[str, datetime], list[int]] = defaultdict(list)
    for event in events:
        hour = event.time.replace(minute=0, second=0, microsecond=0)
        groups[event.data[by], hour].append(event.data["ms"])
    return {
        f"{key}|{hour.isoformat().replace('+00:00', 'Z')}": {
            by: key,
            "window_start": hour,
            "window_end": hour + timedelta(hours=1),
            "plays": len(values),
            "ms": sum(values),
        }
        for (key, hour), values in groups.items()
    }


def sessions(events: Iterable[Event], gap: timedelta) -> list[tuple[str, datetime, datetime, int]]:
    """Return (user, first, last, plays) of each session."""
    times: dict[str, list[datetime]] = defaultdict(list)
    for event in events:
        times[event.data["user"]].append(event.time)
    found = []
    for user, moments in times.items():
        moments.sort()
        start, last, count = moments[0], moments[0], 0
        for moment in moments:
            if moment - last > gap:
                found.append((user, start, last, count))
                start, count = moment, 0
            last, count = moment, count + 1
        found.append((user, start, last, count))
    return sorted(found)
