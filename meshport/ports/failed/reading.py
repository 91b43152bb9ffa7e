"""Reading a port whose events may fail: the events of the topic, and between them those that wait, once they are due."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from meshport.errors import MeshError, RegistryUnavailable
from meshport.event import UNREADABLE, Event
from meshport.kafka.config import KafkaConfig
from meshport.kafka.received import InputMessage, ReceivedMessage, event_parts
from meshport.ports.failed.kept import reason_of
from meshport.ports.failed.retry_topic import RetryTopic
from meshport.ports.failed.waiting import Retry, WaitingEvent, WaitingEvents
from meshport.ports.seen_events import SeenEvents
from meshport.ports.subscription import Subscription

__all__ = ["RetryingReader"]

_log: Final = logging.getLogger(__name__)

_BATCH: Final = 2000
_WAIT_S: Final = 0.5
# While so many wait, no further event of the topic is handled: where all fail, it is most likely not for their sake.
_MOST_WAITING: Final = 1000


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
        self._retry = retry
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
        if len(self.waiting) >= _MOST_WAITING:
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
        return self._topic

    def _new_events(self, topic: RetryTopic) -> Iterator[Event]:
        subscription = self._subscription
        buffer = subscription.buffer
        while buffer and len(self.waiting) < _MOST_WAITING and not self._stopped.is_set():
            received = buffer[0]
            if received.partition() not in self.waiting.partitions:
                return  # it was assigned a moment ago, and what waits of it has to be restored first
            key, value, headers, name, partition, offset, timestamp_ms = event_parts(subscription.topic, received)
            message = InputMessage(
                name, partition, offset, key, value, () if headers is None else headers, timestamp_ms
            )
            if not self._has_to_wait(topic, message):
                event = self._read_new(topic, message, received)
                if event is not None:
                    self._errors.clear()
                    yield event
                    for error in self._errors:
                        self._keep(topic, WaitingEvent(message, partition, 0, 0.0), error)
            buffer.popleft()
            subscription.next_offsets[partition] = offset + 1
            if self._due() is not None or time.monotonic() >= subscription.commit_due:
                return

    def _waiting_events(self, topic: RetryTopic) -> Iterator[Event]:
        subscription = self._subscription
        while not self._stopped.is_set() and (waiting := self._due()) is not None:
            try:
                event = self._read(*waiting.message.parts)
            except UNREADABLE as error:
                self._quarantine(topic, waiting, error)
            else:
                self._errors.clear()
                if self._seen is None or self._seen.first(event):
                    if waiting.tries:
                        subscription.measures.retried()
                    yield event
                if self._errors:
                    self._keep(topic, waiting, self._errors[0])
                else:
                    topic.remove(waiting.message)
                    self.waiting.remove(waiting)
            if time.monotonic() >= subscription.commit_due:
                subscription.tend()

    # -- one event ---------------------------------------------------------------------------------------------------

    def _due(self) -> WaitingEvent | None:
        first = self.waiting.first()
        return first if first is not None and first.due <= time.time() else None

    def _pause_s(self) -> float:
        first = self.waiting.first()
        return _WAIT_S if first is None else min(_WAIT_S, max(0.0, first.due - time.time()))

    def _has_to_wait(self, topic: RetryTopic, message: InputMessage) -> bool:
        """Return whether an event is not handled now: it waits already, as a restart found, or an earlier one of its key does."""
        if self.waiting.has(message[:3]):
            return True
        if not self.waiting.holds_back(message.partition, message.key):
            return False
        event = WaitingEvent(message, message.partition, 0, 0.0)
        topic.store(event, None)
        self.waiting.add(event)
        return True

    def _read_new(self, topic: RetryTopic, message: InputMessage, received: ReceivedMessage) -> Event | None:
        """Return the event of a message; None of one that cannot be read, or was seen before."""
        try:
            event = self._read(*message.parts)
        except UNREADABLE as error:
            if self._on_bad is None:
                self._quarantine(topic, WaitingEvent(message, message.partition, 0, 0.0), error)
            else:
                self._on_bad(received, error)
            return None
        return event if self._seen is None or self._seen.first(event) else None

    def _keep(self, topic: RetryTopic, event: WaitingEvent, error: Exception) -> None:
        """Keep an event whose handling failed, or quarantine it after its last try."""
        message, tries = event.message, event.tries + 1
        if tries >= self._retry.tries:
            event.tries = tries
            self._quarantine(topic, event, error)
            return
        pause_s = self._retry.pause_s(tries)
        due = time.time() + pause_s
        topic.store(WaitingEvent(message, event.partition, tries, due), error)
        if self.waiting.has(event.position):
            self.waiting.put_off(event, due)
        else:
            self.waiting.add(WaitingEvent(message, event.partition, tries, due))
        _log.warning(
            "%s [%d] offset %d: try %d of %d by group %s failed, the next is in %g s: %s",
            message.topic,
            message.partition,
            message.offset,
            tries,
            self._retry.tries,
            self._group,
            pause_s,
            reason_of(error),
        )

    def _quarantine(self, topic: RetryTopic, event: WaitingEvent, error: Exception) -> None:
        message = event.message
        topic.put_aside(message, error, event.tries)
        self._subscription.measures.quarantined()
        if self.waiting.has(event.position):
            topic.remove(message)
            self.waiting.remove(event)
        _log.error(
            "%s [%d] offset %d is quarantined in %s after %d tries by group %s: %s",
            message.topic,
            message.partition,
            message.offset,
            topic.quarantine,
            event.tries,
            self._group,
            reason_of(error),
        )
