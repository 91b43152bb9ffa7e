"""Asks whether the brokers of a cluster answer, for a caller that waits until they do."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.unreachable import metadata


class ClusterState(NamedTuple):
    """The brokers of a cluster, by its metadata.

    Attributes:
        brokers: how many there are.
        cluster_id: the cluster's id; None where the cluster has none.
        leaderless: the partitions that no broker leads: no client can read or write them.
        behind: the other partitions with replicas that are not in sync.
    """

    brokers: int
    cluster_id: str | None
    leaderless: tuple[TopicPartition, ...] = ()
    behind: tuple[TopicPartition, ...] = ()


class ClusterProbe:
    """Asks for the state of a cluster, as often as it is called; a refused connection is tried again within 0.1 s.

    Args:
        kafka: the connection to the cluster.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        # Refused connections are expected until the brokers listen, and are not logged.
        self._client = new_client(
            AdminClient, kafka, {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "log_level": 0}
        )

    def look(self, timeout_s: float) -> ClusterState:
        """Return the cluster's state.

        Args:
            timeout_s: seconds to wait for an answer.

        Raises:
            BrokerUnavailable: no broker answered in that time.
            KafkaError: the cluster refuses the connection, for its login for instance.
        """
        try:
            return _state(self._client.list_topics(timeout=timeout_s))
        except KafkaException as error:
            raise client_error(error, self._failed) from error

    def require(self, timeout_s: float) -> ClusterState:
        """Return the state of a cluster that is expected to answer: the error has the cause, which takes some seconds more.

        Args:
            timeout_s: seconds to wait for an answer.

        Raises:
            BrokerUnavailable: no broker answered in that time.
            KafkaError: the cluster refuses the connection, for its login for instance.
        """
        return _state(metadata(self._client, self._kafka, self._failed, timeout_s=timeout_s))

    @property
    def _failed(self) -> str:
        return f"no broker answers at {self._kafka.bootstrap_servers}"


def _state(found: ClusterMetadata) -> ClusterState:
    partitions = {
        TopicPartition(topic, number): each
        for topic, of_topic in sorted(found.topics.items())
        for number, each in of_topic.partitions.items()
    }
    led = {name: each for name, each in partitions.items() if each.leader >= 0}
    behind = tuple(name for name, each in led.items() if len(each.isrs) < len(each.replicas))
    leaderless = tuple(name for name in partitions if name not in led)
    return ClusterState(len(found.brokers), found.cluster_id, leaderless, behind)
