"""Consume, process, produce as one: a member of a group, and a transactional producer that commits the group's offsets.

The messages that were sent and the offsets of the input are committed together or not at all (KIP-98). The commit names
the membership under which the input was read, so that the broker refuses a member that was removed since (KIP-447).

Settings that differ from librdkafka's defaults, and why:

- `transaction.timeout.ms=10000`: the open transaction of a killed member hides all that follows from committed readers.
- `session.timeout.ms=8000`: a killed member's partitions are assigned to others after this time.
- `socket.timeout.ms=10000`: a request that waits for a broker which was lost holds a partition up, or the group, until it
  times out, by default after a minute (librdkafka#843, #4492). A transactional producer has this limit by its timeout above.
- `reconnect.backoff.max.ms=1000`: by default a broker that is back is connected to after up to 10 s.
- `connections.max.idle.ms=4000`, of the producer: librdkafka keeps a group's coordinator that the cluster has given up, and looks
  for another one only when the state of any of its connections changes (librdkafka#5511). After three of ten kills of a
  coordinator the commit of the group's offsets had no answer until the broker was started again, 52 s and more, whatever
  its timeout (librdkafka#5456). A connection that is closed since it is idle is such a change: 5 to 11 s in ten of ten kills.
- `heartbeat.interval.ms=1000`: a cooperative rebalance takes two rounds, and a heartbeat announces each to the members.
- `retry.backoff.ms=5`: a transaction that begins while the markers of the previous one are being written has to be retried
  (CONCURRENT_TRANSACTIONS); by default after 100 ms, which delayed every hundredth event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from operator import methodcaller
from typing import Any, Final, cast

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka import Message as ClientMessage
from confluent_kafka import Producer as ClientProducer
from confluent_kafka import TopicPartition as ClientPartition

from meshport.errors import KafkaError, MemberFenced, MeshError, TransactionAborted
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import WATCHED, Consumer
from meshport.kafka.errors import client_error
from meshport.kafka.producer import ANY_PARTITION, NOW, Message, refusal
from meshport.kafka.received import ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.unreachable import RefusedConnections

__all__ = ["BATCH_BYTES", "Member", "Transactions"]

BATCH_BYTES: Final = 32 * 1024 * 1024
"""The bytes of values in a batch, about. A batch is in memory as messages, records and outputs: some 200 MB at most."""

# A coordinator that was lost is replaced within seconds, and ends a transaction after `_TRANSACTION_MS` by itself; a producer
# without an answer until then is better replaced. A start may have to wait for brokers that start as well.
_END_S: Final = 15.0
_START_S: Final = 60.0
_CALL_S: Final = 10.0
_SESSION_MS: Final = 8000
_HEARTBEAT_MS: Final = 1000
_SOCKET_MS: Final = 10_000
_RECONNECT_MS: Final = 1000
_TRANSACTION_MS: Final = 10_000
_RETRY_MS: Final = 5
_IDLE_MS: Final = 4000
# What librdkafka has fetched is bounded by bytes, so that a slice of the largest messages is about as large.
_SLICE: Final = 1000
# The broker's error names no topic. 1048588 is Kafka's default, which the client's batches of 1000000 bytes fit in.
_TOO_LARGE: Final = "a topic that is written to takes smaller batches than the client's: max.message.bytes of 1048588"
_error_of: Final = methodcaller("error")
# librdkafka reports every fatal error of a consumer as _FATAL, with this text of FENCED_INSTANCE_ID.
_FENCED: Final = ClientError(ClientError.FENCED_INSTANCE_ID).str()


class Member(Consumer):
    """A member of a consumer group that reads several topics, each partition from the offset of its state.

    Args:
        kafka: the connection to the cluster.
        group: the consumer group.
        instance: a name that no other member has at the same time (static membership, KIP-345). A member that comes back
            under it is assigned its partitions at once; one that does not come back is removed after its session.
    """

    def __init__(self, kafka: KafkaConfig, group: str, *, instance: str | None = None) -> None:
        settings: dict[str, Any] = {
            "session.timeout.ms": _SESSION_MS,
            "heartbeat.interval.ms": _HEARTBEAT_MS,
            "socket.timeout.ms": _SOCKET_MS,
            "reconnect.backoff.max.ms": _RECONNECT_MS,
            "enable.partition.eof": True,
            **WATCHED,
        }
        if instance is not None:
            settings["group.instance.id"] = instance
        super().__init__(kafka, group=group, settings=settings)
        self._group = group

    def read(self, limit: int, timeout_s: float) -> list[ReceivedMessage]:
        """Return up to `limit` messages: the first that comes within `timeout_s` seconds and what was fetched already.

        All are of partitions that are assigned when the call returns, and leave no gap. Whatever the limit, they have little
        more than `BATCH_BYTES` of values.

        Raises:
            KafkaError: as in `Consumer.read`.
            MemberFenced: the group has another member of this name; a new `Member` is needed to join again.
            Exception: what `on_assign` raised.
        """
        found = super().read(1, timeout_s)
        taken, more = 0, bool(found)
        while more and len(found) < limit and taken < BATCH_BYTES:
            wanted = min(_SLICE, limit - len(found))
            self._moved.clear()
            some = self._client.consume(wanted, 0)  # waiting for more would delay each event of a quiet stream
            more = len(some) == wanted
            taken += sum(map(len, some))
            fresh = cast("list[ReceivedMessage]", some)
            if any(map(_error_of, some)):
                fresh = self._without_errors(some)
            if self._moved:
                # librdkafka drops what it fetched of a partition that was revoked or assigned meanwhile, but not these.
                found = [each for each in found if (each.topic(), each.partition()) not in self._moved]
            found += fresh
        if self._assign_error is not None:
            raise self._assign_error
        return found

    def _without_errors(self, messages: Sequence[ClientMessage]) -> list[ReceivedMessage]:
        for each in messages:
            if (error := each.error()) is not None and error.code() == ClientError._FATAL and _FENCED in error.str():  # noqa: SLF001 - as above
                raise MemberFenced(f"a member of the group {self._group} was fenced: {error.str()}", code=error.name())
        return super()._without_errors(messages)

    @property
    def membership(self) -> bytes | None:
        """The group metadata for `Transactions.commit`; None while this consumer is no member of the group.

        The broker would not check a commit that names no member, for the sake of older clients (KIP-447).
        """
        metadata = cast("bytes | None", self._client.consumer_group_metadata())
        name = self._client.memberid()
        return metadata if metadata and name and name.encode() in metadata else None


class Transactions:
    """A producer that sends in transactions.

    Args:
        kafka: the connection to the cluster.
        name: the transactional id. A producer that takes the same name later fences this one.
        settings: librdkafka properties that the caller needs, whatever `kafka` has.
    """

    def __init__(self, kafka: KafkaConfig, name: str, *, settings: Mapping[str, Any] | None = None) -> None:
        self._name = name
        self._kafka = kafka
        self._fatal: KafkaError | None = None
        self._refused = RefusedConnections()
        self._open = False
        self._client = new_client(
            ClientProducer,
            kafka,
            {
                "transactional.id": name,
                "transaction.timeout.ms": _TRANSACTION_MS,
                "retry.backoff.ms": _RETRY_MS,
                "reconnect.backoff.max.ms": _RECONNECT_MS,
                "connections.max.idle.ms": _IDLE_MS,
                "linger.ms": 5,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 131_072,
                "error_cb": self._failed,
                "log_level": 0,
            },
            {"partitioner": "murmur2_random", **(settings or {})},
        )

    def _failed(self, error: ClientError) -> None:
        self._refused.note(error)
        if error.fatal():
            self._fatal = client_error(error, f"{self._name} cannot go on")

    def start(self) -> None:
        """Take the transactional id: an open transaction of an earlier producer is aborted, and that producer is fenced.

        Raises:
            BrokerUnavailable: the login or the certificate is refused.
            KafkaError: the coordinator refused or did not answer.
        """
        self._refused.require_login(self._client, self._kafka, None)
        self._call("start transactions", self._client.init_transactions, _START_S)

    def begin(self) -> None:
        """Begin a transaction.

        Raises:
            KafkaError: the producer has failed for good; create a new one.
        """
        try:
            self._client.begin_transaction()
        except KafkaException as error:
            raise self._fatal or client_error(error, f"{self._name} cannot begin a transaction") from error
        self._open = True

    def deliver(self, messages: Iterable[Message]) -> None:
        """Send messages in the open transaction; `commit` waits until they are stored.

        Raises:
            TransactionAborted: the transaction has failed; call `abort`.
            PublishError: a message can never be stored.
            KafkaError: the producer has failed for good.
        """
        produce = self._client.produce
        for topic, key, value, headers, timestamp_ms, partition in messages:
            given = headers if type(headers) is list else list(headers)
            to = ANY_PARTITION if partition is None else partition
            while True:
                try:
                    # Keyword arguments, and a copy of the headers, would cost a quarter of 1.3 us a message.
                    produce(topic, value, key, to, None, None, timestamp_ms or NOW, given)
                except BufferError:
                    self._client.poll(0.05)
                except KafkaException as error:
                    raise self._refusal(error, topic) from error
                else:
                    break

    def _refusal(self, error: KafkaException, topic: str) -> MeshError:
        if self._fatal is not None:
            return self._fatal
        code = error.args[0].code()
        if code == ClientError._FATAL:  # noqa: SLF001 - public under this spelling only
            # The client refuses messages after a fatal error, also before it has called `error_cb`.
            return client_error(error, f"{self._name} cannot go on")
        if code == ClientError._STATE:  # noqa: SLF001 - as above
            return self._cause() or TransactionAborted(f"{self._name}: {error.args[0].str()}")
        return refusal(error, topic)

    def _cause(self) -> KafkaError | None:
        """Return why the transaction has failed. The client refuses further messages without it, and a commit with it."""
        try:
            self._call("commit", self._client.commit_transaction)
        except TransactionAborted as error:
            return error
        except KafkaError:
            pass  # another call is in progress, and reports it
        return None

    def commit(self, offsets: Mapping[TopicPartition, int], group: bytes) -> None:
        """Commit the messages that were sent, together with offsets of the group.

        Args:
            offsets: by partition, the next offset to read; empty where no offsets are to be committed.
            group: `Member.membership`.

        Raises:
            TransactionAborted: nothing of the transaction becomes visible; call `abort`. Raised too where the group is in
                another generation, or has removed the member.
            KafkaError: the producer has failed for good, or the outcome is unknown; start again from what is committed.
        """
        wanted = [ClientPartition(*partition, offset) for partition, offset in offsets.items()]
        if wanted:
            send = partial(self._client.send_offsets_to_transaction, wanted, group)
            self._call("commit the group's offsets", send)
        self._call("commit", self._client.commit_transaction)
        self._open = False

    def abort(self) -> None:
        """Abort the open transaction, if there is one.

        Raises:
            KafkaError: the producer has failed for good; the broker aborts it after its timeout.
        """
        if self._open:
            self._call("abort", self._client.abort_transaction)
            self._open = False

    def close(self) -> None:
        """Abort an open transaction, as far as that is possible, and close the connections."""
        # A transaction that cannot be aborted now is aborted by the broker after its timeout.
        with suppress(KafkaException):
            if self._open:
                self._client.abort_transaction(_CALL_S)
            self._client.flush(0.5)

    def drop(self) -> None:
        """Give up this producer without a word to the brokers; one that takes its transactional id ends its transaction."""
        with suppress(KafkaException):
            self._client.purge(blocking=False)
        self._open = False

    def _call(self, what: str, call: Callable[[float], object], patience_s: float = _END_S) -> None:
        what = f"{self._name} cannot {what}"
        deadline = time.monotonic() + patience_s
        state_error_seen = False
        while True:
            try:
                call(_CALL_S)
            except KafkaException as error:
                cause = error.args[0]
                if cause.code() == ClientError._STATE and not state_error_seen:  # noqa: SLF001 - public under this spelling only
                    state_error_seen = (
                        True  # a call in flight when the transaction fails reports no cause; the next does
                    )
                    continue
                if cause.txn_requires_abort():
                    hint = _TOO_LARGE if cause.code() == ClientError.MSG_SIZE_TOO_LARGE else None
                    text = f"{what}: {cause.str()} ({cause.name()})"
                    raise TransactionAborted(text, code=cause.name(), hint=hint) from error
                if cause.fatal() or not cause.retriable() or time.monotonic() > deadline:
                    raise self._fatal or client_error(error, what) from error
            else:
                return
