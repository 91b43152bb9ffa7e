"""What a broker's refusal of a message as too large comes to: the message itself is too large, or its batch; it may be stored.

A broker compares a whole batch with `max.message.bytes` of the topic, and refuses all of its messages with one error. Java's
producer then splits the batch (KIP-126); librdkafka does not. The messages are not sent again: newer ones of the same
key may be stored by then.

After a lost connection, a refused message may be stored by an earlier request, in a smaller batch. One that alone is larger
than what its topic takes is not, provided that the topic took no more while the client held it: the limit is asked for after
the refusal, and an answer from before the message was queued is compared as well. A client that compresses may have sent
fewer bytes than the message has.

Delivery callbacks do not wait for a broker's answer: a thread asks, and `TooLarge.decided` is false until it is known.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures import wait
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka import Message as ClientMessage
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from meshport.errors import MeshError, PublishError
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.undelivered import Undelivered

__all__ = ["BatchLimits", "TooLarge"]

_SETTING: Final = "max.message.bytes"
_TOPIC: Final = ResourceType.TOPIC
_WAIT_S: Final = 3.0
# After a lost connection the answer is not waited for, and comes once there is a connection again.
_AHEAD_S: Final = 60.0
# Refusals in quick succession share an answer: between two requests are so many seconds.
_APART_S: Final = 0.2
# The setting may be changed while a producer runs; it is asked for again after so many seconds.
_KEPT_S: Final = 30.0
# Answers that are kept of a topic: more than its limit changes while a client holds a message.
_ANSWERS: Final = 100
_SLICE_S: Final = 0.5
# The answer comes soon after the broker is back.
_RECONNECT: Final = {"reconnect.backoff.ms": 100, "reconnect.backoff.max.ms": 1000}
# Bytes of headers and framing, about. A failed delivery report has no headers.
_BESIDES: Final = 1024


class _Answer(NamedTuple):
    """What a topic takes, bytes of a batch; None if the broker did not say. The times are of the monotonic clock, seconds."""

    asked_at: float
    answered_at: float
    limit: int | None


class TooLarge(Undelivered):
    """A message that a broker has refused as too large.

    Args:
        limits: of the producer.
        message: of the failed delivery report.
        refused: why the broker refused it.
        stored: the error for the case that an earlier request may have stored it; None if no connection was lost.
    """

    __slots__ = ("_final", "_held_from", "_limits", "_refused_at", "_size", "_stored", "_topic")

    def __init__(
        self, limits: BatchLimits, message: ClientMessage, refused: MeshError, stored: MeshError | None
    ) -> None:
        super().__init__(refused)
        self._limits = limits
        self._topic = str(message.topic())
        self._size = len(message.key() or b"") + len(message.value() or b"")
        self._stored = stored
        self._final: MeshError | None = None
        self._refused_at = time.monotonic()
        held_s = message.latency()
        self._held_from = -math.inf if held_s is None else self._refused_at - held_s
        if self._answer() is None:
            limits.ask((self._topic,))

    @property
    def decided(self) -> bool:
        """See `Undelivered`: whether the topic's limit is known, or was waited for in vain."""
        return self._final is not None or self._answer() is not None or self._left_s() <= 0

    def wait(self, timeout_s: float) -> None:
        """See `Undelivered`."""
        deadline = time.monotonic() + timeout_s
        with self._limits.answered:
            while not self.decided and (left_s := min(self._left_s(), deadline - time.monotonic())) > 0:
                self._limits.answered.wait(left_s)

    def error(self) -> MeshError:
        """See `Undelivered`: a `PublishError` if the message is certainly not stored. The first call decides."""
        with self._limits.answered:
            if self._final is None:
                self._final = self._decide()
            return self._final

    def _decide(self) -> MeshError:
        if self._stored is not None and not self._never_fitted():
            return self._stored
        answer = self._answer()
        return _refusal(self._error.message, self._topic, self._size, None if answer is None else answer.limit)

    def _never_fitted(self) -> bool:
        """Return whether the topic took no message of that size, before the message was queued and at all times known since."""
        answers = [each for each in self._limits.answers(self._topic) if each.limit is not None]
        before = [each for each in answers if each.answered_at <= self._held_from]
        since = answers[len(before) :]
        if self._limits.compresses or not before or not since or since[-1].asked_at < self._refused_at:
            return False
        return all(each.limit is not None and self._size > each.limit for each in (before[-1], *since))

    def _answer(self) -> _Answer | None:
        """Return the answer that decides; a certain refusal only names the limit, which may be a little older."""
        wanted_from = self._refused_at if self._stored is not None else self._refused_at - _KEPT_S
        last = next(reversed(self._limits.answers(self._topic)), None)
        return last if last is not None and last.asked_at >= wanted_from else None

    def _left_s(self) -> float:
        return self._refused_at + _WAIT_S - time.monotonic()


class BatchLimits:
    """The largest batches that the topics of a cluster take, asked for when a broker has refused one, or a connection was lost.

    Args:
        kafka: the connection to the cluster.
        properties: those of the producer.

    Attributes:
        compresses: whether the producer compresses its batches.
        answered: notified of each answer.
    """

    def __init__(self, kafka: KafkaConfig, properties: Mapping[str, Any]) -> None:
        self._kafka = kafka
        named = (properties.get(name, "none") for name in ("compression.type", "compression.codec"))
        self.compresses: Final = any(each != "none" for each in named)
        self.answered: Final = threading.Condition()
        self._answers: dict[str, list[_Answer]] = {}
        self._wanted: dict[str, float] = {}
        self._asks = False
        self._topics: set[str] = set()
        self._ended = threading.Event()

    def watch(self, topic: str) -> None:
        """Ask for the limit of a topic whenever a connection was lost."""
        self._topics.add(topic)

    def ask_ahead(self) -> None:
        """Ask for the limits of the watched topics as soon as there is a connection; returns at once."""
        self.ask(self._topics.copy(), _AHEAD_S)

    def ask(self, topics: Collection[str], wait_s: float = _WAIT_S) -> None:
        """Ask for the limits of topics; returns at once.

        Args:
            topics: their names.
            wait_s: for how many seconds to wait for an answer.
        """
        with self.answered:
            self._wanted.update(dict.fromkeys(topics, wait_s))
            if not self._wanted or self._asks or self._ended.is_set():
                return
            self._asks = True
        try:
            threading.Thread(target=self._ask, name="batch limits", daemon=True).start()
        except RuntimeError:  # the interpreter shuts down, and starts no more threads (cpython#104690)
            with self.answered:
                self._asks = False

    def answers(self, topic: str) -> list[_Answer]:
        """Return the answers for a topic, the newest last; of those in a row with one limit, the first and the last."""
        with self.answered:
            return self._answers.get(topic, []).copy()

    def end(self) -> None:
        """Ask for nothing more."""
        self._ended.set()

    def _ask(self) -> None:
        """Ask for what is wanted, until nothing is; runs in a thread of its own."""
        while True:
            with self.answered:
                wanted, self._wanted = self._wanted, {}
                if not wanted or self._ended.is_set():
                    self._asks = False
                    return
            asked_at = time.monotonic()
            limits = self._asked(wanted, max(wanted.values()))
            with self.answered:
                for topic, limit in limits.items():
                    self._note(topic, _Answer(asked_at, time.monotonic(), limit))
                self.answered.notify_all()
            self._ended.wait(_APART_S)

    def _note(self, topic: str, answer: _Answer) -> None:
        known = self._answers.setdefault(topic, [])
        if len(known) > 1 and known[-1].limit == known[-2].limit == answer.limit:
            known.pop()
        known.append(answer)
        del known[:-_ANSWERS]

    def _asked(self, topics: Collection[str], wait_s: float) -> dict[str, int | None]:
        """Return the topics' setting, or the broker's; None without an answer, or the right to ask."""
        limits: dict[str, int | None] = dict.fromkeys(topics)
        try:
            client = new_client(AdminClient, self._kafka, {"log_level": 0}, _RECONNECT)
            asked = client.describe_configs([ConfigResource(_TOPIC, each) for each in topics], request_timeout=wait_s)
        except (KafkaException, MeshError):
            return limits
        deadline = time.monotonic() + wait_s
        while wait(asked.values(), _SLICE_S).not_done and time.monotonic() < deadline and not self._ended.is_set():
            pass
        for resource, answer in asked.items():
            try:
                limits[resource.name] = int(str(answer.result(timeout=0)[_SETTING].value))
            except (KafkaException, FutureTimeout, KeyError, ValueError):
                continue
        return limits


def _refusal(refused: str, topic: str, size: int, limit: int | None) -> PublishError:
    """Return the error for a message that a broker has refused as too large, and that is not stored.

    Args:
        refused: what the client says.
        topic: of the message.
        size: the bytes of its key and value.
        limit: of the topic, bytes; None if it is not known.
    """
    text = f"{refused}; the event has {size} bytes of key and value"
    if limit is None:
        return PublishError(
            f"{text}, and the batch that it was sent in is larger than the topic's {_SETTING}",
            hint=f"a larger {_SETTING}; or a smaller `batch.size` of the client, if the event alone fits",
        )
    text = f"{text}, and the topic takes {limit} ({_SETTING})"
    if size > limit:
        return PublishError(text, hint=f"a smaller event, or a larger {_SETTING} of {topic}")
    if size + _BESIDES > limit:
        return PublishError(
            f"{text} with headers, and with the other events of a batch",
            hint=f"a smaller event, or a larger {_SETTING} of {topic}",
        )
    return PublishError(
        f"{text}: it was refused only with the batch that it was sent in",
        hint=f"publish it again; batches fit with `batch.size` {limit} of the client, or a larger {_SETTING} of {topic}",
    )
