"""The sample of a port's events from which its profile is made, beside the measures of the same messages.

A profile costs a hundred microseconds for each event. Therefore few events are taken of a look, and few in all until the next
profile is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from meshport.binding import Binding
from meshport.event import Event
from meshport.observe.profile import PortProfiler
from meshport.port_profile import PortProfile
from meshport.schema import Schema

__all__ = ["SampledPort"]

EVERY_MS: Final = 300_000
"""Milliseconds from one profile of a port to the next."""
_OF_A_LOOK: Final = 100
_OF_A_PROFILE: Final = 200  # in addition to those of the profile before
_MOST: Final = 1_000  # then a profile begins anew, so that it shows the present


class SampledPort:
    """Takes a sample of a port's events, and gives its profile from time to time.

    Args:
        binding: of the port.
        classification: of the product.
    """

    def __init__(self, binding: Binding, classification: str) -> None:
        self._binding = binding
        self._classification = classification
        self._profiler = self._begin()
        self._taken = 0
        self._since = 0
        self._due_ms = 0

    def _begin(self) -> PortProfiler:
        return PortProfiler(self._binding.address, Schema(self._binding.schema_text), self._classification)

    def note(self, events: Sequence[Event]) -> None:
        """Take the newest of some events of a look into the sample, as far as there is room."""
        room = min(_OF_A_LOOK, _OF_A_PROFILE - self._since, len(events))
        for event in events[len(events) - room :] if room > 0 else ():
            self._profiler.add(event)
            self._since += 1
            self._taken += 1

    def profile(self, now_ms: int) -> PortProfile | None:
        """Return the profile of the port; None where it is not due, or nothing came since the last one.

        Args:
            now_ms: the present (Unix time in ms).
        """
        if not self._since or now_ms < self._due_ms:
            return None
        found = self._profiler.profile(datetime.fromtimestamp(now_ms / 1000, UTC))
        self._due_ms, self._since = now_ms + EVERY_MS, 0
        if self._taken >= _MOST:
            self._profiler, self._taken = self._begin(), 0
        return found
