"""Maps the errors of confluent_kafka to Meshport's."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException

from meshport.errors import BrokerUnavailable, DeliveryUnknown, KafkaError, PublishError, TopicError

# After these the broker certainly did not store the message (librdkafka INTRODUCTION.md, "Message persistence status").
_REFUSED: Final = frozenset(
    {
        ClientError.MSG_SIZE_TOO_LARGE,
        ClientError.TOPIC_AUTHORIZATION_FAILED,
        ClientError.CLUSTER_AUTHORIZATION_FAILED,
        ClientError.INVALID_RECORD,
        ClientError.INVALID_TIMESTAMP,
        ClientError.POLICY_VIOLATION,
        ClientError._UNKNOWN_PARTITION,  # noqa: SLF001 - librdkafka's local codes are public under this spelling only
        ClientError._QUEUE_FULL,  # noqa: SLF001 - as above
    }
)
_NO_TOPIC: Final = frozenset(
    {
        ClientError.UNKNOWN_TOPIC_OR_PART,
        ClientError._UNKNOWN_TOPIC,  # noqa: SLF001 - as above
        ClientError.TOPIC_EXCEPTION,
    }
)
_NO_BROKER: Final = frozenset(
    {
        ClientError._TRANSPORT,  # noqa: SLF001 - as above
        ClientError._ALL_BROKERS_DOWN,  # noqa: SLF001 - as above
        ClientError._RESOLVE,  # noqa: SLF001 - as above
        ClientError._TIMED_OUT,  # noqa: SLF001 - as above
        ClientError.BROKER_NOT_AVAILABLE,
    }
)


def client_error(error: KafkaException | ClientError, what: str) -> KafkaError:
    """Return the error for one that the client raised or reported, other than a delivery report.

    Args:
        error: the client's.
        what: the operation that failed, for the message (`cannot list the topics of 127.0.0.1:9092`).
    """
    cause = error.args[0] if isinstance(error, KafkaException) else error
    text = f"{what}: {cause.str()} ({cause.name()})"
    if cause.code() in _NO_TOPIC:
        return TopicError(text, code=cause.name(), hint="`meshport apply` makes the topics of a project")
    if cause.code() in _NO_BROKER:
        return BrokerUnavailable(text, code=cause.name())
    return KafkaError(text, code=cause.name())


def delivery_error(error: ClientError, what: str) -> KafkaError | PublishError:
    """Return the error for a failed delivery report: `PublishError` where the event certainly was not stored.

    Otherwise the outcome is unknown, and the error is `DeliveryUnknown`; or `TopicError` where there is no such topic.
    """
    text = f"{what}: {error.str()} ({error.name()})"
    if error.code() in _REFUSED:
        return PublishError(text)
    if error.code() in _NO_TOPIC:
        return TopicError(text, code=error.name(), hint="`meshport apply` makes the topics of a project")
    return DeliveryUnknown(
        text, code=error.name(), hint="publish it again with the same id: readers ignore an id they have seen"
    )
