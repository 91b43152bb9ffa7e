"""What a group does with the events that it fails on, decided without I/O; readers in threads and in event loops carry it out.

A decision is a step. It is written to the group's topics first (`RetryTopic.write`) and noted afterwards (`Retries.note`), so
that an event is stored before the group's offset advances past it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from meshport.kafka.received import InputMessage
from meshport.ports.failed.kept import reason_of
from meshport.ports.failed.waiting import Retry, WaitingEvent, WaitingEvents
from meshport.ports.measures import SubscriberMeasures

__all__ = ["Keep", "Quarantine", "Remove", "Retries", "Step"]

_log: Final = logging.getLogger(__name__)

# While so many wait, no further event of the topic is handled: where all fail, it is most likely not for their sake.
_MOST_WAITING: Final = 1000


@dataclass(frozen=True, slots=True)
class Keep:
    """An event is stored, to be handled again or after an earlier one of its key.

    Attributes:
        event: with the number of its tries, and when it is due.
        error: of its last try; None of an event that waits for an earlier one.
    """

    event: WaitingEvent
    error: Exception | None


@dataclass(frozen=True, slots=True)
class Quarantine:
    """An event is quarantined.

    Attributes:
        event: with the number of its tries.
        error: of its last try.
        waits: whether it has a row in the retry topic, which is removed.
    """

    event: WaitingEvent
    error: Exception
    waits: bool


@dataclass(frozen=True, slots=True)
class Remove:
    """An event that waited is handled.

    Attributes:
        event: that waited.
    """

    event: WaitingEvent


Step = Keep | Quarantine | Remove


class Retries:
    """The events of a group that wait, and what is done with those that are handled or fail.

    Args:
        retry: what the group asks for.
        group: the consumer group.
        measures: counts what is tried again and what is quarantined.
        waiting: the events that wait.
        clock: the Unix time in seconds.

    Attributes:
        waiting: as given.
    """

    def __init__(
        self,
        retry: Retry,
        group: str,
        measures: SubscriberMeasures,
        waiting: WaitingEvents,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._retry = retry
        self._group = group
        self._measures = measures
        self._clock = clock
        self.waiting: Final = waiting

    # -- which event comes next --------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether so many events wait that no new one is handled."""
        return len(self.waiting) >= _MOST_WAITING

    def due(self) -> WaitingEvent | None:
        """Return the event that is to be handled again now; None where none is."""
        first = self.waiting.first()
        return first if first is not None and first.due <= self._clock() else None

    def pause_s(self) -> float | None:
        """Return the seconds until an event is due; None where none waits."""
        first = self.waiting.first()
        return None if first is None else max(0.0, first.due - self._clock())

    def again(self, event: WaitingEvent) -> None:
        """Note that an event is handled that waited."""
        if event.tries:
            self._measures.retried()

    def redriven(self, events: Iterable[WaitingEvent]) -> None:
        """Take up events that were redriven; one that waits already is left as it is."""
        for event in events:
            if event.partition in self.waiting.partitions and not self.waiting.has(event.position):
                self.waiting.add(event)

    # -- what becomes of an event ------------------------------------------------------------------------------------

    def waits(self, message: InputMessage) -> bool:
        """Return whether a new message is not handled since it waits already, as a restart found."""
        return self.waiting.has(message[:3])

    def held_back(self, message: InputMessage) -> Keep | None:
        """Return the step for a new message that has to wait for an earlier one of its key; None of another."""
        if not self.waiting.holds_back(message.partition, message.key):
            return None
        return Keep(_new(message), None)

    def failed(self, event: WaitingEvent | InputMessage, error: Exception) -> Keep | Quarantine:
        """Return the step for an event whose handling failed, one that waited or a new one."""
        event = _new(event) if isinstance(event, InputMessage) else event
        tries = event.tries + 1
        if tries >= self._retry.tries:
            return self._quarantine(event, error, tries)
        due = self._clock() + self._retry.pause_s(tries)
        return Keep(WaitingEvent(event.message, event.partition, tries, due, event.redriven), error)

    def unreadable(self, event: WaitingEvent | InputMessage, error: Exception) -> Quarantine:
        """Return the step for a message that cannot be read: a further try would not read it either."""
        event = _new(event) if isinstance(event, InputMessage) else event
        return self._quarantine(event, error, event.tries)

    def _quarantine(self, event: WaitingEvent, error: Exception, tries: int) -> Quarantine:
        tried = WaitingEvent(event.message, event.partition, tries, event.due, event.redriven)
        return Quarantine(tried, error, self.waiting.has(event.position))

    # -- what was written --------------------------------------------------------------------------------------------

    def note(self, step: Step) -> None:
        """Note a step that is written. One of a partition that another member reads by now changes nothing."""
        event = step.event
        if isinstance(step, Keep):
            if self.waiting.has(event.position):
                self.waiting.put_off(event, event.due)
            elif event.partition in self.waiting.partitions:
                self.waiting.add(event)
            if step.error is not None:
                self._log_failure(event, step.error)
            return
        self.waiting.remove(event)
        if isinstance(step, Quarantine):
            self._measures.quarantined()
            self._log_quarantined(event, step.error)

    def _log_failure(self, event: WaitingEvent, error: Exception) -> None:
        topic, partition, offset = event.position
        _log.warning(
            "%s [%d] offset %d: try %d of %d by group %s failed, the next is in %g s: %s",
            topic,
            partition,
            offset,
            event.tries,
            self._retry.tries,
            self._group,
            self._retry.pause_s(event.tries),
            reason_of(error),
        )

    def _log_quarantined(self, event: WaitingEvent, error: Exception) -> None:
        topic, partition, offset = event.position
        _log.error(
            "%s [%d] offset %d is quarantined after %d tries by group %s: %s",
            topic,
            partition,
            offset,
            event.tries,
            self._group,
            reason_of(error),
        )


def _new(message: InputMessage) -> WaitingEvent:
    return WaitingEvent(message, message.partition, 0, 0.0)
