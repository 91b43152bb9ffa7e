"""Publishing: what is stored, and how each event ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from meshport.address import Address
from meshport.binding import Binding
from meshport.catalog import Retirement
from meshport.codec import codec_for
from meshport.errors import DeliveryUnknown, EncodeError, EventError, NotRegistered, PublishError
from meshport.event import Event
from meshport.event.record import record_key
from meshport.kafka.admin import Admin
from meshport.kafka.received import ReceivedMessage, headers_of
from meshport.local.embedded import EmbeddedKafka
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Replay
from meshport.ports.scan import read_topic
from meshport.product import Status
from meshport.schema import parse_schema
from tests.connections import CONNECTIONS, Connections, connection
from tests.mesh_session import READING, Mesh, open_test_mesh
from tests.ports.nowhere import nowhere
from tests.ports.readings import BEGIN, reading

PARTITIONS = 4


def stored(binding: Binding) -> list[ReceivedMessage]:
    """Every message of a port's topic, in the order of its partitions."""
    kafka = connection(binding.bootstrap_servers)
    return [message for messages in read_topic(kafka, binding.topic) for message in messages]


def events(mesh: Mesh, binding: Binding) -> list[Event]:
    """Every event of a port."""
    with Replay(binding.address, mesh.registry, kafka=CONNECTIONS) as replay:
        return list(replay.history())


def test_an_event_is_a_cloudevent_in_binary_mode(ports: Mesh) -> None:
    """The value is Confluent-framed Avro, attributes stand in `ce_` headers, the key is the key field's text."""
    binding = ports.product()
    record = reading(7) | {"note": "warm"}
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        id_ = publisher.publish(record, subject="the cellar")
        assert publisher.flush() == 1
    (message,) = stored(binding)
    headers = dict(headers_of(message) or ())
    assert message.key() == b"s7"
    assert headers | {"ce_recordedtime": b""} == {
        "ce_specversion": b"1.0",
        "ce_source": str(binding.address).encode(),
        "ce_type": binding.type.encode(),
        "ce_dataschema": f"urn:meshport:schema:{binding.fingerprint}".encode(),
        "content-type": b"application/avro",
        "ce_id": id_.encode(),
        "ce_time": b"2026-03-01T00:07:00Z",
        "ce_recordedtime": b"",
        "ce_subject": b"the cellar",
    }
    recorded = datetime.fromisoformat((headers["ce_recordedtime"] or b"").decode())
    assert before <= recorded <= datetime.now(UTC)
    value = message.value() or b""
    assert (value[0], int.from_bytes(value[1:5], "big")) == (0, binding.schema_id)
    assert codec_for(parse_schema(binding.schema_text)).decode(value, 5) == record


# Of Kafka's own test, org.apache.kafka.common.utils.UtilsTest.testMurmur2.
VECTORS = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}


def test_the_oracle_of_partitions_is_javas_hash() -> None:
    """The murmur2 of aiokafka, against which partitions are checked below, gives the vectors of Kafka's own tests."""
    signed = {key: (found := aiokafka_murmur2(key)) - (2**32 if found >= 2**31 else 0) for key in VECTORS}
    assert signed == VECTORS


def test_a_key_lies_where_java_would_put_it(ports: Mesh) -> None:
    """Each of 200 keys lies in the partition that Java's default partitioner chooses, so that joins by key meet."""
    binding = ports.product()
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        for number in range(200):
            publisher.publish(reading(number, sensor=f"sensor-{number}-ü"))
    found = stored(binding)
    assert len(found) == 200
    for message in found:
        assert message.partition() == (aiokafka_murmur2(message.key()) & 0x7FFFFFFF) % PARTITIONS
    assert {message.partition() for message in found} == set(range(PARTITIONS))


def test_a_composite_key_joins_the_fields(ports: Mesh) -> None:
    """A port keyed by several fields has their texts, joined by a bar, in the declared order."""
    binding = ports.product(READING, key=["celsius", "sensor"], time="at")
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(reading(3))
    assert [message.key() for message in stored(binding)] == [b"3.0|s3"]


def test_every_way_to_publish_makes_the_key_of_the_stored_value(ports: Mesh) -> None:
    """A UUID in capitals has the key of the same UUID in lower case, published alone, with an id, in a list or retracted."""
    form = {
        "type": "record",
        "name": "Seen",
        "fields": [{"name": "id", "type": {"type": "string", "logicalType": "uuid"}}],
    }
    binding = ports.product(form, key=["id"], time=None)
    one = "218c3c71-5495-4d11-9379-eff0811a0f04"
    with Publisher(binding.address, ports.registry) as publisher:
        publisher.publish({"id": one.upper()})
        publisher.publish({"id": one.upper()}, id="e1")
        publisher.retract({"id": one.upper()})
        assert publisher.publish_batch([{"id": one}, {"id": one.upper()}, {"id": UUID(one)}]).stored == 3
    assert [message.key() for message in stored(binding)] == [one.encode()] * 6


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ü", "ü".encode()),
        (7, b"7"),
        (True, b"true"),
        (datetime(2026, 3, 1, 12, tzinfo=UTC), b"2026-03-01T12:00:00Z"),
        (b"\x00\xff", b"00ff"),
    ],
)
def test_a_key_is_text(value: object, text: bytes) -> None:
    """A key is the field's text in UTF-8, so that every tool can show it and other languages hash it alike."""
    assert record_key(("id",))({"id": value}) == text


@pytest.mark.parametrize("value", [None, "", {"a": 1}, [1]])
def test_a_key_without_a_value_is_refused(ports: Mesh, value: object) -> None:
    """An event of a keyed port without its key is refused, with the field's name, and nothing of it is stored."""
    schema = READING | {"fields": [{"name": "sensor", "type": ["null", "string"], "default": None}]}
    binding = ports.product(schema, key="sensor")
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        with pytest.raises((PublishError, EncodeError), match="sensor"):
            publisher.publish({"sensor": value})
        assert publisher.flush() == 0
    assert stored(binding) == []


def test_a_record_that_does_not_fit_is_refused_with_its_field(ports: Mesh) -> None:
    """A record that does not fit the schema is refused before it is sent; the error names the field."""
    binding = ports.product()
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        with pytest.raises(EncodeError, match="celsius") as refused:
            publisher.publish(reading(1) | {"celsius": "warm"})
        assert refused.value.field == "celsius"
        assert publisher.flush() == 0
    assert stored(binding) == []


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (None, "None"),
        ("yesterday", "yesterday"),
        (10**17, "no calendar"),
        (datetime(2026, 3, 1), "zone"),  # noqa: DTZ001 - the point
    ],
)
def test_an_event_without_its_time_is_refused(in_memory_mesh: Mesh, at: object, told: str) -> None:
    """A time field that holds no instant is refused with what it holds, never taken for now."""
    binding = in_memory_mesh.product()
    with (
        Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher,
        pytest.raises((EncodeError, PublishError), match=rf"\bat\b.*{told}"),
    ):
        publisher.publish(reading(1) | {"at": at})


def test_an_attribute_that_there_is_not_is_refused(in_memory_mesh: Mesh) -> None:
    """A misspelled attribute is an error of the call, by every way to publish; one that is None counts as left out."""
    binding = in_memory_mesh.product()
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        for publish in (publisher.publish, publisher.submit):
            with pytest.raises(TypeError, match="subjekt"):
                publish(reading(1), subjekt="a")  # type: ignore[call-arg]
        assert len(publisher.publish(reading(1), id=None, time=None)) > 20
        assert publisher.flush() == 1


def test_the_time_of_an_event_is_that_of_its_fact(in_memory_mesh: Mesh) -> None:
    """`ce_time` is the time of the call, else the port's time field, else now."""
    timed, untimed = in_memory_mesh.product(), in_memory_mesh.product(READING, key="sensor")
    said = BEGIN + timedelta(days=1)
    with Publisher(timed.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(reading(0))
        publisher.publish(reading(0), time=said)
    assert [event.time for event in events(in_memory_mesh, timed)] == [BEGIN, said]
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    with Publisher(untimed.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(reading(0))
    (event,) = events(in_memory_mesh, untimed)
    assert before <= event.time <= datetime.now(UTC)


def test_ids_are_the_callers_or_never_given_twice(ports: Mesh) -> None:
    """A given id is kept, for a fact that is published again; ids of our own differ, between publishers too."""
    binding = ports.product()
    with (
        Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as one,
        Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as two,
    ):
        given = one.publish(reading(0), id="flight-7")
        made = [each.publish(reading(number)) for number in range(50) for each in (one, two)]
    assert given == "flight-7"
    assert len(set(made)) == 100
    assert {event.id for event in events(ports, binding)} == {given, *made}


@pytest.mark.parametrize("id_", ["", "a\nb", "\x00"])
def test_an_id_that_cloudevents_does_not_allow_is_refused(in_memory_mesh: Mesh, id_: str) -> None:
    """An empty id, or one with control characters, is refused before anything is sent."""
    binding = in_memory_mesh.product()
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        with pytest.raises(EventError, match="id"):
            publisher.publish(reading(0), id=id_)
        assert publisher.flush() == 0


def test_a_retracted_key_gets_a_tombstone(ports: Mesh) -> None:
    """`retract` stores a null value under the key's partition and key, still a CloudEvent with id, source and type."""
    binding = ports.product(READING, key="sensor", cleanup="compact")
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(reading(1))
        id_ = publisher.retract({"sensor": "s1"})
    first, last = stored(binding)
    assert (last.value(), last.key(), last.partition()) == (None, b"s1", first.partition())
    event = events(ports, binding)[-1]
    assert event.is_tombstone
    assert (event.id, event.source, event.type) == (id_, str(binding.address), binding.type)


def test_what_cannot_be_retracted_is_refused(in_memory_mesh: Mesh) -> None:
    """A port without a key has nothing to retract, and a keyed one needs the key's value."""
    keyed, keyless = in_memory_mesh.product(), in_memory_mesh.product(READING)
    with (
        Publisher(keyless.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher,
        pytest.raises(PublishError, match="has no key"),
    ):
        publisher.retract({"sensor": "s1"})
    with (
        Publisher(keyed.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher,
        pytest.raises(PublishError, match="sensor"),
    ):
        publisher.retract({})


def test_a_retired_port_takes_no_more_events(in_memory_mesh: Mesh) -> None:
    """A publisher on a retired port is refused with its successor: by the registry, and by a binding whose status is retired."""
    mesh = in_memory_mesh
    binding, successor = mesh.product(), mesh.product()
    guid = mesh.registry.product(binding.address).descriptor.id
    mesh.registry.retire(guid, Retirement(successor=successor.address))
    with pytest.raises(NotRegistered) as unregistered:
        Publisher(binding.address, mesh.registry, kafka=CONNECTIONS)
    assert successor.address.of_product.key in str(unregistered.value)

    class Remembering:
        """A resolver that knew the port before it was retired."""

        def resolve(self, address: Address) -> Binding:
            """What it remembers of the address."""
            assert address == binding.address
            return binding.model_copy(update={"status": Status.RETIRED, "successor": successor.address})

    with pytest.raises(PublishError, match="is retired") as refused:
        Publisher(binding.address, Remembering(), kafka=CONNECTIONS)
    assert str(successor.address) in str(refused.value.hint)


def test_an_address_that_nobody_registered_is_refused(in_memory_mesh: Mesh) -> None:
    """Publishing to an unknown address is an error of the registry, not a new topic."""
    with pytest.raises(NotRegistered, match="nobody/nothing"):
        Publisher("nobody/nothing", in_memory_mesh.registry, kafka=CONNECTIONS)


def test_a_batch_report_adds_up(ports: Mesh) -> None:
    """Of a batch, good records are stored and each bad one is reported by its index; none stops another."""
    binding = ports.product()
    records: list[dict[str, Any]] = [reading(number) for number in range(100)]
    records[17] = records[17] | {"celsius": None}
    records[42] = records[42] | {"sensor": None}
    records[99] = {"sensor": "s"}
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        report = publisher.publish_batch(records)
    assert (report.stored, report.unknown) == (97, ())
    assert [failure.index for failure in report.refused] == [17, 42, 99]
    assert report.stored + len(report.refused) + len(report.unknown) == len(records)
    assert len(stored(binding)) == 97


def test_a_record_too_large_is_refused(ports: Mesh) -> None:
    """A record over what can be read back, or over what the client sends, is refused, alone and in a batch alike."""
    binding = ports.product()
    unreadable, large = reading(1) | {"note": "x" * 2_000_000}, reading(1) | {"note": "x" * 1_010_000}
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        with pytest.raises(EncodeError, match="2000022 bytes"):
            publisher.publish(unreadable)
        with pytest.raises(PublishError, match="MSG_SIZE_TOO_LARGE"):
            publisher.publish(large)
        report = publisher.publish_batch([reading(0), large, reading(2)])
    assert (report.stored, [failure.index for failure in report.refused]) == (2, [1])


@pytest.mark.kafka
def test_an_event_refused_with_its_batch_says_so(mesh: Mesh) -> None:
    """Of a batch that the topic does not take, each event has its reason; with batches that fit, the small ones are stored."""
    binding = mesh.product(partitions=1)
    kafka = connection(binding.bootstrap_servers)
    Admin(kafka).set_config(binding.topic, {"max.message.bytes": "5000"})
    records = [
        reading(number) | {"note": "x" * (8_000 if number == 1 else 4_200 if number == 2 else 10)}
        for number in range(4)
    ]
    one_batch = Connections({"linger.ms": 900})
    with Publisher(binding.address, mesh.registry, kafka=one_batch) as publisher:
        report = publisher.publish_batch(records)
    assert (report.stored, report.unknown) == (0, ())
    small, large, near, _ = (str(each.error) for each in report.refused)
    assert "the topic takes 5000 (max.message.bytes): it was refused only with the batch" in small
    assert "`batch.size` 5000" in small
    assert "bytes of key and value, and the topic takes 5000 (max.message.bytes)\nhint: a smaller event" in large
    assert "takes 5000 (max.message.bytes) with headers" in near
    fitting = Connections({"linger.ms": 900, "batch.size": 5000})
    with Publisher(binding.address, mesh.registry, kafka=fitting) as publisher:
        report = publisher.publish_batch(records)
    assert (report.stored, [each.index for each in report.refused]) == (3, [1])


def test_flush_counts_what_was_stored_since(ports: Mesh) -> None:
    """`flush` returns how many events the broker acknowledged since the last call."""
    binding = ports.product()
    with Publisher(binding.address, ports.registry, kafka=CONNECTIONS) as publisher:
        for number in range(1234):
            publisher.publish(reading(number))
        assert publisher.flush() == 1234
        assert publisher.flush() == 0
    assert len(stored(binding)) == 1234


def test_a_full_queue_waits_for_room(in_memory_mesh: Mesh) -> None:
    """Publishing faster than the broker takes waits for room in the client's queue; nothing is lost."""
    binding = in_memory_mesh.product()
    tight = Connections({"queue.buffering.max.messages": 10, "linger.ms": 50})
    with Publisher(binding.address, in_memory_mesh.registry, kafka=tight) as publisher:
        for number in range(200):
            publisher.publish(reading(number))
    assert len(stored(binding)) == 200


@pytest.mark.kafka
def test_a_broker_that_dies_leaves_the_outcome_unknown(kafka_cache: Path, tmp_path: Path) -> None:
    """With the broker killed, every queued event ends as unknown, by its id: in a report, and in the error of `flush`."""
    soon = Connections({"message.timeout.ms": 1000, "linger.ms": 0})
    with EmbeddedKafka(cache_dir=kafka_cache) as broker, open_test_mesh(tmp_path, broker.bootstrap_servers) as mesh:
        binding = mesh.product()
        with Publisher(
            binding.address, mesh.registry, kafka=CONNECTIONS
        ) as first:  # patient: the broker has just started
            first.publish(reading(0))
        publisher = Publisher(binding.address, mesh.registry, kafka=soon)
        broker.kill(1)
        report = publisher.publish_batch([reading(number) for number in range(20)])
        assert (report.stored, report.refused, len(report.unknown)) == (0, (), 20)
        assert sorted(failure.index for failure in report.unknown) == list(range(20))
        id_ = publisher.publish(reading(0))
        with pytest.raises(DeliveryUnknown, match=id_) as unknown:
            publisher.flush()
        assert "same id" in str(unknown.value.hint)


def test_an_abandoned_event_is_told_of_once() -> None:
    """Events that are given up at the end of a wait are reported with their ids, and not again among later ones."""
    publisher = nowhere()
    ids = [publisher.publish(reading(number)) for number in range(3)]
    failures = publisher.settle(0.05)
    assert sorted(failure.id for failure in failures) == sorted(ids)
    assert all(isinstance(failure.error, DeliveryUnknown) for failure in failures)
    assert publisher.settle() == []


@given(st.lists(st.text("a|\\b", min_size=1), min_size=2, max_size=2, unique=True).map(tuple), st.data())
def test_composite_keys_that_differ_are_written_differently(fields: tuple[str, str], data: st.DataObject) -> None:
    """Two records share a composite key only if they share every field of it, whatever `|` their fields hold."""
    key = record_key(("one", "two"))
    other = data.draw(st.tuples(st.text("a|\\b", min_size=1), st.text("a|\\b", min_size=1)))
    written = [key({"one": one, "two": two}) for one, two in (fields, other)]
    assert (written[0] == written[1]) == (fields == other)
