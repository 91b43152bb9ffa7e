"""Events of a replay, which a handler with effects outside of the mesh must not handle a second time.

An event of a replay has the CloudEvents extension `replayid`. A handler gets it only where its caller says so: it may send
mail or money, and a replay is not the first time.
"""

from __future__ import annotations

import logging
from typing import Final, Literal

from meshport.event import Event

__all__ = ["OnReplay", "PassedOver"]

_log: Final = logging.getLogger(__name__)
_ID: Final = "replayid"
OnReplay = Literal["skip", "handle"]
"""What is done with an event of a replay: it is passed over, or handled as any other."""


class PassedOver:
    """Decides which events a handler does not get, and logs each replay of which there are any, once.

    Args:
        on_replay: what is done with an event of a replay.
        reader: who passes it over, for the log.

    Raises:
        ValueError: `on_replay` is neither "skip" nor "handle".
    """

    def __init__(self, on_replay: OnReplay, reader: str) -> None:
        if on_replay not in {"skip", "handle"}:
            raise ValueError(f'on_replay is "skip" or "handle", not {on_replay!r}')
        self._skips = on_replay == "skip"
        self._reader = reader
        self._seen: set[str] = set()

    def __call__(self, event: Event) -> bool:
        """Whether the handler does not get an event."""
        if not self._skips or _ID not in event.extensions:
            return False
        if (job := event.extensions[_ID]) not in self._seen:
            self._seen.add(job)
            _log.warning(
                '%s passes over the events of the replay %s; on_replay="handle" of `run` handles them',
                self._reader,
                job,
            )
        return True
