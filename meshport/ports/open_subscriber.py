"""What is open of an asynchronous subscriber: what its thread has read, and what becomes of it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import cast

from meshport.event import Event
from meshport.ports.in_flight import InFlight, InFlightOffsets
from meshport.ports.read_ahead import ReadAhead, TaskSubscription
from meshport.ports.subscriber import BadEvent
from meshport.ports.turns import Received, Turns

__all__ = ["OpenSubscriber"]


class OpenSubscriber:
    """What a thread has read for an open subscriber, and its end. Attributes belong to the event loop.

    Attributes:
        queue: what arrived and is not begun, or was given back.
        in_flight: what is not handled.
        turns: what becomes of the events.
        end: done once the thread has ended, with the error that ended it.
        raised: whether reading has raised that error.
        stopped: whether nothing further is to be begun.
        closing: set to end the thread.
        subscription: of the port.
        thread: the thread, which alone uses the subscription.
    """

    subscription: TaskSubscription
    thread: ReadAhead

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.queue: deque[Received] = deque()
        self.in_flight: InFlightOffsets[Event | BadEvent] = InFlightOffsets()
        self.turns = Turns(self.in_flight)
        self.end: asyncio.Future[None] = loop.create_future()
        self.raised = self.stopped = False
        self.closing = threading.Event()
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    async def next(self, until: Callable[[], bool]) -> Received | None:
        """Return the next event, or the message that cannot be read, once there is one.

        Returns:
            None where `until` holds or the subscriber is stopped.

        Raises:
            Exception: what ended reading.
        """
        turns, queue = self.turns, self.queue
        while not (self.stopped or until()):
            if (again := await turns.due()) is not None:
                return again
            if self.stopped or until():
                break
            if queue and not turns.full:
                each = queue.popleft()
                if not each.lost:
                    return each
            elif self.end.done():
                self.raised = True
                self.end.result()
                break
            else:
                await self._change(turns.pause_s())
        return None

    async def _change(self, timeout_s: float | None) -> None:
        """Wait for an arrival, for the end, for `wake`, or for some seconds."""
        self._waiter = self._loop.create_future()
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, self.wake)
        try:
            await self._waiter
        finally:
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        """End the wait for a change."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def give_back(self, received: Iterable[InFlight[Event]] | Iterable[Received]) -> None:
        """Put what is not handled back before what arrived, in the order in which it was read."""
        left = [each for each in map(_received, received) if self.turns.give_back(each)]
        left.sort(key=lambda each: (each.partition, each.offset))
        self.queue.extendleft(reversed(left))

    # -- from any thread -------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Let nothing further begin."""
        self.stopped = True
        self.in_loop(self.wake)

    def arrived(self, received: list[Received]) -> None:
        """Take in what the thread has read."""
        self.in_loop(self._take_in, received)

    def ended(self, error: BaseException | None) -> None:
        """Note the end of the thread."""
        self.in_loop(self._end_with, error)

    def _take_in(self, received: list[Received]) -> None:
        self.queue.extend(received)
        self.wake()

    def _end_with(self, error: BaseException | None) -> None:
        if error is None:
            self.end.set_result(None)
        else:
            self.end.set_exception(error)
            self.end.exception()  # marks it as seen: reading raises it, or `close`
        self.wake()

    def in_loop(self, call: Callable[..., None], *given: object) -> None:
        """Call a function in the event loop, after those that were given before."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(call, *given)


def _received(each: InFlight[Event] | Received) -> Received:
    return cast(Received, each)
