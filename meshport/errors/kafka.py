"""Errors that come from a Kafka cluster, or from what its logs hold."""

from __future__ import annotations

from datetime import datetime

from meshport.errors.base import MeshError, with_facts


@with_facts
class KafkaError(MeshError):
    """Root of the errors that come from a Kafka cluster.

    Attributes:
        topic: the topic.
        partition: the partition of the topic.
        offset: the offset in the partition.
        code: the client's name of the error (`_TRANSPORT`, `UNKNOWN_TOPIC_OR_PART`), if the client reported one.
    """

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    code: str | None = None


@with_facts
class BrokerUnavailable(KafkaError):  # noqa: N818 - names a state, as ConnectionRefusedError's siblings do
    """Raised when no broker answers, or when one could not be started.

    Attributes:
        servers: the bootstrap servers.
    """

    servers: str | None = None


@with_facts
class KafkaConfigError(KafkaError):
    """Raised when what was written about a connection to Kafka cannot be used.

    Attributes:
        property: the client's property, by the name that it was written under.
        source: where it was written: `client.properties:3`, a variable, `meshport.toml [clusters.main]`.
    """

    property: str | None = None
    source: str | None = None


@with_facts
class UnknownCluster(KafkaConfigError):  # noqa: N818 - names a state
    """Raised when a cluster has no connection of its name.

    Attributes:
        cluster: the name.
        known: the names that have a connection.
    """

    cluster: str | None = None
    known: tuple[str, ...] = ()


@with_facts
class JarRejected(KafkaError):  # noqa: N818 - names a verdict
    """Raised when a jar of the embedded broker does not have the locked SHA-256, or is not in the lock.

    Attributes:
        file: the jar.
        expected: the locked SHA-256.
        found: the SHA-256 of the file.
    """

    file: str | None = None
    expected: str | None = None
    found: str | None = None


class TopicError(KafkaError):
    """Raised when a topic is missing, or could not be created as declared."""


@with_facts
class TopicRemade(TopicError):  # noqa: N818 - names what happened
    """Raised when a topic was deleted and made again: what was read, or is kept as state, belongs to another log.

    Attributes:
        group: the consumer group that has read the earlier log.
        expected_id: Kafka's id of the topic whose log was read; None if it is not known.
        found_id: Kafka's id of the present topic; None if it is not known.
    """

    group: str | None = None
    expected_id: str | None = None
    found_id: str | None = None


@with_facts
class PartitionsAdded(TopicError):  # noqa: N818 - names what happened
    """Raised when a topic got more partitions than a processor was planned for, and its logic cannot take them up.

    Attributes:
        planned: the number of partitions that the processor was planned for.
        found: the number of partitions that the topic has.
    """

    planned: int | None = None
    found: int | None = None


@with_facts
class HistoryMissing(KafkaError):  # noqa: N818 - names a state
    """Raised when history that a reader asks for is no longer in the log: retention, or a request, deleted its records.

    Attributes:
        offset: the first offset of the partition that is left.
        recorded: when the first record that is left was recorded; None if no record is left, or if it is not known.
        asked: the offset, or the time, from which the reader asked for the history.
    """

    recorded: datetime | None = None
    asked: int | datetime | None = None


@with_facts
class HistoryUndecided(KafkaError):  # noqa: N818 - names a state
    """Raised when history that a reader asks for lies after a transaction that is still open.

    Kafka returns no record from there on, not even of transactions that are committed, until that one ends
    (`isolation.level=read_committed`, the last stable offset).

    Attributes:
        offset: the last stable offset: the first offset that cannot be read.
        end: the end of the log, after the last offset that cannot be read.
    """

    end: int | None = None


@with_facts
class DeliveryUnknown(KafkaError):  # noqa: N818 - names an outcome
    """Raised when the broker did not report whether an event is stored (librdkafka's POSSIBLY_PERSISTED).

    Attributes:
        ids: the ids of the events that are not stored for certain, where they are known.
    """

    ids: tuple[str, ...] = ()


class TransactionAborted(KafkaError):  # noqa: N818 - names an outcome
    """Raised when a transaction was aborted. No `read_committed` consumer sees a record of it; the caller repeats it."""


class MemberFenced(KafkaError):  # noqa: N818 - names a state
    """Raised when a consumer group has another member under the name of this one, as far as its coordinator knows."""
