"""Conformance in both directions with the cloudevents SDK and with Confluent's Avro serializer and deserializer."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, from_structured, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka.schema_registry import (
    Schema as Theirs,
)
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    header_schema_id_serializer,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from hypothesis import given
from hypothesis import strategies as st

from meshport.codec import codec_for
from meshport.codec.jsonform import to_json
from meshport.event import DATA_SCHEMA, Event, EventReader, EventWriter, new_id
from meshport.event.attributes import CORE
from meshport.schema import Schema
from tests.codec.samples import PLAY, STARTED, play
from tests.event.registry import Known

SOURCE: Final = "mesh://player/plays/events@1"
TYPE: Final = "player.plays.played"
WRITER: Final = EventWriter(source=SOURCE, type=TYPE, codec=codec_for(PLAY), schema_id=7)

_TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=40)
_MOMENTS = st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2200, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-8))]),
)
_EXTENSIONS = st.dictionaries(
    st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20).filter(
        lambda name: name not in CORE | {"partitionkey"}
    ),
    _TEXT,
    max_size=3,
)


class AvroFormat:
    """Avro in Confluent's wire format, as a plugin of the SDK: an implementation of CloudEvents that is not ours."""

    def write_data(self, data: Any, _content_type: str | None) -> bytes:
        """The value of a Kafka message."""
        return codec_for(PLAY).encode(data, b"\0\0\0\0\7")

    def read_data(self, body: bytes | None, _content_type: str | None) -> Any:
        """The record of a Kafka message."""
        return None if body is None else codec_for(PLAY).decode(body, 5)

    def read(self, _factory: Any, _data: Any) -> Any:
        """Structured mode, which is not tried with Avro."""
        raise NotImplementedError

    def write(self, _event: Any) -> bytes:
        """Structured mode, which is not tried with Avro."""
        raise NotImplementedError

    def get_content_type(self) -> str:
        """Of structured mode."""
        return "application/avro"


@given(_TEXT, _MOMENTS, _MOMENTS, st.none() | _TEXT, _EXTENSIONS)
def test_the_sdk_reads_what_we_write(
    identity: str, time: datetime, recorded: datetime, subject: str | None, extensions: dict[str, str]
) -> None:
    """Every attribute and the record come out of the SDK as they went in, and out of our own reader alike."""
    value, headers = WRITER.message(
        play(), id=identity, time=time, recorded_time=recorded, subject=subject, extensions=extensions
    )
    message = KafkaMessage(headers=dict(headers), key=None, value=value)
    theirs = from_binary(message, AvroFormat())
    ours = EventReader(Known(id7=PLAY)).read(None, value, list(headers))
    assert theirs.get_attributes() == ours.attributes()
    assert theirs.get_data() == ours.data == play()
    assert (ours.id, ours.time, ours.recorded_time, ours.subject) == (identity, time, recorded, subject)
    assert ours.extensions == extensions


@given(_TEXT, _MOMENTS, st.none() | _TEXT, _EXTENSIONS)
def test_we_read_what_the_sdk_writes(
    identity: str, time: datetime, subject: str | None, extensions: dict[str, str]
) -> None:
    """Events of the SDK, binary and structured, are read with every attribute and the record."""
    attributes: dict[str, Any] = {
        "id": identity,
        "source": "/elsewhere",
        "type": "a.b",
        "time": time,
        "dataschema": f"{DATA_SCHEMA}{PLAY.fingerprint}",
        **extensions,
    } | ({} if subject is None else {"subject": subject})
    reader = EventReader(Known(id7=PLAY))
    binary = CloudEvent({**attributes, "datacontenttype": "application/avro"}, play())
    message = to_binary(binary, AvroFormat())
    ours = reader.read(None, message.value, list(message.headers.items()))
    assert ours.attributes() == binary.get_attributes() | {"specversion": "1.0"}
    assert ours.data == play()
    structured = CloudEvent({**attributes, "datacontenttype": "application/json"}, to_json(play()))
    message = to_structured(structured, JSONFormat())
    ours = reader.read(None, message.value, list(message.headers.items()))
    assert ours.attributes() == structured.get_attributes() | {"specversion": "1.0"}
    assert ours.data == play()


def test_the_sdk_reads_our_json() -> None:
    """`as_dict` is CloudEvents' JSON format with further members: the SDK reads it as a structured event."""
    value, headers = WRITER.message(play(), id="1", time=STARTED, subject="s")
    event = EventReader(Known(id7=PLAY)).read(b"k", value, list(headers), "topic", 3, 9, 0)
    shown = event.as_dict()
    theirs = from_structured(KafkaMessage({}, None, json.dumps(shown).encode()), JSONFormat())
    assert theirs.get_data() == to_json(play())
    assert theirs.get_time() == STARTED
    assert theirs.get_extension("kafkaoffset") == 9
    assert (theirs.get_id(), theirs.get_subject(), theirs.get_type()) == ("1", "s", TYPE)


def test_a_tombstone_is_a_tombstone_for_the_sdk() -> None:
    """Without a value there is neither content type nor schema, and both sides read no data."""
    value, headers = WRITER.tombstone(id="1", time=STARTED)
    assert value is None
    assert not {"content-type", "ce_dataschema"} & {name for name, _ in headers}
    theirs = from_binary(KafkaMessage(dict(headers), None, value), AvroFormat())  # type: ignore[arg-type]  # null in Kafka
    ours = EventReader(Known()).read(b"k", value, list(headers))
    assert theirs.get_attributes() == ours.attributes()
    assert theirs.get_data() is ours.data is None
    assert ours.is_tombstone


@pytest.fixture
def confluent() -> Iterator[SchemaRegistryClient]:
    """Confluent's client of its own in-process registry."""
    with SchemaRegistryClient.new_client({"url": "mock://"}) as client:
        yield client


def _context(headers: list[Any]) -> SerializationContext:
    return SerializationContext("player.plays.events.v1", MessageField.VALUE, headers)


def _confluent_schema(schema: Schema) -> Any:
    return Theirs(schema.text, "AVRO")


def test_confluents_deserializer_reads_what_we_write(confluent: SchemaRegistryClient) -> None:
    """AvroDeserializer, which knows nothing of us, gives the record."""
    schema_id = confluent.register_schema("player.plays.events.v1-value", _confluent_schema(PLAY))
    writer = EventWriter(source=SOURCE, type=TYPE, codec=codec_for(PLAY), schema_id=schema_id)
    value, headers = writer.message(play(), id=new_id(), time=STARTED)
    assert AvroDeserializer(confluent)(value, _context(list(headers))) == play()


def test_we_read_what_confluents_serializer_writes(confluent: SchemaRegistryClient) -> None:
    """Its prefix form and its header form are read, whether the event names its schema or not."""
    named = [("ce_dataschema", f"https://registry.example/schemas/{PLAY.fingerprint}".encode())]
    for conf in ({}, {"schema.id.serializer": header_schema_id_serializer}):
        serializer = AvroSerializer(confluent, PLAY.text, conf=conf)
        for also in ([], named):
            headers: list[Any] = []
            value = serializer(play(), _context(headers))
            assert value is not None
            event = EventReader(_Confluent(confluent)).read(None, value, [*_attributes(), *also, *headers])
            assert event.data == play()


class _Confluent:
    """A schema source on Confluent's client."""

    def __init__(self, client: SchemaRegistryClient) -> None:
        self._client = client

    def by_id(self, schema_id: int) -> Schema:
        return Schema(str(self._client.get_schema(schema_id).schema_str))

    def by_fingerprint(self, fingerprint: str) -> Schema:
        assert fingerprint == PLAY.fingerprint
        return PLAY

    def by_guid(self, guid: Any) -> Schema:
        return Schema(str(self._client.get_schema_by_guid(str(guid)).schema_str))


def _attributes() -> list[tuple[str, bytes]]:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"/elsewhere"),
        ("ce_type", b"a.b"),
        ("content-type", b"application/avro"),
    ]


def test_events_are_equal_wherever_they_were_read() -> None:
    """Equality is of what the event says; a mark of a replay makes it another."""
    value, headers = WRITER.message(play(), id="1", time=STARTED)
    reader = EventReader(Known(id7=PLAY))
    first, second = (reader.read(b"k", value, list(headers), "t", 0, offset) for offset in (1, 2))
    assert isinstance(first, Event)
    assert first == second
    assert first.marked(replayid="r") != second
    assert first.marked(replayid="r").as_dict()["replayid"] == "r"
