"""The receipt of one event: its outcome, which can be waited for, awaited, or called back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from meshport.errors import DeliveryUnknown, MeshError
from meshport.ports.delivery.wakeups import wakeups_here

__all__ = ["Receipt"]

_REPEAT = "publish it again with the same id: readers ignore an id they have seen"


class Receipt:
    """The outcome of one event that a `Publisher` was given.

    Wait for it in a thread (`receipt.result(5)`), in a task (`await receipt`), or have a function called
    (`receipt.add_done_callback`). The outcome does not change once it is known.

    Attributes:
        id: the event's.
    """

    __slots__ = ("_future", "_pid", "asked", "id")

    def __init__(self, id: str) -> None:
        self.id = id
        self.asked = False
        """Whether the outcome was asked for, so that `Publisher.flush` does not report it as well."""
        self._pid = os.getpid()
        self._future: Future[None] = Future()
        # A future that runs cannot be cancelled: a task that gives up waiting does not change the outcome.
        self._future.set_running_or_notify_cancel()

    def done(self) -> bool:
        """Return whether the outcome is known."""
        return self._future.done()

    def result(self, timeout_s: float | None = None) -> str:
        """Wait until the event is stored.

        Args:
            timeout_s: seconds; by default until the client gives the event up (`message.timeout.ms`, 5 minutes).

        Returns:
            The event's id.

        Raises:
            PublishError, TopicError: the event is refused; it is not in the log.
            DeliveryUnknown: the outcome is unknown, or not known after `timeout_s` seconds; a later call may know it.
        """
        if self._pid != os.getpid():
            raise DeliveryUnknown(f"event {self.id} was published by the process {self._pid}", ids=(self.id,))
        self.asked = True
        try:
            self._future.result(timeout_s)
        except FutureTimeout:
            raise DeliveryUnknown(
                f"event {self.id} was not acknowledged within {timeout_s:g} s", ids=(self.id,), hint=_REPEAT
            ) from None
        return self.id

    def add_done_callback(self, call: Callable[[Receipt], object]) -> None:
        """Call a function with this receipt once the outcome is known; at once if it is known already.

        The function runs in the thread that learned of the outcome; it must not wait there. What it raises is logged.
        """
        self.asked = True
        self._future.add_done_callback(lambda _: call(self))

    def __await__(self) -> Generator[object, None, str]:
        self.asked = True
        if not self._future.done():
            wakeups = wakeups_here()
            waiter: asyncio.Future[None] = wakeups.loop.create_future()
            self._future.add_done_callback(lambda _: wakeups.wake(waiter))
            yield from waiter
        return self.result(0)

    def settle(self, error: MeshError | None) -> None:
        """Set the outcome, unless it is set: None for stored. For the publisher alone."""
        if self._future.done():
            return
        if error is None:
            self._future.set_result(None)
        else:
            self._future.set_exception(error)

    def __repr__(self) -> str:
        if not self.done():
            return f"Receipt({self.id!r}, waiting)"
        error = self._future.exception()
        return f"Receipt({self.id!r}, {'stored' if error is None else repr(error)})"
