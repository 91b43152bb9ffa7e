"""Confluent's Avro serializers, with their own registry client against our registry and their own Kafka client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Message
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from meshport.ports.subscriber import Subscriber
from tests.connections import CONNECTIONS
from tests.interop.orders import ORDER, ORDER_PORT, Published, order
from tests.interop.plain import headers_of, read_all, write
from tests.mesh_session import Mesh

pytestmark = pytest.mark.kafka


@pytest.fixture
def client(mesh: Mesh) -> Iterator[SchemaRegistryClient]:
    """A client that has seen nothing yet."""
    with SchemaRegistryClient({"url": mesh.url}) as client:
        yield client


def value_of(topic: str, headers: Any = None) -> SerializationContext:
    """Where a value is written or read."""
    return SerializationContext(topic, MessageField.VALUE, headers)


def decoded(message: Message, deserialize: AvroDeserializer) -> Any:
    """The record of a message, as a Confluent consumer gets it."""
    return deserialize(message.value(), value_of(message.topic() or "", message.headers()))


def test_the_deserializer_reads_every_record(orders: Published, client: SchemaRegistryClient) -> None:
    """All ten fields of all records, and the keys, are what was published by library and command line."""
    deserialize = AvroDeserializer(client)
    messages = read_all(orders.binding.bootstrap_servers, orders.binding.topic)
    found = {headers_of(each)["ce_id"].decode(): decoded(each, deserialize) for each in messages}
    assert found == orders.records
    assert len(messages) == len(orders.records)
    for message in messages:
        assert (message.key() or b"").decode() == decoded(message, deserialize)["customer"]


def test_the_deserializer_reads_tombstones(ledger: Published, client: SchemaRegistryClient) -> None:
    """A retracted row is a key with a null value, which Confluent's deserializer returns as None."""
    deserialize = AvroDeserializer(client)
    messages = read_all(ledger.binding.bootstrap_servers, ledger.binding.topic)
    found = {headers_of(each)["ce_id"].decode(): decoded(each, deserialize) for each in messages}
    assert found == ledger.records
    assert [each.key() for each in messages if each.value() is None] == [b"order-1"]


def test_the_deserializer_resolves_into_a_readers_schema(orders: Published, client: SchemaRegistryClient) -> None:
    """A consumer that wants two fields of the record and one of its own gets them."""
    kept = [each for each in ORDER["fields"] if each["name"] in {"order_id", "amount"}]
    wanted = {**ORDER, "fields": [*kept, {"name": "channel", "type": "string", "default": "shop"}]}
    deserialize = AvroDeserializer(client, json.dumps(wanted))
    messages = read_all(orders.binding.bootstrap_servers, orders.binding.topic)
    found = sorted(decoded(each, deserialize)["order_id"] for each in messages)
    assert found == sorted(str(each["order_id"]) for each in orders.records.values() if each)
    assert decoded(messages[0], deserialize).keys() == {"order_id", "amount", "channel"}


def test_a_products_contract_registers_as_itself(orders: Published, client: SchemaRegistryClient) -> None:
    """The schema that a product has already is answered with its id, as an auto-registering serializer needs it."""
    subject, text = orders.binding.subject, orders.binding.schema_text
    assert subject == f"{orders.binding.topic}-value"
    assert client.register_schema(subject, Schema(text, "AVRO")) == orders.binding.schema_id
    value = AvroSerializer(client, text)(order(0), value_of(orders.binding.topic))
    assert value is not None
    assert int.from_bytes(value[1:5]) == orders.binding.schema_id
    assert client.get_versions(subject) == [1]


def test_a_producer_cannot_change_a_products_contract(orders: Published, client: SchemaRegistryClient) -> None:
    """AvroSerializer with another schema and `auto.register.schemas`, its default, gets an error that names the product."""
    more = {**ORDER, "fields": [*ORDER["fields"], {"name": "coupon", "type": ["null", "string"], "default": None}]}
    with pytest.raises((SchemaRegistryError, SerializationError)) as refused:
        AvroSerializer(client, json.dumps(more))(order(0), value_of(orders.binding.topic))
    assert "is the contract of the data product" in str(refused.value)
    assert "meshport apply" in str(refused.value)
    assert client.get_versions(orders.binding.subject) == [1]


@pytest.mark.parametrize("form", ["prefix", "header"])
def test_we_read_what_the_serializer_writes(mesh: Mesh, client: SchemaRegistryClient, form: str) -> None:
    """AvroSerializer, in both of its forms, and a plain producer with `ce_` headers make events of the port."""
    binding = mesh.product(ORDER, name="orders", **ORDER_PORT)
    conf: dict[str, Any] = {"auto.register.schemas": False, "use.latest.version": True}
    if form == "header":
        conf["schema.id.serializer"] = header_schema_id_serializer
    headers: list[Any] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"/elsewhere"),
        ("ce_type", binding.type.encode()),
        ("ce_time", b"2026-03-01T13:00:00+01:00"),
        ("content-type", b"application/avro"),
    ]
    value = AvroSerializer(client, binding.schema_text, conf=conf)(order(7), value_of(binding.topic, headers))
    write(binding.bootstrap_servers, binding.topic, b"k", value, headers)
    with Subscriber(binding.address, mesh.registry, kafka=CONNECTIONS) as subscriber:
        event = next(iter(subscriber))
    assert (event.id, event.source, event.key, event.data) == ("1", "/elsewhere", b"k", order(7))
    assert event.time == order(0)["placed_at"]
