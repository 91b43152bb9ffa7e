"""librdkafka's in-memory cluster: a stand-in for Kafka inside of one client (rdkafka_mock.c)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import Producer as ClientProducer

from meshport.kafka.config import KafkaConfig

_ANSWER_S: Final = 10.0
_NAME: Final = "mockCluster"


def is_in_memory(cluster_id: object) -> bool:
    """Return whether a cluster of this id is an in-memory one."""
    return str(cluster_id).startswith(_NAME)


@contextmanager
def in_memory_cluster(brokers: int = 1) -> Iterator[KafkaConfig]:
    """Run an in-memory cluster as long as the context is open.

    Args:
        brokers: how many brokers it has.

    Yields:
        The connection to it, over TCP: other processes can use it as well.
    """
    # The cluster lives in this client and ends with it.
    host = ClientProducer({"bootstrap.servers": "in-memory", "test.mock.num.brokers": brokers, "log_level": 3})
    found = host.list_topics(timeout=_ANSWER_S).brokers.values()
    yield KafkaConfig(",".join(f"{broker.host}:{broker.port}" for broker in found))
    del host
