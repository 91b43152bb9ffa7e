"""Kafka as a program uses it that knows nothing of Meshport: Confluent's client, a topic's name, nothing else."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from tests.connections import client_settings
from tests.waiting import PATIENCE_S, patiently


def read_all(bootstrap_servers: str, topic: str) -> list[Message]:
    """Every message of a topic."""
    consumer = Consumer(
        {
            **client_settings(bootstrap_servers),
            "group.id": "plain",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        found: list[Message] = []
        ended: set[int | None] = set()
        for _ in patiently(f"the end of {topic}"):
            if len(ended) == len(partitions):
                break
            message = consumer.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is None:
                found.append(message)
                continue
            assert error.code() == KafkaError._PARTITION_EOF, error
            ended.add(message.partition())
        return found
    finally:
        consumer.close()


def write(bootstrap_servers: str, topic: str, key: bytes | None, value: bytes | None, headers: Any) -> None:
    """One message, stored."""
    failures: list[Any] = []
    producer = Producer(client_settings(bootstrap_servers))
    producer.produce(
        topic, value, key, headers=headers, on_delivery=lambda error, _: failures.append(error) if error else None
    )
    assert producer.flush(PATIENCE_S) == 0
    assert not failures


def headers_of(message: Message) -> dict[str, bytes]:
    """A message's headers as the cloudevents SDK takes them."""
    headers: Any = message.headers() or ()  # the stub has every form in which headers may be given to a producer
    return dict(headers)
