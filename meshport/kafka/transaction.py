"""Read, process, write as one: a group's member, and a producer whose transactions carry the group's place.

What is sent and how far the input was read are committed together or not at all (KIP-98). The commit names the membership
under which the input was read, so that the broker refuses one who has been put out of the group since (KIP-447).

Settings that differ from librdkafka's defaults, and why:

- `partition.assignment.strategy=cooperative-sticky`: with `range` every partition is taken away whenever a member comes
  or goes, and its state has to be restored; so only those are that move.
- `transaction.timeout.ms=10000`: what a killed member left open hides all that follows from committed readers.
- `session.timeout.ms=8000`: a killed member's partitions go to others after this time.
- `heartbeat.interval.ms=1000`: a cooperative rebalance takes two rounds, and members hear of each by a heartbeat.
- `retry.backoff.ms=5`: a transaction that begins while the markers of the one before are being written is told to come
  again (CONCURRENT_TRANSACTIONS); by default it does after 100 ms, which every hundredth event waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from operator import methodcaller
from typing import Any, Final, cast

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka import Message as ClientMessage
from confluent_kafka import Producer as ClientProducer
from confluent_kafka import TopicPartition as ClientPartition

from meshport.errors import KafkaError, MeshError, TransactionAborted
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer, ReceivedMessage
from meshport.kafka.errors import client_error
from meshport.kafka.producer import Message, refusal
from meshport.kafka.topic_partition import TopicPartition

__all__ = ["BATCH_BYTES", "Member", "Transactions"]

BATCH_BYTES: Final = 32 * 1024 * 1024
"""A batch is held several times over: as messages, as records, as outputs and on its way out; so some 200 MB at most."""

_PATIENCE_S: Final = 60.0
_CALL_S: Final = 10.0
_SESSION_MS: Final = 8000
_HEARTBEAT_MS: Final = 1000
_TRANSACTION_MS: Final = 10_000
_RETRY_MS: Final = 5
# What librdkafka holds ready is bounded by bytes, so that a slice of the largest messages is about as large.
_SLICE: Final = 1000
# As librdkafka has them.
_ANY_PARTITION: Final = -1
_NOW: Final = 0
_SEEK_S: Final = 5.0
_error_of: Final = methodcaller("error")
# Members of another engine are leaving, or were killed and are not given up yet: librdkafka asks to join again by itself.
_PASSING: Final = frozenset({ClientError.INCONSISTENT_GROUP_PROTOCOL})


class Member(Consumer):
    """A member of a group that reads several topics, each partition from where its state stands.

    Args:
        kafka: the connection to the cluster.
        group: the consumer group.
        instance: a name that no other member has at the same time; who comes back under it gets its partitions back at
            once (static membership, KIP-345), and who leaves it for good is waited for as for one that was killed.
    """

    def __init__(self, kafka: KafkaConfig, group: str, *, instance: str | None = None) -> None:
        settings: dict[str, Any] = {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": _SESSION_MS,
            "heartbeat.interval.ms": _HEARTBEAT_MS,
            "enable.partition.eof": True,
        }
        if instance is not None:
            settings["group.instance.id"] = instance
        super().__init__(kafka, group=group, settings=settings)
        self._moved: set[TopicPartition] = set()
        self._refused: Exception | None = None

    def join(
        self,
        topics: Sequence[str],
        *,
        on_assign: Callable[[Sequence[TopicPartition]], Mapping[TopicPartition, int]],
        on_revoke: Callable[[Sequence[TopicPartition]], None],
    ) -> None:
        """Join the group; the functions are called within `read` and `close`.

        Args:
            topics: what is read.
            on_assign: gets the partitions that come, gives the offset from which each is to be read.
            on_revoke: gets those that go, before another member has them, or after it where this one was put out.
        """

        def assigned(client: ClientConsumer, partitions: list[ClientPartition]) -> None:
            try:
                places = on_assign(self._touched(partitions))
            except Exception as error:  # noqa: BLE001 - the client makes a SystemError of it; `read` raises it
                self._refused, places = error, {}
            client.incremental_assign([ClientPartition(*place, offset) for place, offset in places.items()])

        def revoked(client: ClientConsumer, partitions: list[ClientPartition]) -> None:
            on_revoke(self._touched(partitions))
            client.incremental_unassign(partitions)

        self._client.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=revoked)

    def _touched(self, partitions: Iterable[ClientPartition]) -> list[TopicPartition]:
        places = [TopicPartition(each.topic, each.partition) for each in partitions]
        self._moved.update(places)
        for place in places:
            self.ends.pop(place, None)
        return places

    def read(self, limit: int, timeout_s: float) -> list[ReceivedMessage]:
        """As of `Consumer`, but no more than is there already; of partitions that are assigned when it returns, without a gap.

        Whatever the limit, it gives little more than `BATCH_BYTES` of values.

        Raises:
            KafkaError: as of `Consumer`.
            Exception: what `on_assign` raised.
        """
        found = super().read(1, timeout_s)
        taken, more = 0, bool(found)
        while more and len(found) < limit and taken < BATCH_BYTES:
            wanted = min(_SLICE, limit - len(found))
            self._moved.clear()
            some = self._client.consume(wanted, 0)  # what is there; waiting for more costs each event of a quiet stream
            more = len(some) == wanted
            taken += sum(map(len, some))
            if any(map(_error_of, some)):
                some = self._without_errors(some)
            if self._moved:
                # librdkafka drops what it has of a partition that went or came meanwhile, but this is out already.
                found = [each for each in found if (each.topic(), each.partition()) not in self._moved]
            found += cast("list[ReceivedMessage]", some)
        if self._refused is not None:
            raise self._refused
        return found

    def _without_errors(self, messages: list[ClientMessage]) -> list[ClientMessage]:
        told = ((each, each.error()) for each in messages)
        return super()._without_errors([each for each, error in told if error is None or error.code() not in _PASSING])

    @property
    def membership(self) -> bytes | None:
        """What a transaction shows to commit places, for `Transactions.commit`; None for who is no member.

        The broker does not check the commit of who names no member (KIP-447 keeps that for older clients).
        """
        metadata = cast("bytes | None", self._client.consumer_group_metadata())
        name = self._client.memberid()
        return metadata if metadata and name and name.encode() in metadata else None

    def rewind(self, places: Mapping[TopicPartition, int]) -> None:
        """Read assigned partitions from these offsets on; those that were lost since are left out.

        Raises:
            KafkaError: it cannot be done.
        """
        assigned = {(each.topic, each.partition) for each in self._client.assignment()}
        for place, offset in places.items():
            if place in assigned:
                self.ends.pop(place, None)
                self._seek(ClientPartition(*place, offset))

    def _seek(self, place: ClientPartition) -> None:
        deadline = time.monotonic() + _SEEK_S
        while True:
            try:
                return self._client.seek(place)
            except KafkaException as error:
                # A partition that was assigned a moment ago is not ready for it yet.
                if error.args[0].code() != ClientError._STATE or time.monotonic() > deadline:  # noqa: SLF001 - public under this spelling only
                    raise client_error(error, f"cannot go back in {place.topic} [{place.partition}]") from error
            time.sleep(0.01)


class Transactions:
    """A producer that sends in transactions.

    Args:
        kafka: the connection to the cluster.
        name: the transactional id; whoever takes the same name later fences this one off.
        settings: librdkafka properties that the caller needs, whatever `kafka` has.
    """

    def __init__(self, kafka: KafkaConfig, name: str, *, settings: Mapping[str, Any] | None = None) -> None:
        self._name = name
        self._fatal: KafkaError | None = None
        self._open = False
        self._client = new_client(
            ClientProducer,
            kafka,
            {
                "transactional.id": name,
                "transaction.timeout.ms": _TRANSACTION_MS,
                "partitioner": "murmur2_random",
                "retry.backoff.ms": _RETRY_MS,
                "linger.ms": 5,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 131_072,
                "error_cb": self._failed,
                "log_level": 0,
            },
            settings,
        )

    def _failed(self, error: ClientError) -> None:
        if error.fatal():
            self._fatal = client_error(error, f"{self._name} cannot go on")

    def start(self) -> None:
        """Take the name: an earlier owner's open transaction is aborted, and the owner fenced off.

        Raises:
            KafkaError: it could not be done.
        """
        self._call("start transactions", self._client.init_transactions)

    def begin(self) -> None:
        """Begin a transaction.

        Raises:
            KafkaError: the producer has failed for good; make a new one.
        """
        try:
            self._client.begin_transaction()
        except KafkaException as error:
            raise self._fatal or client_error(error, f"{self._name} cannot begin a transaction") from error
        self._open = True

    def deliver(self, messages: Iterable[Message]) -> None:
        """Send messages as part of the open transaction; `commit` waits until they are stored.

        Raises:
            TransactionAborted: the transaction has failed; `abort` it.
            PublishError: a message can never be stored.
            KafkaError: the producer has failed for good.
        """
        produce = self._client.produce
        for topic, key, value, headers, timestamp_ms, partition in messages:
            given = headers if type(headers) is list else list(headers)
            to = _ANY_PARTITION if partition is None else partition
            while True:
                try:
                    # By place: keywords, and a copy of the headers, cost a quarter of 1.3 us a message.
                    produce(topic, value, key, to, None, None, timestamp_ms or _NOW, given)
                except BufferError:
                    self._client.poll(0.05)
                except KafkaException as error:
                    raise self._refusal(error, topic) from error
                else:
                    break

    def _refusal(self, error: KafkaException, topic: str) -> MeshError:
        if self._fatal is not None:
            return self._fatal
        if error.args[0].code() == ClientError._STATE:  # noqa: SLF001 - public under this spelling only
            return TransactionAborted(f"{self._name}: {error.args[0].str()}")
        return refusal(error, topic)

    def commit(self, places: Mapping[TopicPartition, int], group: bytes) -> None:
        """Commit what was sent together with the group's places.

        Args:
            places: the next offset to read of each partition; none where no group's place is kept.
            group: `Member.membership`.

        Raises:
            TransactionAborted: nothing of it is or becomes visible: `abort` it. Also where the group has another
                generation or has put the member out.
            KafkaError: the producer has failed for good, or the outcome is not known; start from what is committed.
        """
        offsets = [ClientPartition(*place, offset) for place, offset in places.items()]
        if offsets:
            send = partial(self._client.send_offsets_to_transaction, offsets, group)
            self._call("commit the group's place", send)
        self._call("commit", self._client.commit_transaction)
        self._open = False

    def abort(self) -> None:
        """Undo the open transaction.

        Raises:
            KafkaError: the producer has failed for good; the broker undoes it.
        """
        if self._open:
            self._call("abort", self._client.abort_transaction)
            self._open = False

    def close(self) -> None:
        """Undo what is open, as far as that is possible, and let go of the connections."""
        # What cannot be undone now the broker undoes when its time is over.
        with suppress(KafkaException):
            if self._open:
                self._client.abort_transaction(_CALL_S)
            self._client.flush(0.5)

    def _call(self, what: str, call: Callable[[float], object]) -> None:
        what = f"{self._name} cannot {what}"
        deadline = time.monotonic() + _PATIENCE_S
        told = False
        while True:
            try:
                call(_CALL_S)
            except KafkaException as error:
                cause = error.args[0]
                if cause.code() == ClientError._STATE and not told:  # noqa: SLF001 - public under this spelling only
                    told = True  # a call that was under way when the transaction failed does not say why; the next does
                    continue
                if cause.txn_requires_abort():
                    raise TransactionAborted(f"{what}: {cause.str()} ({cause.name()})", code=cause.name()) from error
                if cause.fatal() or not cause.retriable() or time.monotonic() > deadline:
                    raise self._fatal or client_error(error, what) from error
            else:
                return
