"""Publishing and reading, one by one: beside the naive pipeline, and beside what codec and client allow together.

The naive pipeline is what one writes from the documentation: a cloudevents SDK event, Confluent's AvroSerializer, the
SDK's Kafka binding, a Producer; and back. It gets the same broker, records, headers and client settings as ours, so that
the ratio tells of the code between and of nothing else. Batches of columns stand beside the same, and beside events one
by one. The ceiling is 1 / (1 / client + 1 / codec): bytes encoded before go through the same client with the same headers,
made before too, and the codec runs alone. `event codec` is the codec with the CloudEvents headers that every event needs
made around it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import platformdirs
import pyarrow as pa
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.columnar import arrow_schema
from meshport.event import EventWriter, new_id
from meshport.local.cluster import open_cluster
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import Subscriber
from meshport.schema import parse_schema
from tests.bench.figures import Figure
from tests.mesh_session import Mesh, open_test_mesh

EVENTS: Final = 60_000
ROUNDS: Final = 5

# The settings of meshport.kafka that bear on speed; given to the naive pipeline and to the ceiling too.
PRODUCER: Final = {
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 5,
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 131_072,
    "delivery.report.only.error": True,
    "log_level": 0,
}
CONSUMER: Final = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "fetch.queue.backoff.ms": 10,
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 16_384,
    "fetch.wait.max.ms": 50,
    "log_level": 0,
}
ORDER: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Order",
    "namespace": "bench",
    "fields": [
        {"name": "order_id", "type": "string"},
        {"name": "customer", "type": "string"},
        {"name": "product", "type": "string"},
        {"name": "cents", "type": "long"},
        {"name": "quantity", "type": "int"},
        {"name": "discount", "type": "double"},
        {"name": "gift", "type": "boolean"},
        {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["NEW", "PAID", "SENT"]}},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "ordered_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
_START: Final = datetime(2026, 3, 1, tzinfo=UTC)


def orders(count: int) -> list[dict[str, Any]]:
    """The records that every way of publishing gets: ten fields, about 75 bytes of Avro, 1,000 keys."""
    return [
        {
            "order_id": f"o-{number:09d}",
            "customer": f"customer-{number % 1000:04d}",
            "product": f"sku-{number % 313:05d}",
            "cents": number * 37 % 100_000,
            "quantity": number % 7 + 1,
            "discount": number % 20 / 100,
            "gift": number % 3 == 0,
            "status": ("NEW", "PAID", "SENT")[number % 3],
            "note": None if number % 4 else "leave it at the door",
            "ordered_at": _START + timedelta(milliseconds=number * 40),
        }
        for number in range(count)
    ]


def figures() -> Iterator[Figure]:
    """The figures `publish`, `subscribe` and their ceilings, measured in one run on one embedded broker."""
    cache = platformdirs.user_cache_path("meshport")
    with (
        tempfile.TemporaryDirectory() as folder,
        open_cluster(None, cache_dir=cache) as cluster,
        open_test_mesh(Path(folder), cluster.bootstrap_servers) as mesh,
    ):
        yield from _publishing(mesh, orders(EVENTS))
        yield from _reading(mesh, orders(EVENTS))


def _publishing(mesh: Mesh, records: list[dict[str, Any]]) -> Iterator[Figure]:
    binding = mesh.product(ORDER, key="customer", time="ordered_at")
    codec = codec_for(parse_schema(binding.schema_text))
    publisher = Publisher(binding.address, mesh.registry)
    table = pa.Table.from_pylist(records, schema=arrow_schema(publisher.schema))
    naive = _NaivePublisher(binding, mesh.url)
    writer = EventWriter(source=str(binding.address), type=binding.type, codec=codec, schema_id=binding.schema_id)
    messages = [encoded(writer, record) for record in records]
    client = Producer({"bootstrap.servers": binding.bootstrap_servers, **PRODUCER})
    rates = rates_in_turns(
        len(records),
        {
            "ours": lambda: each_of(publisher.publish, records, publisher.flush),
            "batch": lambda: each_of(publisher.publish_batch, [table], publisher.flush),
            "naive": lambda: each_of(naive.publish, records, naive.flush),
            "client": lambda: produce_all(client, binding.topic, messages),
            "codec": lambda: each_of(codec.encode, records, lambda: None),
            "event": lambda: each_of(
                lambda record: writer.plain(record, b"an-id", record["ordered_at"]), records, lambda: None
            ),
        },
    )
    yield from _told("publish", rates)
    yield from _told_batch("publish batch", rates)


def _reading(mesh: Mesh, records: list[dict[str, Any]]) -> Iterator[Figure]:
    binding = mesh.product(ORDER, key="customer", time="ordered_at")
    with Publisher(binding.address, mesh.registry) as publisher:
        for record in records:
            publisher.publish(record)
    codec = codec_for(parse_schema(binding.schema_text))
    bodies = [codec.encode(record) for record in records]
    rates = rates_in_turns(
        len(records),
        {
            "ours": lambda: _subscribe(mesh, binding, len(records)),
            "batch": lambda: _read_batches(mesh, binding, len(records)),
            "naive": lambda: _naive_read(binding, mesh.url, len(records)),
            "client": lambda: _consume(binding, len(records)),
            "codec": lambda: each_of(codec.decode, bodies, lambda: None),
        },
    )
    yield from _told("subscribe", rates)
    yield from _told_batch("read batch", rates)


def rates_in_turns(count: int, ways: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Return the events a second of each way, round by round; the ways take turns, so that a slow minute hits all alike."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # connections, generated code and caches are there before anything is timed
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rates[name].append(count / way())
    return rates


def encoded(writer: EventWriter, record: dict[str, Any]) -> tuple[bytes, bytes, Any]:
    """Return value, key and headers of the event of an order."""
    value, headers = writer.message(record, id=new_id(), time=record["ordered_at"])
    return value, record["customer"].encode(), headers


def _told(figure: str, rates: dict[str, list[float]]) -> Iterator[Figure]:
    middle = {name: statistics.median(each) for name, each in rates.items()}
    allowed = 1 / (1 / middle["client"] + 1 / middle["codec"])
    yield Figure(figure, middle["ours"], "events/s", "naive", middle["naive"])
    yield Figure(figure, middle["ours"], "events/s", "codec and client", allowed)
    if "event" in middle:
        whole = 1 / (1 / middle["client"] + 1 / middle["event"])
        yield Figure(figure, middle["ours"], "events/s", "event codec and client", whole)
    yield Figure(f"{figure} codec", middle["codec"], "events/s", None, None)
    yield Figure(f"{figure} client", middle["client"], "events/s", None, None)


def _told_batch(figure: str, rates: dict[str, list[float]]) -> Iterator[Figure]:
    middle = {name: statistics.median(each) for name, each in rates.items()}
    for peer, name in (("naive", "naive"), ("one by one", "ours"), ("client", "client")):
        yield Figure(figure, middle["batch"], "events/s", peer, middle[name])


def each_of(do: Callable[[Any], Any], items: list[Any], finish: Callable[[], Any]) -> float:
    """Return the seconds that it takes to do something with each item, and to finish."""
    began = time.perf_counter()
    for item in items:
        do(item)
    finish()
    return time.perf_counter() - began


def produce_all(client: Producer, topic: str, messages: list[tuple[bytes, bytes, Any]]) -> float:
    """Return the seconds in which the client alone stores messages that were made before."""
    began = time.perf_counter()
    produce = client.produce
    for number, (value, key, headers) in enumerate(messages):
        while True:
            try:
                produce(topic, value, key, headers=headers, on_delivery=_undelivered)
            except BufferError:
                client.poll(0.05)
            else:
                break
        if number % 500 == 0:
            client.poll(0)
    client.flush()
    return time.perf_counter() - began


def _undelivered(error: Any, _message: Any) -> None:
    """Told of failures only; a pipeline without it does not know what it has stored."""
    assert error is None, error


class _NaivePublisher:
    def __init__(self, binding: Binding, url: str) -> None:
        registry = SchemaRegistryClient({"url": url})
        # The serializer's fastest way: it looks the schema up once; use.schema.id and use.latest.version cost it thrice that.
        conf = {"auto.register.schemas": False}
        self._serialize = AvroSerializer(registry, binding.schema_text, conf=conf)
        self._context = SerializationContext(binding.topic, MessageField.VALUE)
        self._producer = Producer({"bootstrap.servers": binding.bootstrap_servers, **PRODUCER})
        self._binding = binding
        self._count = 0

    def publish(self, record: dict[str, Any]) -> None:
        binding = self._binding
        event = CloudEvent(
            {
                "id": f"event-{self._count}",
                "source": str(binding.address),
                "type": binding.type,
                "specversion": "1.0",
                "time": record["ordered_at"],
                "recordedtime": datetime.now(UTC).isoformat(),
                "datacontenttype": "application/avro",
                "dataschema": f"urn:meshport:schema:{binding.fingerprint}",
            },
            record,
        )
        message = to_binary(event, _Avro(self._serialize, self._context))
        while True:
            try:
                self._producer.produce(
                    binding.topic,
                    message.value,
                    record["customer"],
                    headers=dict(message.headers),
                    on_delivery=_undelivered,
                )
            except BufferError:
                self._producer.poll(0.05)
            else:
                break
        self._count += 1
        if self._count % 500 == 0:
            self._producer.poll(0)

    def flush(self) -> None:
        self._producer.flush()


class _Avro:
    """Confluent's serializers as a format of the cloudevents SDK."""

    def __init__(self, coder: Any, context: SerializationContext) -> None:
        self._code = coder
        self._context = context

    def write(self, event: Any) -> bytes:
        raise NotImplementedError

    def read(self, event_factory: Any, data: Any) -> Any:
        raise NotImplementedError

    def write_data(self, data: Any, datacontenttype: str | None) -> bytes:  # noqa: ARG002 - the SDK's protocol
        return bytes(self._code(data, self._context))

    def read_data(self, body: bytes, datacontenttype: str | None) -> Any:  # noqa: ARG002 - the SDK's protocol
        return self._code(body, self._context)

    def get_content_type(self) -> str:
        return "application/avro"


def _subscribe(mesh: Mesh, binding: Binding, count: int) -> float:
    with Subscriber(binding.address, mesh.registry) as subscriber:
        events = iter(subscriber)
        next(events)
        began = time.perf_counter()
        for _ in range(count - 1):
            next(events)
        return time.perf_counter() - began


def _read_batches(mesh: Mesh, binding: Binding, count: int) -> float:
    with Subscriber(binding.address, mesh.registry) as subscriber:
        batches = filter(len, subscriber.arrow_batches())
        before = len(next(batches))
        began = time.perf_counter()
        left = count - before
        while left:
            left -= len(next(batches))
        # As if the first batch had been read in the time of the others.
        return (time.perf_counter() - began) * count / (count - before)


def _consumer(binding: Binding) -> Consumer:
    consumer = Consumer(
        {"bootstrap.servers": binding.bootstrap_servers, "group.id": f"bench-{time.time_ns()}", **CONSUMER}
    )
    consumer.subscribe([binding.topic])
    return consumer


def _naive_read(binding: Binding, url: str, count: int) -> float:
    consumer = _consumer(binding)
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": url}))
    form = _Avro(deserialize, SerializationContext(binding.topic, MessageField.VALUE))

    def one() -> None:
        message = None
        while message is None:
            message = consumer.poll(1.0)
        headers: Any = dict(message.headers() or ())
        body: Any = message.value()
        from_binary(KafkaMessage(headers, message.key(), body), form, CloudEvent)

    one()
    began = time.perf_counter()
    for _ in range(count - 1):
        one()
    took = time.perf_counter() - began
    consumer.close()
    return took


def _consume(binding: Binding, count: int) -> float:
    consumer = _consumer(binding)
    first = consumer.poll(30)
    assert first is not None
    left = count - 1
    began = time.perf_counter()
    while left:
        head = consumer.poll(1.0)
        for message in [head, *consumer.consume(2000, 0.005)] if head else ():
            message.key()
            message.value()
            message.headers()
            left -= 1
    took = time.perf_counter() - began
    consumer.close()
    return took
