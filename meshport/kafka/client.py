"""Construction of confluent_kafka's clients from a `KafkaConfig`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confluent_kafka import KafkaException

from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error

_Client = TypeVar("_Client")


def new_client(
    kind: Callable[[dict[str, Any]], _Client],
    kafka: KafkaConfig,
    defaults: Mapping[str, Any],
    needed: Mapping[str, Any] | None = None,
) -> _Client:
    """Return a new client of confluent_kafka.

    Args:
        kind: the client's class.
        kafka: the connection to the cluster.
        defaults: properties that `kafka` may change.
        needed: properties that it may not change.

    Raises:
        KafkaError: librdkafka knows no property of that name, or refuses a value.
    """
    try:
        return kind(kafka.client_properties(defaults, needed))
    except KafkaException as error:
        raise client_error(error, "Kafka's client refuses its configuration") from error
