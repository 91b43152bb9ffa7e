"""Confluent's own client, unchanged, against the service."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from confluent_kafka.schema_registry import (
    ConfigCompatibilityLevel,
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    ServerConfig,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.registry.schemas import record

V1, V2, BROKEN = record("user"), record("user", "track?"), record("user", "track")
CONTEXT = SerializationContext("plays", MessageField.VALUE)


@pytest.fixture
def client(service: str) -> Iterator[SchemaRegistryClient]:
    """Return a new client for each test, because a client caches."""
    with SchemaRegistryClient({"url": service}) as client:
        yield client


def avro(text: str) -> Schema:
    """Return a schema for the client."""
    return Schema(text, "AVRO")


def code_of(error: pytest.ExceptionInfo[SchemaRegistryError]) -> tuple[int, int]:
    """Return the HTTP status and Confluent's error code."""
    return error.value.http_status_code, error.value.error_code


def test_a_record_goes_through_serializer_and_deserializer(client: SchemaRegistryClient) -> None:
    """AvroSerializer registers a schema, and AvroDeserializer reads the record from the bytes alone."""
    value = AvroSerializer(client, V2)({"user": "ada", "track": None}, CONTEXT)
    assert value is not None
    assert value[:1] == b"\x00"
    assert AvroDeserializer(client)(value, CONTEXT) == {"user": "ada", "track": None}
    assert client.get_subjects() == ["plays-value"]


def test_a_serializer_that_may_not_register_finds_the_latest_version(client: SchemaRegistryClient) -> None:
    """`use.latest.version` and a lookup without registration both find a schema that was registered before."""
    schema_id = client.register_schema("plays-value", avro(V1))
    for conf in ({"use.latest.version": True}, {}):
        value = AvroSerializer(client, V1, conf={"auto.register.schemas": False} | conf)({"user": "ada"}, CONTEXT)
        assert value is not None
        assert int.from_bytes(value[1:5]) == schema_id


def test_an_evolved_schema_reads_older_records(client: SchemaRegistryClient) -> None:
    """A deserializer with a reader schema of its own resolves records of the first version."""
    value = AvroSerializer(client, V1)({"user": "ada"}, CONTEXT)
    client.register_schema("plays-value", avro(V2))
    assert AvroDeserializer(client, V2)(value, CONTEXT) == {"user": "ada", "track": None}


def test_every_call_about_subjects_and_versions(client: SchemaRegistryClient) -> None:
    """Registration, lookup, lists and the schema by id, GUID, version and subject agree."""
    first = client.register_schema("plays-value", avro(V1))
    second = client.register_schema("plays-value", avro(V2), normalize_schemas=True)
    assert client.register_schema_full_response("plays-value", avro(V2)).schema_id == second
    found = client.lookup_schema("plays-value", avro(V2))
    assert (found.schema_id, found.subject, found.version) == (second, "plays-value", 2)
    assert client.get_versions("plays-value") == [1, 2]
    assert client.get_latest_version("plays-value").version == 2
    assert client.get_version("plays-value", 1).schema_id == first
    assert client.get_schema(first).schema_str == client.get_version("plays-value", 1).schema.schema_str
    assert found.guid is not None
    assert json.loads(client.get_schema_by_guid(found.guid).schema_str or "") == json.loads(V2)
    assert client.get_subjects_by_schema_id(first) == ["plays-value"]
    versions = client.get_schema_versions(second)
    assert [(each.subject, each.version) for each in versions] == [("plays-value", 2)]
    assert client.get_schema_types() == ["AVRO"]
    assert client.get_contexts() == ["."]


def test_an_incompatible_schema_is_refused_with_409(client: SchemaRegistryClient) -> None:
    """The subject's level applies to the registration and to both compatibility checks."""
    client.register_schema("plays-value", avro(V1))
    with pytest.raises(SchemaRegistryError) as error:
        client.register_schema("plays-value", avro(BROKEN))
    assert code_of(error) == (409, 409)
    assert "READER_FIELD_MISSING_DEFAULT_VALUE at track" in str(error.value)
    assert client.test_compatibility("plays-value", avro(V2))
    assert not client.test_compatibility("plays-value", avro(BROKEN))
    assert not client.test_compatibility("plays-value", avro(BROKEN), version=1)
    assert not client.test_compatibility_all_versions("plays-value", avro(BROKEN))
    assert client.get_versions("plays-value") == [1]


def test_levels_and_modes(client: SchemaRegistryClient) -> None:
    """Level and mode can be read, set and reset, for the registry and for one subject."""
    assert client.get_compatibility() == "BACKWARD"
    with pytest.raises(SchemaRegistryError) as error:
        client.get_compatibility("plays-value")
    assert code_of(error) == (404, 40408)
    client.set_compatibility("plays-value", "none")
    assert client.get_compatibility("plays-value") == "NONE"
    client.set_config("plays-value", ServerConfig(compatibility=ConfigCompatibilityLevel.FULL))
    assert client.get_config("plays-value").compatibility_level == "FULL"
    assert client.delete_config("plays-value").compatibility_level == "FULL"
    client.set_compatibility(level="FORWARD")
    assert client.get_config().compatibility_level == "FORWARD"
    assert client.get_global_mode() == "READWRITE"
    client.update_mode("plays-value", "READONLY")
    assert client.get_mode("plays-value") == "READONLY"
    with pytest.raises(SchemaRegistryError) as error:
        client.register_schema("plays-value", avro(V1))
    assert code_of(error) == (422, 42205)
    assert client.delete_mode("plays-value") == "READONLY"
    client.update_global_mode("READONLY")
    with pytest.raises(SchemaRegistryError):
        client.register_schema("plays-value", avro(V1))


def test_a_subject_may_hold_any_character(client: SchemaRegistryClient) -> None:
    """A subject with slashes, percent signs, spaces and letters beyond ASCII is returned as it was sent."""
    for subject in ("a/b", "a%2Fb", "a b+c", "größe-value", "a:b?c=d&e"):
        schema_id = client.register_schema(subject, avro(V1))
        assert client.get_latest_version(subject).subject == subject
        assert subject in client.get_subjects_by_schema_id(schema_id)
    assert len(client.get_subjects()) == 5


def test_references_resolve_and_hold_what_they_name(client: SchemaRegistryClient) -> None:
    """A schema may refer to a type of another subject, which then cannot be deleted."""
    client.register_schema("track", avro(record("title", name="mesh.Track")))
    album = '{"type":"record","name":"mesh.Album","fields":[{"name":"first","type":"mesh.Track"}]}'
    reference = [SchemaReference("mesh.Track", "track", 1)]
    client.register_schema("album", Schema(album, "AVRO", reference))
    play = (
        '{"type":"record","name":"mesh.Play","fields":'
        '[{"name":"album","type":"mesh.Album"},{"name":"track","type":"mesh.Track"}]}'
    )
    both = [*reference, SchemaReference("mesh.Album", "album", 1)]
    schema_id = client.register_schema("plays-value", Schema(play, "AVRO", both))
    stored = client.get_schema(schema_id)
    assert stored.references == both
    assert client.get_referenced_by("track", 1) == [client.get_latest_version("album").schema_id, schema_id]
    record_ = {"album": {"first": {"title": "x"}}, "track": {"title": "y"}}
    value = AvroSerializer(client, Schema(play, "AVRO", both))(record_, CONTEXT)
    assert AvroDeserializer(client)(value, CONTEXT) == record_
    with pytest.raises(SchemaRegistryError) as error:
        client.delete_subject("track")
    assert code_of(error) == (422, 42206)
    client.delete_subject("plays-value")
    client.delete_subject("album")
    assert client.delete_subject("track") == [1]


def test_a_reference_that_cannot_be_resolved_is_refused(client: SchemaRegistryClient) -> None:
    """A reference to a schema that is not registered is refused."""
    play = '{"type":"record","name":"mesh.Play","fields":[{"name":"track","type":"mesh.Track"}]}'
    with pytest.raises(SchemaRegistryError) as error:
        client.register_schema("p", Schema(play, "AVRO", [SchemaReference("mesh.Track", "track", 1)]))
    assert code_of(error) == (422, 42201)


def test_a_delete_is_soft_first_and_then_permanent(client: SchemaRegistryClient, service: str) -> None:
    """Versions and subjects are deleted in Confluent's two steps, and the schema stays readable by its id."""
    first = client.register_schema("plays-value", avro(V1))
    client.register_schema("plays-value", avro(V2))
    with pytest.raises(SchemaRegistryError) as error:
        client.delete_version("plays-value", 1, permanent=True)
    assert code_of(error) == (404, 40407)
    assert client.delete_version("plays-value", 1) == 1
    with pytest.raises(SchemaRegistryError) as error:
        client.delete_version("plays-value", 1)
    assert code_of(error) == (404, 40406)
    assert client.delete_version("plays-value", 1, permanent=True) == 1
    assert client.get_versions("plays-value") == [2]
    with pytest.raises(SchemaRegistryError) as error:
        client.delete_subject("plays-value", permanent=True)
    assert code_of(error) == (404, 40405)
    assert client.delete_subject("plays-value") == [2]
    assert client.delete_subject("plays-value", permanent=True) == [2]
    with pytest.raises(SchemaRegistryError) as error:
        client.get_latest_version("plays-value")
    assert code_of(error) == (404, 40401)
    with SchemaRegistryClient({"url": service}) as other:
        assert other.get_schema(first).schema_str
