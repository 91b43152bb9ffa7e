"""What becomes of the events that the tasks of an event loop handle: each turn is one event, handled or not."""

from __future__ import annotations

from typing import Final

from meshport.event import Event
from meshport.ports.in_flight import InFlight, InFlightOffsets
from meshport.ports.subscriber import BadEvent

__all__ = ["Received", "Turns"]

Received = InFlight[Event | BadEvent]
"""An event, or a message that cannot be read, and whether it is handled."""


class Turns:
    """The turns of a subscriber without `on_error`: an event that a task fails on ends the reading.

    Args:
        in_flight: notes what is handled.
    """

    def __init__(self, in_flight: InFlightOffsets[Event | BadEvent]) -> None:
        self._in_flight: Final = in_flight

    @property
    def full(self) -> bool:
        """Whether no new event is to be begun."""
        return False

    @property
    def waiting(self) -> int:
        """How many events failed and wait, with those that wait for them."""
        return 0

    def pause_s(self) -> float | None:
        """Return the seconds until an event that failed is due; None where none waits."""
        return None

    async def due(self) -> Received | None:
        """Return an event that is to be handled again now; None where none is."""
        return None

    async def begin(self, each: Received) -> bool:
        """Return whether an event may be handled now."""
        return self._in_flight.begin(each)

    async def done(self, each: Received) -> None:
        """Note that an event is handled."""
        self._in_flight.done(each)

    async def failed(self, each: Received, error: Exception) -> None:  # noqa: ARG002 - of the one that has retries
        """Note that an event could not be handled, or raise the error."""
        raise error

    async def unreadable(self, each: Received, bad: BadEvent) -> None:  # noqa: ARG002 - as above
        """Note that a message cannot be read and there is no `on_bad`, or raise the error."""
        raise bad.error

    def give_back(self, each: Received) -> bool:
        """Note that an event that was begun is not handled; return whether it is in the topic's order."""
        self._in_flight.give_back(each)
        return True

    def close(self) -> None:
        """Close what the turns need."""
