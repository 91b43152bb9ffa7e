"""The producer, with the settings that the mesh relies on.

Settings that differ from librdkafka's defaults, and why:

- `partitioner=murmur2_random`: the hash of Java's client and of faust; by the default (CRC32) a key would get another
  partition than by theirs.
- `enable.idempotence`, `acks=all`: an acknowledged message is stored on all in-sync replicas, once and in order. A message
  that times out ends that for those in flight with it, which may be stored twice (librdkafka#4953).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka import Message as ClientMessage
from confluent_kafka import Producer as ClientProducer

from meshport.errors import DeliveryUnknown, KafkaError, MeshError, PublishError
from meshport.kafka.batch_limit import BatchLimits, TooLarge
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error, delivery_error
from meshport.kafka.undelivered import Undelivered, possibly_stored
from meshport.kafka.unreachable import RefusedConnections

__all__ = ["ANY_PARTITION", "NOW", "Message", "Producer", "Refusal", "refusal"]

ANY_PARTITION: Final = -1
"""librdkafka's value for a partition that the partitioner chooses."""
NOW: Final = 0
"""librdkafka's value for the time of sending as the timestamp."""

Headers = Sequence[tuple[str, bytes | None]]
FailedReport = Callable[[ClientError, ClientMessage], Undelivered]
"""Takes a failed delivery report."""

# A topic that was deleted must not block a caller for ever; five minutes are librdkafka's own `message.timeout.ms`.
_TIMEOUT_S: Final = 300.0
_SLICE_S: Final = 0.5
# The client reports the same trouble with a broker once in 30 s, and each request that it lost up to a minute late.
_DOUBT_S: Final = 90.0
# A property of a `KafkaConfig` cannot change it: with another one, the events of a key would be in two partitions.
_PARTITIONER: Final = "murmur2_random"


class Message(NamedTuple):
    """A message to be sent.

    Attributes:
        topic: the topic.
        key: the record key; None for none.
        value: the value; None for a tombstone.
        headers: names and values; a value may be null.
        timestamp_ms: milliseconds since 1970; None for the time of sending.
        partition: None chooses it by the key (murmur2), or at random where there is no key.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None
    partition: int | None = None


class Producer:
    """An idempotent producer.

    Args:
        kafka: the connection to the cluster.
        settings: librdkafka properties that win over those of `kafka`.
    """

    def __init__(self, kafka: KafkaConfig, *, settings: Mapping[str, Any] | None = None) -> None:
        self._kafka = kafka
        self._fatal: KafkaError | None = None
        self._refused = RefusedConnections()
        self._admitted = False
        self._doubted_at = -math.inf
        properties = {**kafka.properties, **(settings or {})}
        self._doubt_s = _longest_delivery_s(properties) + _DOUBT_S
        self._limits = BatchLimits(kafka, properties)
        self._client: ClientProducer | _Released = new_client(
            ClientProducer,
            kafka,
            {
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 131_072,
                "error_cb": self._failed,
                "log_level": 0,
            },
            {"partitioner": _PARTITIONER, **(settings or {})},
        )
        self.produce: Callable[..., None] = self._client.produce
        """The client's own method, for a hot path that handles BufferError by `poll` and `Refusal` by `refusal` itself."""

    def _failed(self, error: ClientError) -> None:
        self._refused.note(error)
        if error.fatal():
            self._fatal = client_error(error, "the producer cannot go on")
        self._doubt()

    def _doubt(self) -> None:
        """Note that a connection was lost, or that a request had no answer."""
        self._doubted_at = time.monotonic()
        self._limits.ask_ahead()

    def require_login(self, topic: str) -> None:
        """Wait until a broker lets this producer in, if it has a login or TLS; where no broker answers, return at once.

        Without it, a refused login is logged, and tried again until the events that are queued time out. `deliver` calls it; who
        sends by `produce` does so before the first message. A later call does nothing.

        Args:
            topic: one to which it writes.

        Raises:
            BrokerUnavailable: the login or the certificate is refused; the message has the broker's word.
        """
        if not self._admitted:
            self._refused.require_login(self._client, self._kafka, topic)
            self._admitted = True

    def watch(self, topic: str) -> None:
        """Note a topic to which messages go through `produce`: what it takes is asked for when a connection was lost."""
        self._limits.watch(topic)

    def undelivered(self, error: ClientError, message: ClientMessage) -> Undelivered:
        """Return what a failed delivery report comes to: what `produce(on_delivery=...)` is called with.

        A broker refuses a batch as a whole, and the client may batch anew what it sends again. So an event whose first
        request was lost on the way may be stored though the second was refused: while the client may hold such events, a
        refusal by a broker leaves the outcome unknown, unless the event alone is too large for its topic (`BatchLimits`).
        """
        found = delivery_error(error, f"an event for {message.topic()} was not acknowledged")
        if isinstance(found, DeliveryUnknown):
            self._doubt()
            return Undelivered(found)
        doubtful = error.code() > 0 and time.monotonic() - self._doubted_at < self._doubt_s
        stored = possibly_stored(found.message, error) if doubtful else None
        if error.code() == ClientError.MSG_SIZE_TOO_LARGE:
            return TooLarge(self._limits, message, found, stored)
        return Undelivered(stored or found)

    def poll(self, wait_s: float) -> None:
        """Serve delivery reports, for up to `wait_s` seconds until there is one.

        An error after which the producer sends nothing more is kept as `fatal`.
        """
        try:
            self._client.poll(wait_s)
        except KafkaException as error:  # the client raises a fatal error instead of calling `error_cb`
            self._fatal = client_error(error, "the producer cannot go on")

    def push(self, wait_s: float) -> int:
        """Send what is queued without waiting for more, and serve delivery reports for up to `wait_s` seconds.

        Returns:
            How many messages have no outcome yet; the call returns early where there is none.
        """
        try:
            return int(self._client.flush(wait_s))
        except KafkaException as error:  # as in `poll`
            self._fatal = client_error(error, "the producer cannot go on")
            return len(self._client)

    @property
    def waiting(self) -> int:
        """How many messages have no outcome yet, and how many of the client's notices are unread; 0 once it is released."""
        return len(self._client)

    @property
    def fatal(self) -> KafkaError | None:
        """The error after which this producer sends nothing more; create a new one. None where there is none."""
        return self._fatal

    def deliver(self, messages: Iterable[Message], *, timeout_s: float = _TIMEOUT_S) -> list[tuple[int, int]]:
        """Send messages and wait until the broker has acknowledged each.

        Returns:
            (partition, offset) of each, in order.

        Raises:
            PublishError: the broker refused one; the others may be stored.
            DeliveryUnknown: one was not acknowledged within `timeout_s` seconds, or its outcome is unknown.
            BrokerUnavailable: the login or the certificate is refused, and nothing was sent before.
            KafkaError: the producer has failed for good.
        """
        batch = _Batch(self.undelivered)
        for message in messages:
            self.require_login(message.topic)
            self._limits.watch(message.topic)
            self._send(message, batch.slot())
        deadline = time.monotonic() + timeout_s
        while batch.waiting:
            self.poll(0.05)
            if batch.waiting and time.monotonic() > deadline:
                raise DeliveryUnknown(
                    f"{batch.waiting} of {len(batch.stored)} messages were not acknowledged within {timeout_s:g} s"
                )
            if self._fatal is not None and batch.waiting:
                raise self._fatal
        if batch.failed is not None:
            batch.failed.wait(max(0.0, deadline - time.monotonic()))
            raise batch.failed.error()
        return batch.stored

    def _send(self, message: Message, on_delivery: Callable[[Any, Any], None]) -> None:
        if self._fatal is not None:
            raise self._fatal
        options: dict[str, Any] = {"headers": list(message.headers), "on_delivery": on_delivery}
        if message.partition is not None:
            options["partition"] = message.partition
        if message.timestamp_ms is not None:
            options["timestamp"] = message.timestamp_ms
        while True:
            try:
                self.produce(message.topic, message.value, message.key, **options)
            except BufferError:
                self.poll(0.05)
            except KafkaException as error:
                raise refusal(error, message.topic) from error
            else:
                return

    def flush(self, *, timeout_s: float = _TIMEOUT_S) -> int:
        """Wait for all that is queued.

        Returns:
            How many messages have no outcome after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        # In slices: Python handles a signal only between calls of the client.
        while (left := self.push(max(0.0, min(_SLICE_S, deadline - time.monotonic())))) and time.monotonic() < deadline:
            pass
        return left

    def abandon(self) -> None:
        """Drop what is queued or in flight; a delivery report with an error comes of each message."""
        self._client.purge()
        self.push(_SLICE_S)

    def release(self) -> None:
        """Give the client up; nothing more is sent. It closes its connections as soon as no thread is in one of its calls.

        The client's own `close` frees what a call in another thread still uses.
        """
        self._limits.end()
        self._client = _Released()
        self.produce = self._client.produce

    def close(self) -> None:
        """Wait for all that is queued, and close the connections.

        Raises:
            DeliveryUnknown: a message was not acknowledged.
        """
        left = self.flush()
        self.release()
        if left:
            raise DeliveryUnknown(f"{left} messages were not acknowledged before the producer closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.flush(timeout_s=5)
            self.release()


class _Released:
    """Stands where a client was that is given up: it has no message, and takes none."""

    def produce(self, topic: str, *_: Any, **__: Any) -> None:
        raise PublishError(f"nothing more goes to {topic}: the producer is closed", hint="create a new one")

    def poll(self, _wait_s: float) -> int:
        return 0

    def flush(self, _wait_s: float) -> int:
        return 0

    def purge(self) -> None:
        pass

    def __len__(self) -> int:
        return 0


class _Batch:
    """The delivery reports of one call of `deliver`."""

    def __init__(self, undelivered: FailedReport) -> None:
        self._undelivered = undelivered
        self.stored: list[tuple[int, int]] = []
        self.waiting = 0
        self.failed: Undelivered | None = None

    def slot(self) -> Callable[[ClientError | None, ClientMessage], None]:
        index = len(self.stored)
        self.stored.append((-1, -1))
        self.waiting += 1

        def reported(error: ClientError | None, message: ClientMessage) -> None:
            self.waiting -= 1
            if error is None:
                self.stored[index] = (message.partition() or 0, message.offset() or 0)
            elif self.failed is None:
                self.failed = self._undelivered(error, message)

        return reported


Refusal = KafkaException
"""What `Producer.produce` raises for a message that it refuses."""


def refusal(error: KafkaException, topic: str) -> MeshError:
    """Return the error for a message that `Producer.produce` refused: nothing of it was sent."""
    mapped = delivery_error(error.args[0], f"an event for {topic} was refused")
    return PublishError(mapped.message) if isinstance(mapped, DeliveryUnknown) else mapped


def _longest_delivery_s(properties: Mapping[str, Any]) -> float:
    """Return for how long the client holds an event at most, in seconds; `delivery.timeout.ms` is librdkafka's alias."""
    found = [properties[name] for name in ("message.timeout.ms", "delivery.timeout.ms") if name in properties]
    return max((int(each) / 1000 for each in found), default=_TIMEOUT_S)
