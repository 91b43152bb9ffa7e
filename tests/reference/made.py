"""Events made by hand, and the reference mesh itself, for the tests of recounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meshport.event import Envelope, Event

ROOT = Path(__file__).parents[2]


def event(data: Mapping[str, Any], time: Any, *, id: str, partition: int = 0, offset: int = 0) -> Event:
    """An event made by hand, as a recount gets it."""
    return Event(envelope=Envelope("", ""), id=id, time=time, data=dict(data), partition=partition, offset=offset)


def in_order(events: Sequence[Event]) -> list[Event]:
    """The events with the offsets of their order, each partition counted by itself."""
    offsets: dict[int, int] = {}
    for each in events:
        each.offset = offsets.get(each.partition, -1) + 1
        offsets[each.partition] = each.offset
    return sorted(events, key=lambda each: (each.partition, each.offset))
