"""A topic that was there before its product: its events are read alike everywhere, and written as its other writers do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meshport.address import Address
from meshport.errors import EventError, RegistrationRefused, TopicError
from meshport.event import Event
from meshport.gate.proof import prove
from meshport.kafka.admin import Admin
from meshport.kafka.producer import Message, Producer
from meshport.kafka.received import headers_of
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Offsets, Replay
from meshport.ports.scan import read_topic
from meshport.ports.subscriber import BadEvent, Subscriber
from meshport.schema import parse_schema
from tests.connections import CONNECTIONS
from tests.mesh_session import READING, Mesh
from tests.ports.adopted import adopted, deserialized, foreign_topic, schema_id, write
from tests.ports.readings import BEGIN, numbers, reading, take

pytest.importorskip("pyruhvro", reason="the extra `columnar` is not installed")

NEW: dict[str, Any] = READING | {"fields": [*READING["fields"], {"name": "more", "type": "string", "default": ""}]}


def replayed(mesh: Mesh, address: Address, **options: Any) -> list[Event]:
    """Return the events of a port's history."""
    with Replay(address, mesh.registry, kafka=CONNECTIONS, **options) as job:
        return sorted(job.events(), key=lambda each: (each.partition, each.offset))


def test_an_event_is_named_by_its_position(ports: Mesh) -> None:
    """The id is topic, partition and offset, the source the port's address, the time that of the field; every reader agrees."""
    topic = foreign_topic(ports)
    write(ports, topic, [reading(number) for number in range(40)], timestamp_ms=1_800_000_000_123)
    address = adopted(ports, topic).address
    with Subscriber(address, ports.registry, kafka=CONNECTIONS) as subscriber:
        events = take(subscriber, 40)
    assert {each.id for each in events} == {f"{topic}-{each.partition}-{each.offset}" for each in events}
    assert {each.source for each in events} == {str(address)}
    assert all(each.time == each.data["at"] for each in events)
    assert {each.recorded_time for each in events} == {datetime.fromtimestamp(1_800_000_000.123, UTC)}
    assert {each.id: each.data for each in events} == {each.id: each.data for each in replayed(ports, address)}


def test_a_replay_gives_the_same_ids_and_is_bounded_by_time(ports: Mesh) -> None:
    """Two replays and a range of time give each event under one id."""
    topic = foreign_topic(ports)
    write(ports, topic, [reading(number) for number in range(30)])
    address = adopted(ports, topic).address
    once = {each.id: each.data for each in replayed(ports, address)}
    assert once == {each.id: each.data for each in replayed(ports, address)}
    part = replayed(ports, address, begin=BEGIN + timedelta(minutes=10), end=BEGIN + timedelta(minutes=20))
    assert sorted(numbers(part)) == list(range(10, 20))
    assert {each.id for each in part} <= once.keys()
    assert numbers(replayed(ports, address, begin=Offsets(10**9))) == []


def test_batches_of_columns_have_the_events_of_reading_one_by_one(ports: Mesh) -> None:
    """An Arrow batch has the ids, times and records of the events, and the tombstones apart."""
    topic = foreign_topic(ports)
    write(ports, topic, [*(reading(number) for number in range(20)), None])
    address = adopted(ports, topic).address
    events = replayed(ports, address)
    rows: list[tuple[Any, ...]] = []
    with Subscriber(address, ports.registry, kafka=CONNECTIONS) as subscriber:
        for batch in subscriber.arrow_batches():
            table = batch.to_arrow().to_pylist()
            rows += [(each["ce_id"], each["ce_time"], each["ce_recordedtime"], each["celsius"]) for each in table]
            rows += [(each.id, each.time, each.recorded_time, None) for each in batch.tombstones]
            if len(rows) == 21:
                break
    assert sorted(rows, key=str) == sorted(
        ((each.id, each.time, each.recorded_time, each.data and each.data["celsius"]) for each in events), key=str
    )


def test_without_a_time_field_it_is_kafkas_timestamp(in_memory_mesh: Mesh) -> None:
    """The time of a message is its Kafka timestamp where the port has no time field, of a tombstone in any case."""
    topic = foreign_topic(in_memory_mesh)
    write(in_memory_mesh, topic, [reading(1), None], timestamp_ms=1_700_000_000_000)
    events = replayed(in_memory_mesh, adopted(in_memory_mesh, topic, time=None).address)
    assert {each.time for each in events} == {datetime.fromtimestamp(1_700_000_000, UTC)}
    assert [each.as_dict()["time"] for each in events] == ["2023-11-14T22:13:20Z"] * 2


def test_a_reader_of_other_fields_gets_the_time_all_the_same(in_memory_mesh: Mesh) -> None:
    """A reader whose schema lacks the time field, or has another type for it, gets the events at the same times."""
    topic = foreign_topic(in_memory_mesh)
    write(in_memory_mesh, topic, [reading(number) for number in range(5)])
    address = adopted(in_memory_mesh, topic).address
    times = {each.id: each.time for each in replayed(in_memory_mesh, address)}
    for fields in ('[{"name": "celsius", "type": "double"}]', '[{"name": "at", "type": "long"}]'):
        own = parse_schema(f'{{"type": "record", "name": "tests.Reading", "fields": {fields}}}')
        assert times == {each.id: each.time for each in replayed(in_memory_mesh, address, reader=own)}


def test_headers_of_other_writers_have_no_meaning(in_memory_mesh: Mesh) -> None:
    """A message with headers, even those of half a CloudEvent, is read as one without."""
    topic = foreign_topic(in_memory_mesh)
    write(in_memory_mesh, topic, [reading(1)])
    binding = adopted(in_memory_mesh, topic)
    value, _ = Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS)._writer.message(
        reading(2), id="x", time=BEGIN
    )
    headers: list[tuple[str, bytes | None]] = [("ce_id", b"x"), ("trace", None), ("content-type", b"application/json")]
    with Producer(CONNECTIONS.to(binding)) as producer:
        producer.deliver([Message(topic, b"s2", value, headers)])
    found = replayed(in_memory_mesh, binding.address)
    assert sorted(numbers(found)) == [1, 2]
    assert all(each.id == f"{topic}-{each.partition}-{each.offset}" for each in found)


def test_a_message_that_is_no_record_of_the_topic_costs_itself(in_memory_mesh: Mesh) -> None:
    """Bytes without a schema id, an unknown id, an empty message: each is refused alone, with what would be right."""
    topic = foreign_topic(in_memory_mesh)
    write(in_memory_mesh, topic, [reading(1), reading(2)])
    binding = adopted(in_memory_mesh, topic)
    odd = [(b"k", b'{"sensor": "s1"}'), (b"k", b"\0\xff\xff\xff\xffx"), (None, None)]
    with Producer(CONNECTIONS.to(binding)) as producer:
        producer.deliver(Message(topic, key, value, ()) for key, value in odd)
    bad: list[BadEvent] = []
    assert sorted(numbers(replayed(in_memory_mesh, binding.address, on_bad=bad.append))) == [1, 2]
    assert len(bad) == 3
    assert all(topic in str(each.error) for each in bad)


def test_a_publisher_writes_as_the_other_writers_do(ports: Mesh) -> None:
    """Values in Confluent's wire format under the writers' own schema id, no headers; Confluent's deserializer reads them."""
    topic = foreign_topic(ports)
    write(ports, topic, [reading(1)])
    binding = adopted(ports, topic)
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(reading(2))
        assert publisher.submit(reading(3)).result(30)
        assert publisher.publish_batch([reading(4), {"sensor": "s5"}]).stored == 1
        publisher.retract({"sensor": "s9"})
        publisher.flush()
    messages = [each for batch in read_topic(CONNECTIONS.to(binding), topic) for each in batch]
    values = [each.value() for each in messages]
    assert [headers_of(each) or [] for each in messages] == [[]] * 5
    assert sorted(deserialized(ports, topic, each)["celsius"] for each in values if each) == [1, 2, 3, 4]
    assert len({each[:5] for each in values if each}) == 1
    assert sorted(each.key() or b"" for each in messages) == [b"s1", b"s2", b"s3", b"s4", b"s9"]


def test_attributes_that_no_message_carries_are_refused(in_memory_mesh: Mesh) -> None:
    """An id, a time, a subject or an extension of an event without an envelope is refused, never dropped."""
    topic = foreign_topic(in_memory_mesh)
    write(in_memory_mesh, topic, [reading(1)])
    address = adopted(in_memory_mesh, topic).address
    given: list[dict[str, Any]] = [
        {"id": "one"}, {"time": BEGIN}, {"subject": "s"}, {"extensions": {"traceparent": "00-0-0-00"}},
    ]  # fmt: skip
    with Publisher(address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        for each in given:
            with pytest.raises(EventError, match="envelope: none"):
                publisher.publish(reading(2), **each)
            with pytest.raises(EventError, match="envelope: none"):
                publisher.submit(reading(2), **each)
        with pytest.raises(EventError, match="envelope: none"):
            publisher.retract({"sensor": "s1"}, id="one")
    assert numbers(replayed(in_memory_mesh, address)) == [1]


def test_history_proves_a_change_of_its_contract(ports: Mesh) -> None:
    """The gate reads the history of an adopted topic with a candidate: each version's events, and those that it breaks."""
    topic = foreign_topic(ports)
    write(ports, topic, [reading(number) for number in range(10)])
    write(ports, topic, [reading(10) | {"more": "x"}], form=NEW)
    binding = adopted(ports, topic, schema=None)
    good = prove(binding, parse_schema(binding.schema_text), ports.registry, kafka=CONNECTIONS)
    assert (good.events, good.failed) == (11, {})
    needs = parse_schema('{"type": "record", "name": "tests.Reading", "fields": [{"name": "more", "type": "string"}]}')
    broken = prove(binding, needs, ports.registry, kafka=CONNECTIONS)
    assert [*broken.failed.values()] == [10]


def test_the_subject_of_the_other_writers_is_the_contracts(ports: Mesh) -> None:
    """The product takes over the subject that the topic's serializers use, with its id and its versions."""
    topic = foreign_topic(ports)
    write(ports, topic, [reading(1)])
    known = schema_id(ports, topic)
    binding = adopted(ports, topic)
    assert (binding.topic, binding.subject, binding.schema_id) == (topic, f"{topic}-value", known)
    write(ports, topic, [reading(2)])  # its writers go on
    assert sorted(numbers(replayed(ports, binding.address))) == [1, 2]


def test_a_topic_has_one_port(ports: Mesh) -> None:
    """A second product on the topic is refused, and so is one on the topic that the mesh made for another."""
    topic = foreign_topic(ports)
    write(ports, topic, [reading(1)])
    first = adopted(ports, topic)
    with pytest.raises(RegistrationRefused, match="read that port instead"):
        adopted(ports, topic)
    own = ports.product()
    with pytest.raises(RegistrationRefused, match=own.address.key):
        adopted(ports, own.topic)
    with pytest.raises(RegistrationRefused, match="no generation can replace it"):
        ports.registry.generations(first.address).open(holder="me", made_by="x", seconds=1)


def test_apply_changes_only_what_it_is_told(mesh: Mesh) -> None:
    """Settings that the entry does not name stay, those that it names are changed, and no topic is made."""
    config = {
        "retention.ms": "86400000",
        "min.insync.replicas": "1",
        "retention.bytes": "1000000",
        "segment.ms": "999999",
    }
    topic = foreign_topic(mesh, config=config)
    write(mesh, topic, [reading(1)])
    admin = Admin(mesh.kafka)
    before = admin.topic(topic)
    adopted(mesh, topic)
    assert admin.topic(topic) == before
    other = foreign_topic(mesh, config=config)
    write(mesh, other, [reading(1)])
    adopted(mesh, other, retention="2d")
    found = admin.topic(other)
    assert found is not None
    assert {name: found.setting(name) for name in config} == config | {"retention.ms": "172800000"}
    with pytest.raises(TopicError, match="declare `partitions: 4`"):
        adopted(mesh, foreign_topic(mesh), partitions=8)
    with pytest.raises(TopicError, match="has no topic nobody-made-it"):
        adopted(mesh, "nobody-made-it")
