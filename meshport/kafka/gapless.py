"""Sends messages in order and without gaps: once one is refused, none after it of its partition is stored.

The idempotent producer alone does not give this: after a refused batch, librdkafka sends the ones that follow. So the producer
here differs by three properties:

- `enable.gapless.guarantee`: a refused batch makes the producer fail for good, with all that is still in its queue.
- `max.in.flight.requests.per.connection=1`: the broker takes a first batch of a new producer whatever its sequence numbers
  are (`ProducerAppendInfo.checkSequence`), so nothing may be in flight after one that it refuses.
- `message.timeout.ms=0`: a message that times out would let later ones overtake it (librdkafka INTRODUCTION.md, "Message
  persistence status"); the caller waits instead, for as long as no broker answers.

A broker judges a batch as a whole. Whether a message was refused for its own sake shows when it is sent alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import Message as ClientMessage

from meshport.errors import MeshError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import delivery_error
from meshport.kafka.producer import Message, Producer, Refusal, refusal

__all__ = ["Attempt", "GaplessProducer"]

_log: Final = logging.getLogger(__name__)

_SETTINGS: Final = {
    "enable.gapless.guarantee": True,
    "max.in.flight.requests.per.connection": 1,
    "message.timeout.ms": 0,
    # A topic that is missing is reported so soon. It is one that exists, since its product is registered.
    "topic.metadata.propagation.max.ms": 5_000,
}
_SLICE_S: Final = 0.2
_DRAIN_SLICES: Final = 25
# Refusals of a topic, whatever its messages are.
_OF_TOPIC: Final = frozenset(
    {
        ClientError.TOPIC_AUTHORIZATION_FAILED,
        ClientError.UNKNOWN_TOPIC_OR_PART,
        ClientError.TOPIC_EXCEPTION,
        ClientError._UNKNOWN_TOPIC,  # noqa: SLF001 - librdkafka's local codes are public under this spelling only
        ClientError._UNKNOWN_PARTITION,  # noqa: SLF001 - as above
    }
)


@dataclass
class Attempt:
    """What became of the messages of one call of `GaplessProducer.attempt`, by their index.

    A message that is in none of the three may be stored or not: send it again with the same id.

    Attributes:
        stored: acknowledged by the broker.
        refused: not stored, and refused again whenever they are sent, until something is changed.
        suspected: not stored, since the broker refused the batch that they were in.
    """

    stored: set[int] = field(default_factory=set)
    refused: dict[int, MeshError] = field(default_factory=dict)
    suspected: dict[int, MeshError] = field(default_factory=dict)


class GaplessProducer:
    """Sends sequences of messages to one cluster. After a failure it creates its producer anew. One thread uses it.

    Args:
        kafka: the connection to the cluster.
        on_replaced: called whenever a producer has failed for good.
    """

    def __init__(self, kafka: KafkaConfig, *, on_replaced: Callable[[], None] = lambda: None) -> None:
        self._kafka = kafka
        self._on_replaced = on_replaced
        self._producer: Producer | None = None
        self._admitted = False
        self._waiting = 0

    def attempt(self, messages: Sequence[Message], *, pause: Callable[[], bool] = lambda: True) -> Attempt:
        """Send messages, and wait until each has an outcome; if no broker answers, without end.

        A message that the client refuses at once is passed over, with all that follow it under its topic and key.

        Args:
            messages: in order.
            pause: called again and again during the wait. If it returns false or raises an error, the wait ends, and messages
                without an outcome are dropped.

        Raises:
            BrokerUnavailable: the login or the certificate is refused, and was never let in. One that is refused later is logged,
                and tried again without end: what checks logins may be away.
            KafkaError: the client refuses its configuration.
        """
        attempt = Attempt()
        if self._producer is None:
            self._producer = Producer(self._kafka, settings=_SETTINGS)
        try:
            if messages and not self._admitted:
                self._producer.require_login(messages[0].topic)
                self._admitted = True
            self._queue(self._producer, messages, attempt)
            while self._waiting and self._producer.fatal is None:
                self._producer.push(_SLICE_S)
                if self._waiting and not pause():
                    break
        except BaseException:
            self._replace()
            raise
        if self._waiting or self._producer.fatal is not None:
            self._replace()
        return attempt

    def _queue(self, producer: Producer, messages: Sequence[Message], attempt: Attempt) -> None:
        held: set[tuple[str, bytes | None]] = set()
        for index, message in enumerate(messages):
            if held and (message.topic, message.key) in held:
                continue
            try:
                self._produce(producer, message, partial(self._reported, attempt, index))
            except Refusal as error:
                if error.args[0].fatal() or producer.fatal is not None:
                    break
                attempt.refused[index] = refusal(error, message.topic)
                if message.key is not None:
                    held.add((message.topic, message.key))
            if attempt.suspected:
                break

    def _produce(self, producer: Producer, message: Message, on_delivery: Callable[..., None]) -> None:
        options: dict[str, Any] = {"headers": list(message.headers), "on_delivery": on_delivery}
        while True:
            try:
                producer.produce(message.topic, message.value, message.key, **options)
            except BufferError:
                producer.poll(_SLICE_S)
            else:
                self._waiting += 1
                return

    def _reported(self, attempt: Attempt, index: int, error: ClientError | None, message: ClientMessage) -> None:
        self._waiting -= 1
        if error is None:
            attempt.stored.add(index)
            return
        code = error.code()
        what = f"an event for {message.topic()} was refused"
        if code in _OF_TOPIC:
            attempt.refused[index] = delivery_error(error, what)
        elif code > 0 and not error.retriable():
            attempt.suspected[index] = delivery_error(error, what)

    def _replace(self) -> None:
        """Take the reports of what is in flight, drop the rest, and close the connections; the next attempt has new ones."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        if producer.fatal is not None:
            _log.info("a producer is replaced: %s", producer.fatal.message)
            self._on_replaced()
            for _ in range(_DRAIN_SLICES):
                if not self._waiting or not producer.push(_SLICE_S):
                    break
        if self._waiting:
            producer.abandon()
        self._waiting = 0
        producer.release()

    def close(self) -> None:
        """Drop what has no outcome, and close the connections."""
        self._replace()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
