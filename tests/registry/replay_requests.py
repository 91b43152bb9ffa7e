"""Requests for replay jobs of the plays, for the suites of the registry."""

from __future__ import annotations

from typing import Any

from meshport.replay_jobs import ReplayRequest


def replay_request(**other: Any) -> ReplayRequest:
    """Return a request that replays the first offsets of the plays to stdout."""
    given = {
        "address": "player/plays/events@1",
        "topic": "player.plays.events.v1",
        "begins": {0: 0},
        "ends": {0: 7},
        "purpose": "to look",
        "output": "stdout",
    }
    return ReplayRequest.model_validate(given | other)
