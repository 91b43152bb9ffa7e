"""A topic as other teams have it: filled by Confluent's serializer, without CloudEvents, its schemas registered by it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from meshport.binding import Binding
from meshport.kafka.admin import Admin
from tests.connections import client_settings
from tests.mesh_session import READING, Mesh


def foreign_topic(mesh: Mesh, *, partitions: int = 4, config: Mapping[str, str] | None = None) -> str:
    """Make a topic of a name that no other test has."""
    name = f"Foreign_{uuid4().hex[:8]}"
    settings = {"message.timestamp.after.max.ms": str(2**62), "retention.ms": "-1"} | dict(config or {})
    Admin(mesh.kafka).ensure_topic(name, partitions, settings)
    return name


def write(
    mesh: Mesh,
    topic: str,
    records: Iterable[dict[str, Any] | None],
    *,
    form: dict[str, Any] | None = None,
    key: str = "sensor",
    timestamp_ms: int | None = None,
    **settings: Any,
) -> None:
    """Write records as a team with Confluent's client does; a record that is None deletes the row of the key `s0`."""
    context = SerializationContext(topic, MessageField.VALUE)
    # Java's client is the usual writer; its partitioner is librdkafka's `murmur2_random`.
    producer = Producer({**client_settings(mesh.bootstrap_servers), "partitioner": "murmur2_random"} | settings)
    when: dict[str, Any] = {} if timestamp_ms is None else {"timestamp": timestamp_ms}
    with SchemaRegistryClient({"url": mesh.url}) as registry:
        serialize = AvroSerializer(registry, json.dumps(form or READING))
        for record in records:
            value = None if record is None else serialize(record, context)
            producer.produce(topic, value, b"s0" if record is None else str(record[key]).encode(), **when)
    assert producer.flush(30) == 0


def adopted(mesh: Mesh, topic: str, **port: Any) -> Binding:
    """Register a product that adopts a topic."""
    entry = {"topic": topic, "envelope": "none", "compatibility": "BACKWARD"} | port
    return mesh.product(**entry)


def schema_id(mesh: Mesh, topic: str) -> int:
    """Return the id of the newest schema of a topic's values."""
    with SchemaRegistryClient({"url": mesh.url}) as registry:
        return int(registry.get_latest_version(f"{topic}-value").schema_id or 0)


def deserialized(mesh: Mesh, topic: str, value: bytes) -> Any:
    """Return the record of a value, as Confluent's deserializer reads it."""
    with SchemaRegistryClient({"url": mesh.url}) as registry:
        return AvroDeserializer(registry)(value, SerializationContext(topic, MessageField.VALUE))
