"""Codec and event layer beside fastavro, the cloudevents SDK and Confluent's serializers.

Every figure is the best of seven rounds in this process, on one core; the peer
of each is measured in the same round, so that a busy machine slows both.
"""

from __future__ import annotations

import io
import timeit
from collections.abc import Callable, Iterator
from typing import Any, Final

import fastavro
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka.schema_registry import Schema as ConfluentSchema
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from meshport.codec import ResolvingDecoder, codec_for
from meshport.event import EventReader, EventWriter, Headers
from tests.bench.figures import Figure
from tests.codec.samples import PLAY, PLAY_FORM, STARTED, play, schema
from tests.codec.strategies import parsed
from tests.event.registry import Known

PARSED: Final = parsed(PLAY)

_ROUNDS: Final = 7
_CALLS: Final = 20_000
_CONTEXT: Final = SerializationContext("player.plays.events.v1", MessageField.VALUE, [])


class _ConfluentFormat:
    """Confluent's serializers as the data format of the SDK: the pipeline that a team would build of the two."""

    def __init__(self, serializer: Any, deserializer: Any) -> None:
        self._serializer = serializer
        self._deserializer = deserializer

    def write_data(self, data: Any, _content_type: str | None) -> bytes:
        """The value of a Kafka message."""
        value: bytes = self._serializer(data, _CONTEXT)
        return value

    def read_data(self, body: bytes | None, _content_type: str | None) -> Any:
        """The record of a Kafka message."""
        return self._deserializer(body, _CONTEXT)


def _figure(name: str, ours: Callable[[], Any], peer: str, theirs: Callable[[], Any]) -> Figure:
    """Calls a second of both."""
    best, best_peer = float("inf"), float("inf")
    for _ in range(_ROUNDS):
        best = min(best, timeit.timeit(ours, number=_CALLS))
        best_peer = min(best_peer, timeit.timeit(theirs, number=_CALLS))
    return Figure(name, _CALLS / best, "calls/s", peer, _CALLS / best_peer)


def figures() -> Iterator[Figure]:
    """Codec and event layer, call by call."""
    codec = codec_for(PLAY)
    record = play()
    encode, decode = codec.encoder(), codec.decoder()
    body = encode(record, b"")
    reader_form = {**PLAY_FORM, "fields": [{**field} for field in PLAY_FORM["fields"] if field["name"] != "tags"]}
    reader = schema(reader_form)
    resolve = ResolvingDecoder(PLAY, reader).decode

    def write_fastavro() -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, PARSED, record)
        return out.getvalue()

    def read_fastavro(wanted: Any = None) -> Any:
        return fastavro.schemaless_reader(io.BytesIO(body), PARSED, wanted)

    yield _figure("codec: decode", lambda: decode(body, 0), "fastavro", read_fastavro)
    yield _figure("codec: encode", lambda: encode(record, b""), "fastavro", write_fastavro)
    yield _figure("codec: resolve", lambda: resolve(body, 0), "fastavro", lambda: read_fastavro(parsed(reader)))

    writer = EventWriter(source="mesh://player/plays/events@1", type="player.plays.played", codec=codec, schema_id=7)
    value, made = writer.message(record, id="0" * 32, time=STARTED)
    # As a client gives them: objects of their own, equal to the last message's and not the same.
    headers: Headers = [(name.encode().decode(), bytes(bytearray(each))) for name, each in made]
    events = EventReader(Known(id7=PLAY))
    attributes = {
        "source": "mesh://player/plays/events@1",
        "type": "player.plays.played",
        "datacontenttype": "application/avro",
    }
    with SchemaRegistryClient.new_client({"url": "mock://"}) as client:
        client.register_schema("player.plays.events.v1-value", ConfluentSchema(PLAY.text, "AVRO"))
        pipeline = _ConfluentFormat(AvroSerializer(client, PLAY.text), AvroDeserializer(client))

        def write_sdk() -> Any:
            named = {
                **attributes,
                "id": "0" * 32,
                "time": STARTED,
                "dataschema": "urn:x",
                "recordedtime": "2026-01-02T03:04:05Z",
            }
            return to_binary(CloudEvent(named, record), pipeline)  # type: ignore[arg-type]

        message = write_sdk()
        theirs = KafkaMessage(dict(message.headers), None, message.value)
        peer = "cloudevents SDK + AvroSerializer"

        def write() -> Any:
            return writer.message(record, id="0" * 32, time=STARTED)

        def read() -> Any:
            return events.read(b"key", value, headers, "topic", 0, 1, 0)

        yield _figure("event: write", write, peer, write_sdk)
        yield _figure("event: read", read, peer, lambda: from_binary(theirs, pipeline))  # type: ignore[arg-type]
        prefixed = encode(record, b"\0\0\0\0\7")
        yield _figure("event: write, codec alone as peer", write, "codec", lambda: encode(record, b"\0\0\0\0\7"))
        yield _figure("event: read, codec alone as peer", read, "codec", lambda: decode(prefixed, 5))
