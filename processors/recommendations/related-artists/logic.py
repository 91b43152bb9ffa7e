"""Edges between artists who were heard in one session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import permutations
from typing import Any

from meshport.process.logic.operators import Aggregate, Deduplicate, Flatten, Operator


def pairs(session: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """An edge for every two artists of a session, in both directions; none for a session with one artist."""
    for artist, related in permutations(session["artists"], 2):
        yield {"artist_id": artist, "related_artist_id": related, "window_end": session["window_end"]}


def pipeline() -> list[Operator]:
    """Count the sessions of each edge."""
    return [
        Deduplicate(within=timedelta(days=7)),
        Flatten(pairs),
        Aggregate(
            by=("artist_id", "related_artist_id"),
            values={"sessions": "count()", "last_heard_at": "max(window_end)"},
        ),
    ]
