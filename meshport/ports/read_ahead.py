"""Reading a port in a thread, ahead of the tasks that handle its events.

librdkafka's consumer is for one thread, and its calls wait. confluent_kafka's own consumer for asyncio sends each call to a pool
of threads (2.16, `AIOConsumer`), which keeps no member in its group while a task handles an event. This thread does: it polls
whatever the tasks do, commits what they have handled, and waits for them when a partition is revoked.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import Any, Final

from meshport.errors import RegistryUnavailable
from meshport.event import UNREADABLE, Event
from meshport.kafka.received import InputMessage, event_parts
from meshport.ports.in_flight import InFlightOffsets
from meshport.ports.retry_turns import RetryTurns
from meshport.ports.seen_events import SeenEvents
from meshport.ports.subscriber import BadEvent
from meshport.ports.subscription import Subscription
from meshport.ports.turns import Received

__all__ = ["ReadAhead", "TaskSubscription"]

# Messages of one poll, and seconds of one wait.
_BATCH: Final = 500
_WAIT_S: Final = 0.5
# A partition that is revoked waits so long for the events of it that are being handled; the group waits with it.
_DRAIN_S: Final = 30.0


class TaskSubscription(Subscription):
    """A subscription whose events are handled by tasks: the offsets are those that they have handled.

    Args:
        in_flight: the events that are handed out.
        closing: set once nothing handles events any more.
        options: as for `Subscription`.
    """

    def __init__(
        self, *args: Any, in_flight: InFlightOffsets[Event | BadEvent], closing: threading.Event, **options: Any
    ) -> None:
        self._in_flight = in_flight
        self._closing = closing
        super().__init__(*args, **options)

    def commit(self) -> None:
        """Commit the offsets before which everything is handled; see `Subscription.commit`."""
        self.next_offsets.update(self._in_flight.handled())
        super().commit()

    def _follow(self) -> None:
        read = self.topic
        super()._follow()
        if self.topic != read:
            self._in_flight.clear()

    def _pass_over(self, partition: int, end: int) -> None:
        self._in_flight.passed_over(partition, end - 1)
        self.next_offsets.update(self._in_flight.handled())

    def _drop(self, partitions: Collection[int]) -> None:
        super()._drop(partitions)
        for partition in partitions:
            self._in_flight.lose(partition)

    def _on_revoke(self, partitions: Sequence[int]) -> None:
        self._in_flight.drain(partitions, 0.0 if self._closing.is_set() else min(_DRAIN_S, self._poll_every_s))
        super()._on_revoke(partitions)


class ReadAhead:
    """The thread that reads a port.

    Args:
        subscription: of the port; this thread alone uses and closes it.
        in_flight: its events that are not handled.
        read: decodes a message; see `EventReader.read`.
        seen: leaves repeated events out, if there is one.
        retries: restores the events that wait, if failed events are tried again.
        limit: how many events are in flight at most.
        arrived: called in this thread with what was received.
        ended: called in this thread at its end, with the error that ended it, if one did.
        name: of the thread.
    """

    def __init__(
        self,
        subscription: TaskSubscription,
        in_flight: InFlightOffsets[Event | BadEvent],
        read: Callable[..., Event],
        seen: SeenEvents | None,
        *,
        retries: RetryTurns | None,
        closing: threading.Event,
        limit: int,
        arrived: Callable[[list[Received]], None],
        ended: Callable[[BaseException | None], None],
        name: str,
    ) -> None:
        self._subscription = subscription
        self._in_flight = in_flight
        self._read = read
        self._seen = seen
        self._retries = retries
        self._closing = closing
        self._limit = limit
        self._arrived = arrived
        self._ended = ended
        self._calls: Final[deque[tuple[Callable[[], None], Future[None]]]] = deque()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def call(self, function: Callable[[], None]) -> Future[None]:
        """Call a function of the subscription in this thread, within half a second while nothing arrives."""
        future: Future[None] = Future()
        self._calls.append((function, future))
        self._in_flight.wake()
        if not self._thread.is_alive():
            self._answer_calls()
        return future

    def _answer_calls(self) -> None:
        while self._calls:
            function, future = self._calls.popleft()
            try:
                function()
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                future.set_exception(error)
            else:
                future.set_result(None)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._read_on()
        except BaseException as found:  # noqa: BLE001 - the tasks raise it
            error = found
        try:
            self._subscription.close()
        except BaseException as found:  # noqa: BLE001 - as above
            error = error or found
        self._ended(error)
        self._answer_calls()

    def _read_on(self) -> None:
        subscription, in_flight = self._subscription, self._in_flight
        while not self._closing.is_set():
            self._answer_calls()
            if in_flight.count < self._limit:
                subscription.poll(min(_BATCH, self._limit - in_flight.count), _WAIT_S)
            else:
                subscription.tend()
                in_flight.wait_for_room(self._limit, _WAIT_S)
            if self._retries is not None:
                self._retries.follow(subscription.topic, subscription.assigned)
            if subscription.buffer:
                self._hand_over()

    def _hand_over(self) -> None:
        subscription, in_flight, seen = self._subscription, self._in_flight, self._seen
        buffer, topic = subscription.buffer, subscription.topic
        received: list[Received] = []
        try:
            while buffer:
                message = buffer[0]
                parts = event_parts(topic, message)
                partition, offset = parts[4], parts[5]
                item: Event | BadEvent
                try:
                    item = self._read(*parts)
                except UNREADABLE as error:
                    item = BadEvent(message, error)
                    subscription.measures.unreadable()
                if seen is None or isinstance(item, BadEvent) or seen.first(item):
                    kept = None if self._retries is None else InputMessage.of(parts)
                    received.append(in_flight.received(item, partition, offset, kept))
                else:
                    in_flight.passed_over(partition, offset)
                buffer.popleft()
        except RegistryUnavailable:
            if not self._closing.is_set():
                raise
        finally:
            self._arrived(received)
