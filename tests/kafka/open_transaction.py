"""A transaction that is open when its broker is killed, and a committed reader behind it."""

from __future__ import annotations

from confluent_kafka import Consumer, Producer

from meshport.kafka.config import KafkaConfig
from tests.waiting import PATIENCE_S


def leave_open(kafka: KafkaConfig, topic: str) -> Producer:
    """Begin a transaction with a message in a topic of one partition; it is never ended. Return its producer."""
    never = Producer(_settings(kafka) | {"transactional.id": "never ended", "transaction.timeout.ms": 1000})
    never.init_transactions(PATIENCE_S)
    never.begin_transaction()
    never.produce(topic, b"aborted")
    assert never.flush(PATIENCE_S) == 0
    return never


def read_after(kafka: KafkaConfig, topic: str) -> list[bytes | None]:
    """Publish a message after that transaction, and return what a committed reader of the topic is given first."""
    after = Producer(_settings(kafka))
    after.produce(topic, b"after")
    assert after.flush(PATIENCE_S) == 0
    reader = Consumer(_settings(kafka) | {"group.id": "reader", "auto.offset.reset": "earliest"})
    reader.subscribe([topic])
    try:
        return [each.value() for each in reader.consume(1, PATIENCE_S)]
    finally:
        reader.close()


def _settings(kafka: KafkaConfig) -> dict[str, object]:
    return kafka.client_properties({}) | {"log_level": 0}
