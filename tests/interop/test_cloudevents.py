"""The cloudevents SDK with a format of Avro that a stranger would write: fastavro and Confluent's registry client."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, from_kafka, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from meshport.codec.jsonform import to_json
from meshport.event import Event
from meshport.ports.replay import Replay
from meshport.ports.subscriber import Subscriber
from tests.connections import CONNECTIONS
from tests.interop.orders import ORDER, ORDER_PORT, Published, order, run
from tests.interop.plain import headers_of, read_all, write
from tests.mesh_session import Mesh

pytestmark = pytest.mark.kafka
WHEN = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


class AvroFormat:
    """Avro in Confluent's wire format, its schemas asked for by id."""

    def __init__(self, client: SchemaRegistryClient, topic: str) -> None:
        self._client = client
        self._topic = topic

    def read_data(self, body: bytes | None, _content_type: str | None) -> Any:
        """The record of a value."""
        if body is None:
            return None
        text = self._client.get_schema(int.from_bytes(body[1:5])).schema_str
        return fastavro.schemaless_reader(io.BytesIO(body[5:]), json.loads(text or ""), None)

    def write_data(self, data: Any, _content_type: str | None) -> bytes:
        """The value of a record."""
        conf = {"auto.register.schemas": False, "use.latest.version": True}
        serialize = AvroSerializer(self._client, json.dumps(ORDER), conf=conf)
        return serialize(data, SerializationContext(self._topic, MessageField.VALUE)) or b""

    def read(self, _factory: Any, _data: Any) -> Any:
        """Structured mode, which is JSON here."""
        raise NotImplementedError

    def write(self, _event: Any) -> bytes:
        """Structured mode, which is JSON here."""
        raise NotImplementedError

    def get_content_type(self) -> str:
        """Of structured mode."""
        return "application/avro"


@pytest.fixture
def client(mesh: Mesh) -> Iterator[SchemaRegistryClient]:
    """Confluent's client of our registry."""
    with SchemaRegistryClient({"url": mesh.url}) as client:
        yield client


def by_id(mesh: Mesh, published: Published) -> dict[str, Event]:
    """The events of a port as we read them."""
    with Replay(published.binding.address, mesh.registry, kafka=CONNECTIONS) as replay:
        return {each.id: each for each in replay.history()}


def test_binary_mode_has_our_attributes_and_record(mesh: Mesh, orders: Published, client: SchemaRegistryClient) -> None:
    """Each message off the topic is, for the SDK, an event with the attributes and the data that we read."""
    ours = by_id(mesh, orders)
    avro = AvroFormat(client, orders.binding.topic)
    messages = read_all(orders.binding.bootstrap_servers, orders.binding.topic)
    for message in messages:
        # The SDK makes a `partitionkey` of the message's key, which the specification forbids; hence no key here.
        for read in (from_binary, from_kafka):
            theirs = read(KafkaMessage(headers_of(message), None, message.value() or b""), avro)
            found = ours[theirs.get_id()]
            assert theirs.get_attributes() == found.attributes()
            assert theirs.get_data() == found.data == orders.records[theirs.get_id()]
    assert {headers_of(each)["ce_id"].decode() for each in messages} == orders.records.keys()


def test_a_tombstone_is_an_event_without_data(mesh: Mesh, ledger: Published, client: SchemaRegistryClient) -> None:
    """A retraction off the topic has attributes and no data for the SDK."""
    ours = by_id(mesh, ledger)
    messages = read_all(ledger.binding.bootstrap_servers, ledger.binding.topic)
    (gone,) = (each for each in messages if each.value() is None)
    theirs = from_binary(KafkaMessage(headers_of(gone), None, None), AvroFormat(client, ledger.binding.topic))  # type: ignore[arg-type]  # null in Kafka
    assert theirs.get_attributes() == ours[theirs.get_id()].attributes()
    assert theirs.get_data() is None


def test_lines_of_the_command_line_are_structured_events(mesh: Mesh, orders: Published) -> None:
    """Every line of `meshport tail --json` is an event in CloudEvents' JSON format, the record under `data`."""
    arguments = ["tail", str(orders.binding.address), "--from-beginning", "--until-end", "--json"]
    lines = run([*arguments, "--registry", mesh.url]).splitlines()
    ours = by_id(mesh, orders)
    found = [JSONFormat().read(None, line) for line in lines]
    assert {each.get_id(): each.get_data() for each in found} == {
        id: to_json(record) for id, record in orders.records.items()
    }
    for each in found:
        attributes = {name: text for name, text in each.get_attributes().items() if not name.startswith("kafka")}
        assert attributes == ours[each.get_id()].attributes()


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_we_subscribe_to_what_the_sdk_writes(mesh: Mesh, client: SchemaRegistryClient, mode: str) -> None:
    """An event made by the SDK and sent by a plain producer reaches a subscriber with its attributes and record."""
    binding = mesh.product(ORDER, name="orders", **ORDER_PORT)
    attributes = {
        "id": "theirs-1",
        "source": "/elsewhere",
        "type": binding.type,
        "time": WHEN,
        "subject": "größe",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
    if mode == "binary":
        event = CloudEvent({**attributes, "datacontenttype": "application/avro"}, order(4))
        message = to_binary(event, AvroFormat(client, binding.topic))
    else:
        schema = f"urn:meshport:schema:{binding.fingerprint}"
        event = CloudEvent(
            {**attributes, "datacontenttype": "application/json", "dataschema": schema}, to_json(order(4))
        )
        message = to_structured(event, JSONFormat())
    write(binding.bootstrap_servers, binding.topic, b"k", message.value, list(message.headers.items()))
    with Subscriber(binding.address, mesh.registry, kafka=CONNECTIONS) as subscriber:
        ours = next(iter(subscriber))
    assert ours.attributes() == event.get_attributes()
    assert (ours.key, ours.data) == (b"k", order(4))
