"""Reading a port whose events may fail: the events of the topic, and between them those that wait, once they are due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from meshport.errors import MeshError, RegistryUnavailable
from meshport.event import UNREADABLE, Event
from meshport.kafka.config import KafkaConfig
from meshport.kafka.received import InputMessage, ReceivedMessage, event_parts
from meshport.ports.failed.retries import Remove, Retries, Step
from meshport.ports.failed.retry_topic import RetryTopic
from meshport.ports.failed.waiting import Retry, WaitingEvents
from meshport.ports.seen_events import SeenEvents
from meshport.ports.subscription import Subscription

__all__ = ["RetryingReader"]

_BATCH: Final = 2000
_WAIT_S: Final = 0.5


class RetryingReader:
    """Gives the events of a subscription, and those again whose handling failed.

    Args:
        subscription: receives the messages.
        waiting: the events that wait; it forgets those of partitions that another member reads.
        retry: what is done with an event that failed.
        kafka: the connection to the cluster.
        group: the consumer group.
        read: decodes a message; see `EventReader.read`.
        seen: leaves repeated events out, if there is one.
        on_bad: called with a message that cannot be read; without it the message is quarantined.
        stopped: ends the iteration.

    Attributes:
        waiting: as given.
    """

    def __init__(
        self,
        subscription: Subscription,
        waiting: WaitingEvents,
        retry: Retry,
        kafka: KafkaConfig,
        group: str,
        *,
        read: Callable[..., Event],
        seen: SeenEvents | None,
        on_bad: Callable[[ReceivedMessage, MeshError], None] | None,
        stopped: threading.Event,
    ) -> None:
        self._subscription = subscription
        self._retries = Retries(retry, group, subscription.measures, waiting)
        self._kafka = kafka
        self._group = group
        self._read = read
        self._seen = seen
        self._on_bad = on_bad
        self._stopped = stopped
        self._topic: RetryTopic | None = None
        self._of = ""
        self._errors: list[Exception] = []
        self.waiting = waiting

    # -- what the subscriber calls -----------------------------------------------------------------------------------

    def failed(self, error: Exception) -> None:
        """Note that the event that was given last could not be handled."""
        self._errors[:] = [error]

    def close(self) -> None:
        """Close the connections."""
        if self._topic is not None:
            self._topic.close()
            self._topic = None

    # -- reading -----------------------------------------------------------------------------------------------------

    def events(self) -> Iterator[Event]:
        """Yield events one by one until `stopped`. One of which `failed` was called before the next is asked for waits."""
        try:
            while not self._stopped.is_set():
                topic = self._receive()
                yield from self._waiting_events(topic)
                yield from self._new_events(topic)
        except RegistryUnavailable:
            if not self._stopped.is_set():
                raise

    def _receive(self) -> RetryTopic:
        """Receive messages, unless too many events wait, and restore the waiting events of partitions that were assigned."""
        subscription = self._subscription
        if self._retries.full:
            subscription.tend()
            subscription.stay()
            time.sleep(self._pause_s())
        elif subscription.buffer:
            subscription.tend()
        else:
            subscription.poll(_BATCH, self._pause_s())
        if self._topic is None or subscription.topic != self._of:
            self.close()
            self.waiting.clear()
            self._of = subscription.topic
            self._topic = RetryTopic(self._kafka, self._group, subscription.binding.address, self._of)
        if assigned := subscription.assigned - self.waiting.partitions:
            self.waiting.restore(assigned, self._topic.restored(assigned))
        self._retries.redriven(self._topic.redriven(self.waiting.partitions))
        return self._topic

    def _new_events(self, topic: RetryTopic) -> Iterator[Event]:
        subscription = self._subscription
        buffer = subscription.buffer
        while buffer and not self._retries.full and not self._stopped.is_set():
            received = buffer[0]
            if received.partition() not in self.waiting.partitions:
                return  # it was assigned a moment ago, and what waits of it has to be restored first
            message = InputMessage.of(event_parts(subscription.topic, received))
            if not self._has_to_wait(topic, message):
                event = self._read_new(topic, message, received)
                if event is not None:
                    self._errors.clear()
                    yield event
                    for error in self._errors:
                        self._carry_out(topic, self._retries.failed(message, error))
            buffer.popleft()
            subscription.next_offsets[message.partition] = message.offset + 1
            if self._retries.due() is not None or time.monotonic() >= subscription.commit_due:
                return

    def _waiting_events(self, topic: RetryTopic) -> Iterator[Event]:
        subscription, retries = self._subscription, self._retries
        while not self._stopped.is_set() and (waiting := retries.due()) is not None:
            try:
                event = self._read(*waiting.message.parts)
            except UNREADABLE as error:
                self._carry_out(topic, retries.unreadable(waiting, error))
            else:
                self._errors.clear()
                if self._seen is None or self._seen.first(event):
                    retries.again(waiting)
                    yield event
                if self._errors:
                    self._carry_out(topic, retries.failed(waiting, self._errors[0]))
                else:
                    self._carry_out(topic, Remove(waiting))
            if time.monotonic() >= subscription.commit_due:
                subscription.tend()

    # -- one event ---------------------------------------------------------------------------------------------------

    def _carry_out(self, topic: RetryTopic, step: Step) -> None:
        topic.write(step)
        self._retries.note(step)

    def _pause_s(self) -> float:
        pause_s = self._retries.pause_s()
        return _WAIT_S if pause_s is None else min(_WAIT_S, pause_s)

    def _has_to_wait(self, topic: RetryTopic, message: InputMessage) -> bool:
        """Return whether an event is not handled now: it waits already, as a restart found, or an earlier one of its key does."""
        if self._retries.waits(message):
            return True
        step = self._retries.held_back(message)
        if step is None:
            return False
        self._carry_out(topic, step)
        return True

    def _read_new(self, topic: RetryTopic, message: InputMessage, received: ReceivedMessage) -> Event | None:
        """Return the event of a message; None of one that cannot be read, or was seen before."""
        try:
            event = self._read(*message.parts)
        except UNREADABLE as error:
            if self._on_bad is None:
                self._carry_out(topic, self._retries.unreadable(message, error))
            else:
                self._on_bad(received, error)
            return None
        return event if self._seen is None or self._seen.first(event) else None
