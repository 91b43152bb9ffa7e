"""The turns of a subscriber with `on_error`: an event that a task fails on waits in the group's retry topic.

What waits belongs to the event loop. The topics of the group are written by a thread of its own, one step after another. The
thread that reads the port restores what waits of a partition before it hands out the first event of it, so that a later event of
a key never comes before one that waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, Protocol, cast

from meshport.errors import KafkaError, RegistryUnavailable
from meshport.event import UNREADABLE, Event
from meshport.kafka.received import InputMessage
from meshport.ports.failed.retries import Remove, Retries, Step
from meshport.ports.failed.retry_topic import RetryTopic
from meshport.ports.failed.waiting import WaitingEvent
from meshport.ports.in_flight import InFlight, InFlightOffsets
from meshport.ports.seen_events import SeenEvents
from meshport.ports.subscriber import BadEvent
from meshport.ports.turns import Received, Turns

__all__ = ["RetryTurns"]


class InLoop(Protocol):
    """Has a function called in the event loop, from any thread; in the order of the calls."""

    def __call__(self, call: Callable[..., None], *given: object) -> None: ...


class RetryTurns(Turns):
    """Tries events again that tasks failed on.

    Args:
        in_flight: notes which events of the topic are handled.
        retries: decides what becomes of an event; belongs to the event loop.
        open_topic: opens the topics of the group, by the name of the port's topic.
        read: decodes a message; see `EventReader.read`. For the thread that writes, alone.
        seen: leaves repeated events out, if there is one.
        name: of the thread that writes.
        in_loop: calls a function in the event loop.
        changed: called in the event loop when other events may be begun.
    """

    def __init__(
        self,
        in_flight: InFlightOffsets[Event | BadEvent],
        retries: Retries,
        open_topic: Callable[[str], RetryTopic],
        *,
        read: Callable[..., Event],
        seen: SeenEvents | None,
        name: str,
        in_loop: InLoop,
        changed: Callable[[], None],
    ) -> None:
        super().__init__(in_flight)
        self._retries: Final = retries
        self._open_topic = open_topic
        self._read = read
        self._seen = seen
        self._in_loop = in_loop
        self._changed = changed
        self._worker: Final = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._closed = False
        # Of the thread that reads.
        self._of = ""
        self._restored: set[int] = set()
        # Of the thread that writes; there once `follow` has returned.
        self._topics: list[RetryTopic] = []

    # -- from the thread that reads the port -------------------------------------------------------------------------

    def follow(self, topic: str, assigned: Collection[int]) -> None:
        """Restore what waits of partitions that were assigned, before anything of them is handed out.

        Args:
            topic: of the generation that is read.
            assigned: the partitions that this member reads.

        Raises:
            TopicError: the group can keep no events.
            BrokerUnavailable: no broker answers.
        """
        if topic != self._of:
            self._worker.submit(self._open, topic).result()
            self._of = topic
            self._restored.clear()
            self._in_loop(self._retries.waiting.clear)
        if new := set(assigned) - self._restored:
            events = self._worker.submit(self._restore, new).result()
            self._restored |= new
            self._in_loop(self._take_in, new, events)
        if found := self._worker.submit(self._find_redriven).result():
            self._in_loop(self._take_up, found)

    def lost(self, partition: int) -> None:
        """Forget a partition that another member reads."""
        self._restored.discard(partition)
        self._in_loop(self._retries.waiting.forget, partition)

    # -- in the thread that writes -----------------------------------------------------------------------------------

    def _open(self, topic: str) -> None:
        self._close_topic()
        self._topics.append(self._open_topic(topic))

    def _restore(self, partitions: Collection[int]) -> list[WaitingEvent]:
        events = self._topics[0].restored(partitions)
        if self._seen is not None:
            for each in events:
                with suppress(*UNREADABLE):  # it is quarantined when it is due
                    self._seen.first(self._read(*each.message.parts))
        return events

    def _find_redriven(self) -> list[WaitingEvent]:
        return self._topics[0].redriven(self._restored)

    def _write(self, step: Step) -> None:
        self._topics[0].write(step)

    def _close_topic(self) -> None:
        while self._topics:
            self._topics.pop().close()

    def close(self) -> None:
        """Write what was begun, and close the connections; waits for that."""
        self._closed = True
        self._worker.submit(self._close_topic)
        self._worker.shutdown()

    # -- in the event loop -------------------------------------------------------------------------------------------

    def _take_in(self, partitions: Collection[int], events: Collection[WaitingEvent]) -> None:
        self._retries.waiting.restore(partitions, events)
        self._changed()

    def _take_up(self, events: Collection[WaitingEvent]) -> None:
        self._retries.redriven(events)
        self._changed()

    @property
    def full(self) -> bool:
        """Whether so many events wait that no new one is to be begun."""
        return self._retries.full

    @property
    def waiting(self) -> int:
        """How many events failed and wait, with those that wait for them."""
        return len(self._retries.waiting)

    def pause_s(self) -> float | None:
        """Return the seconds until an event that failed is due; None where none waits."""
        return self._retries.pause_s()

    async def due(self) -> Received | None:
        """Return an event that is to be handled again now; None where none is."""
        while (event := self._retries.due()) is not None:
            self._retries.waiting.take()
            try:
                item = await self._in_worker(self._read, *event.message.parts)
            except UNREADABLE as error:
                await self._settle(self._turn(event, None), self._retries.unreadable(event, error))
            except RegistryUnavailable:
                self._retries.waiting.give_back(event)
                if self._closed:
                    return None
                raise
            except BaseException:
                self._retries.waiting.give_back(event)
                raise
            else:
                return self._turn(event, item)
        return None

    @staticmethod
    def _turn(event: WaitingEvent, item: Any) -> Received:
        return InFlight(item, event.partition, event.message.offset, event.message, event)

    async def begin(self, each: Received) -> bool:
        """Return whether an event may be handled now: a new one waits where an earlier one of its key does."""
        if each.waiting is not None:
            if not self._retries.waiting.is_first(each.waiting):
                return False  # another member reads its partition
            self._retries.again(each.waiting)
            return True
        if not self._in_flight.begin(each):
            return False
        message = _message(each)
        if self._retries.waits(message):
            self._in_flight.done(each)
            return False
        step = self._retries.held_back(message)
        if step is None:
            return True
        await self._settle(each, step)
        return False

    async def done(self, each: Received) -> None:
        """Note that an event is handled; one that waited is removed from the retry topic."""
        if each.waiting is None:
            self._in_flight.done(each)
        else:
            await self._settle(each, Remove(each.waiting))

    async def failed(self, each: Received, error: Exception) -> None:
        """Keep an event to be tried again, or quarantine it after its last try."""
        await self._settle(each, self._retries.failed(each.waiting or _message(each), error))

    async def unreadable(self, each: Received, bad: BadEvent) -> None:
        """Quarantine a message that cannot be read."""
        await self._settle(each, self._retries.unreadable(_message(each), bad.error))

    def give_back(self, each: Received) -> bool:
        """Note that an event that was begun is not handled; return whether it is in the topic's order."""
        if each.waiting is None:
            return super().give_back(each)
        self._retries.waiting.give_back(each.waiting)
        return False

    async def _settle(self, each: Received, step: Step) -> None:
        """Write a step and note it, to its end: a task that is cancelled does not leave it between the two."""
        await asyncio.shield(self._carry_out(each, step))

    async def _carry_out(self, each: Received, step: Step) -> None:
        if each.lost:
            return  # another member reads its partition, from this event on
        await self._in_worker(self._write, step)
        self._retries.note(step)
        if each.waiting is None:
            self._in_flight.done(each)
        self._changed()

    async def _in_worker(self, call: Callable[..., Any], *given: object) -> Any:
        if self._closed:
            raise KafkaError("the subscriber is closed, so that nothing becomes of an event that failed")
        return await asyncio.get_running_loop().run_in_executor(self._worker, call, *given)


def _message(each: Received) -> InputMessage:
    # The thread that reads keeps the message of each event, for a subscriber with `on_error`.
    return cast(InputMessage, each.message)
