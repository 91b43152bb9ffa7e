"""Handling events in tasks, many at a time, those of one key one after another."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from itertools import chain
from types import TracebackType
from typing import Final, Self, cast

from meshport.event import Event
from meshport.ports.in_flight import InFlight
from meshport.ports.turns import Received, Turns

__all__ = ["KeyLanes"]

_log: Final = logging.getLogger(__name__)


class KeyLanes:
    """A lane is the events of one key that are not handled. One task handles a lane, from its first event to its last.

    At the end of `async with` the events that are being handled are waited for. Where the task that leaves it is cancelled, their
    tasks are cancelled first.

    Args:
        handle: handles one event.
        turns: what becomes of an event.
        concurrency: how many lanes have a task at most.
        stopped: whether no further event is to be begun.
        changed: called when a lane is done or `handle` has failed.

    Attributes:
        error: what `handle` raised first; raised at the end of `async with`.
    """

    def __init__(
        self,
        handle: Callable[[Event], Awaitable[object]],
        turns: Turns,
        *,
        concurrency: int,
        stopped: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        self._handle = handle
        self._turns = turns
        self._free = asyncio.Semaphore(concurrency)
        self._stopped = stopped
        self._changed = changed
        self._lanes: dict[Hashable, deque[InFlight[Event]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.error: BaseException | None = None

    @property
    def failed(self) -> bool:
        """Whether `handle` has raised an error, so that no further event is begun."""
        return self.error is not None

    @property
    def left(self) -> list[InFlight[Event]]:
        """The events that were added and are not handled."""
        return [each for each in chain.from_iterable(self._lanes.values()) if not each.done]

    async def add(self, each: InFlight[Event]) -> None:
        """Handle an event after those of its key; wait while as many lanes as there may be have a task."""
        # Events without a key have no order: each has a lane of its own.
        key: Hashable = each if each.item.key is None else each.item.key
        if key in self._lanes:
            self._lanes[key].append(each)
            return
        self._lanes[key] = deque([each])
        await self._free.acquire()
        task = asyncio.create_task(self._work(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, key: Hashable) -> None:
        lane = self._lanes[key]
        try:
            while lane and not self.failed and not self._stopped():
                each = lane[0]
                await self._turn(each)
                lane.popleft()
            if not lane:
                del self._lanes[key]
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised at the end of `async with`
            self._note(error, lane[0])
        finally:
            self._free.release()
            self._changed()

    async def _turn(self, each: InFlight[Event]) -> None:
        turn = cast(Received, each)
        if not await self._turns.begin(turn):
            return
        try:
            with each.item.traced(f"handle {each.item.source}"):
                await self._handle(each.item)
        except Exception as error:  # noqa: BLE001 - what is done with it is the turns' to say
            await self._turns.failed(turn, error)
        else:
            await self._turns.done(turn)

    def _note(self, error: BaseException, each: InFlight[Event]) -> None:
        self._turns.give_back(cast(Received, each))
        at = f"{each.item.topic}[{each.partition}]@{each.offset}"
        if self.error is None:
            error.add_note(f"while handling the event at {at}")
            self.error = error
        elif not isinstance(error, asyncio.CancelledError):
            _log.warning("%s: not handled either: %s: %s", at, type(error).__name__, error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError):
            self._cancel()
        try:
            await self._ended()
        except asyncio.CancelledError:
            self._cancel()
            await self._ended()
            raise
        if error is None and self.error is not None:
            raise self.error

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _ended(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)
