"""Deletes the records of a topic that lie before given offsets (KIP-107), without waiting for the brokers."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from meshport.errors import KafkaError
from meshport.kafka.answer import ANSWER_S
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error
from meshport.kafka.in_memory import is_in_memory
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.unreachable import cluster_of

__all__ = ["Deleted", "RecordDeletion"]

_NO_RIGHT: Final = ClientError.TOPIC_AUTHORIZATION_FAILED


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of a request.

    Attributes:
        begins: the first offset that is left in each partition whose records were deleted.
        refused: the error of a partition, where the principal may not delete its records; else None.
        failed: the error of a partition, where the broker did not do it for any other reason; else None.
    """

    begins: Mapping[TopicPartition, int] = field(default_factory=dict)
    refused: KafkaError | None = None
    failed: KafkaError | None = None


class RecordDeletion:
    """Asks a cluster to delete records; one request at a time. Used by one thread.

    Args:
        kafka: the connection to the cluster, of a principal that may `delete` the topics.

    Raises:
        BrokerUnavailable: no broker answered.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self._client = new_client(AdminClient, kafka, {"log_level": 0})
        what = f"no broker answers at {kafka.bootstrap_servers}"
        # librdkafka's stand-in for Kafka has no such request.
        self._in_memory = is_in_memory(cluster_of(self._client, kafka, what, timeout_s=ANSWER_S).id)
        self._asked: dict[TopicPartition, Future[Any]] = {}

    @property
    def in_progress(self) -> bool:
        """Whether the brokers have not answered the last request yet."""
        return any(not each.done() for each in self._asked.values())

    def start(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Send a request; call `outcome` before the next.

        Args:
            offsets: by partition, the offset before which every record is deleted.
        """
        if self._in_memory or not offsets:
            return
        wanted = [ClientPartition(*each, offset) for each, offset in offsets.items()]
        asked = self._client.delete_records(wanted, request_timeout=ANSWER_S, operation_timeout=ANSWER_S)
        self._asked = {TopicPartition(each.topic, each.partition): found for each, found in asked.items()}

    def wait(self, timeout_s: float) -> None:
        """Wait until the last request is answered, but no longer than `timeout_s` seconds."""
        wait(self._asked.values(), timeout_s)

    def outcome(self) -> Deleted:
        """Return what became of the last request, so far as it is answered, and forget it."""
        asked, self._asked = self._asked, {}
        begins: dict[TopicPartition, int] = {}
        refused = failed = None
        for partition, future in asked.items():
            if not future.done():
                continue
            try:
                begins[partition] = int(future.result().low_watermark)
            except KafkaException as error:
                found = client_error(error, f"cannot delete the processed records of {partition}")
                if error.args[0].code() == _NO_RIGHT:
                    refused = refused or found
                else:
                    failed = failed or found
        return Deleted(begins, refused, failed)
