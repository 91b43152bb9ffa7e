"""Proof on history: the stored events that a candidate cannot read, and the cause of each failure."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Producer as ClientProducer
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from meshport.codec import prefix
from meshport.compat.contract import Version
from meshport.errors import BrokerUnavailable, TopicError, TopicRemade
from meshport.gate.evidence import Cause, Presence
from meshport.gate.proof import LISTED, prove
from meshport.gate.sampling import Sample
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message
from meshport.schema import Schema
from tests.connections import CONNECTIONS, client_settings
from tests.gate.stored import BEGIN, REQUIRED, WITHOUT_CAR, Port, offsets, optional, play, port
from tests.mesh_session import Mesh
from tests.waiting import PATIENCE_S


def test_a_candidate_that_reads_everything_passes(ports: Mesh) -> None:
    """Every stored event of all partitions is read with the candidate, and the evidence counts them."""
    one = port(ports)
    for partition in range(4):
        one.store(one.messages(range(30), partition=partition))
    told: list[tuple[int, int]] = []
    evidence = one.prove(play(optional("note")), progress=lambda *step: told.append(step))
    assert evidence.passes
    assert (evidence.events, evidence.span, evidence.failures, evidence.sampled) == (120, 120, (), False)
    assert [(each.number, each.presence, each.events) for each in evidence.versions] == [(1, Presence.SEEN, 120)]
    assert told[-1] == (120, 120)
    assert str(evidence) == f"120 stored events of {one.binding.topic}: the candidate breaks none of them"


def test_a_symbol_that_is_gone_fails_where_it_is_stored(ports: Mesh) -> None:
    """The failures are exactly the events with the removed symbol, each with its offset, its version and the error."""
    one = port(ports)
    one.store([*one.messages(range(9)), *one.messages(range(4), partition=2)])
    evidence = one.prove(WITHOUT_CAR)
    assert not evidence.passes
    assert offsets(evidence) == [(0, 2), (0, 5), (0, 8), (2, 2)]
    assert evidence.failed == {Cause.CANDIDATE: 4}
    first = evidence.failures[0]
    assert (first.topic, first.version, first.fingerprint) == (one.binding.topic, 1, play().fingerprint)
    assert first.error.startswith("'kind' (enum) is 'car', which the reader's schema does not have")
    assert evidence.versions[0].failures == 4
    lines = str(evidence).splitlines()
    assert lines[0] == f"13 stored events of {one.binding.topic}: the candidate cannot read 4 of them"
    assert lines[1].startswith(f"  candidate: {one.binding.topic}[0]@2 (version 1): 'kind' (enum) is 'car'")
    assert len(lines) == 5
    assert json.loads(evidence.model_dump_json())["failures"][3]["offset"] == 2


def test_events_of_alternating_versions_are_counted_by_version(ports: Mesh) -> None:
    """Events are counted by version in whatever order two writers' events are; a version without an event is listed."""
    one = port(ports)
    old = one.messages(range(20))
    one.become(play(optional("a")))
    one.become(play(optional("a"), optional("b")))
    new = one.messages(range(20))
    one.store([each for pair in zip(old, new, strict=True) for each in pair])
    evidence = one.prove(play(optional("a"), optional("b"), optional("c")))
    assert [(each.number, each.presence, each.events) for each in evidence.versions] == [
        (1, Presence.SEEN, 20),
        (2, Presence.NONE_LEFT, 0),
        (3, Presence.SEEN, 20),
    ]
    assert [each.number for each in evidence.unseen] == [2]
    assert "version 2: no stored event is left" in str(evidence)
    assert evidence.events == 40


def test_events_that_begin_alike_are_counted_by_version(ports: Mesh) -> None:
    """Events that differ only in Confluent's schema header are counted under the version that the header names."""
    one = port(ports)
    old = one.message(2**50, at=BEGIN)
    one.become(play(optional("a")))
    new = one.message(2**50, at=BEGIN)

    def by_header(each: Message) -> Message:
        assert each.value is not None
        rest = [header for header in each.headers if header[0] != "ce_dataschema"]
        return each._replace(value=each.value[5:], headers=[*rest, ("__value_schema_id", each.value[:5])])

    one.store([by_header(each) for each in (old, new, new, old, new)])
    evidence = one.prove(play())
    assert evidence.passes
    assert [(each.number, each.events) for each in evidence.versions] == [(1, 2), (2, 3)]


@pytest.mark.kafka
def test_a_version_that_retention_has_taken_is_named(mesh: Mesh) -> None:
    """Of three versions, the one whose events were deleted has none left, and the others are seen."""
    one = port(mesh)
    one.store(one.messages(range(5)))
    one.become(play(optional("a")))
    one.store(one.messages(range(6)))
    one.become(play(optional("a"), optional("b")))
    one.store(one.messages(range(7)))
    admin = AdminClient(client_settings(mesh.bootstrap_servers) | {"log_level": 0})
    cut = TopicPartition(one.binding.topic, 0, 5)
    admin.delete_records([cut])[cut].result(timeout=PATIENCE_S)
    evidence = one.prove(play(optional("a"), optional("b")))
    assert [(each.number, each.presence, each.events) for each in evidence.versions] == [
        (1, Presence.NONE_LEFT, 0),
        (2, Presence.SEEN, 6),
        (3, Presence.SEEN, 7),
    ]
    assert (evidence.span, evidence.removed, evidence.undecided) == (13, 5, 0)
    assert "5 offsets before them: removed from the log, nothing is proved of them" in str(evidence)


def test_versions_with_one_schema_are_seen_together(ports: Mesh) -> None:
    """A schema that is registered again counts under its newest number, and neither version is reported as absent."""
    one = port(ports)
    one.store(one.messages(range(3)))
    first = one.versions[0]
    one.versions = (first, Version(2, play(optional("a"))), replace(first, number=3))
    evidence = one.prove(play())
    assert [(each.number, each.presence, each.events) for each in evidence.versions] == [
        (1, Presence.SEEN, 0),
        (2, Presence.NONE_LEFT, 0),
        (3, Presence.SEEN, 3),
    ]


def test_tombstones_are_counted_and_fail_nothing(ports: Mesh) -> None:
    """A null value has no schema, so no candidate breaks it."""
    one = port(ports)
    topic = one.binding.topic
    one.store([*one.messages([0]), Message(topic, b"k", None, partition=0), *one.messages([1])])
    evidence = one.prove(WITHOUT_CAR)
    assert evidence.passes
    assert (evidence.events, evidence.tombstones, evidence.failures) == (2, 1, ())


def test_events_that_are_unreadable_today_do_not_count(ports: Mesh) -> None:
    """Garbage, a message that is no event, and truncated bytes have other causes than the candidate."""
    one = port(ports)
    topic = one.binding.topic
    good, car = one.messages([0, 2])
    assert good.value is not None
    one.store(
        [
            good,
            Message(topic, b"k", b"nonsense", partition=0),
            Message(topic, b"k", good.value, partition=0),
            good._replace(value=good.value[:-1]),
            good._replace(headers=[each for each in good.headers if each[0] != "ce_id"]),
            car,
        ]
    )
    evidence = one.prove(WITHOUT_CAR)
    assert offsets(evidence, Cause.UNREADABLE) == [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert offsets(evidence, Cause.CANDIDATE) == [(0, 5)]
    assert evidence.failed == {Cause.CANDIDATE: 1, Cause.UNREADABLE: 4}
    assert (evidence.events, evidence.versions[0].events, sum(evidence.failed.values())) == (6, 5, 5)
    assert one.prove(play()).passes, "garbage refuses no candidate"
    assert "4 unreadable" in str(evidence)


def test_an_unknown_schema_is_reported_and_asked_for_once(ports: Mesh) -> None:
    """An id or fingerprint that the registry does not know is a cause of its own, and one id is one request."""
    one = port(ports)
    (good,) = one.messages([0])
    assert good.value is not None
    body = good.value[5:]
    bare = [each for each in good.headers if each[0] != "ce_dataschema"]
    stranger = [
        ("ce_dataschema", b"urn:meshport:schema:" + b"0" * 64) if each[0] == "ce_dataschema" else each
        for each in good.headers
    ]
    unknown = [good._replace(value=prefix(900_000 + number % 70) + body, headers=bare) for number in range(140)]
    one.store([*unknown, good._replace(value=b"\x02" + body, headers=stranger), good])
    asked: list[int | str] = []

    class Counting:
        def by_id(self, schema_id: int) -> Schema:
            asked.append(schema_id)
            return ports.registry.by_id(schema_id)

        def by_fingerprint(self, fingerprint: str) -> Schema:
            asked.append(fingerprint)
            return ports.registry.by_fingerprint(fingerprint)

        def by_guid(self, guid: UUID) -> Schema:
            raise AssertionError(guid)

    evidence = prove(one.binding, play(), Counting(), kafka=CONNECTIONS, versions=one.versions)
    assert evidence.failed == {Cause.UNKNOWN_SCHEMA: 141}
    assert offsets(evidence) == [(0, number) for number in range(141)]
    assert "900000" in evidence.failures[0].error
    assert (evidence.failures[0].fingerprint, evidence.failures[-1].fingerprint) == (None, "0" * 64)
    assert [each.number for each in evidence.versions] == [1, None]
    assert len(asked) == len(set(asked)) <= 73
    assert evidence.passes


def test_what_the_present_schema_breaks_is_settled(ports: Mesh) -> None:
    """An event that the port's present schema cannot read either does not count against the candidate."""
    one = port(ports)
    one.store(one.messages(range(6)))
    narrow = one.binding.model_copy(update={"schema_text": WITHOUT_CAR.text})
    candidate = play(optional("a"), kinds=["phone"])
    evidence = prove(narrow, candidate, ports.registry, kafka=CONNECTIONS, versions=one.versions)
    assert offsets(evidence, Cause.SETTLED) == [(0, 2), (0, 5)]
    assert offsets(evidence, Cause.CANDIDATE) == [(0, 1), (0, 4)], "speaker is new among what breaks"


def test_every_form_of_an_event_is_read(ports: Mesh) -> None:
    """Plain Avro, Confluent's header and prefix, JSON and structured mode are each read and counted under their version."""
    one = port(ports)
    (car,) = one.messages([2])
    binding = one.binding
    assert car.value is not None
    bare = [each for each in car.headers if each[0] != "ce_dataschema"]
    json_data = json.dumps({"number": 2, "kind": "car"}).encode()
    document = {
        "specversion": "1.0",
        "id": "1",
        "source": "/there",
        "type": "play",
        "dataschema": f"urn:meshport:schema:{binding.fingerprint}",
        "data": {"number": 2, "kind": "car"},
    }
    structured = [("content-type", b"application/cloudevents+json")]
    as_json = [each if each[0] != "content-type" else (each[0], b"application/json") for each in car.headers]
    forms = [
        car,
        car._replace(value=car.value[5:]),
        car._replace(headers=bare),
        car._replace(value=car.value[5:], headers=[*bare, ("__value_schema_id", prefix(binding.schema_id))]),
        car._replace(
            value=car.value[5:], headers=[*bare, ("__value_schema_id", b"\x01" + one.versions[0].schema.guid.bytes)]
        ),
        car._replace(value=json_data, headers=as_json),
        car._replace(value=json.dumps(document).encode(), headers=structured),
    ]
    one.store(forms)
    assert one.prove(play(optional("a"))).versions[0].events == len(forms)
    broken = one.prove(WITHOUT_CAR)
    assert offsets(broken, Cause.CANDIDATE) == [(0, number) for number in range(len(forms))]
    assert {each.version for each in broken.failures} == {1}


def test_a_schema_of_another_port_is_named(ports: Mesh) -> None:
    """Events of a schema that is registered, but is no version of this port, are counted under its fingerprint."""
    other = play({"name": "z", "type": "long", "default": 0})
    elsewhere, one = port(ports, other), port(ports)
    writer = Port._writer(elsewhere.binding)
    value, headers = writer.message({"number": 1, "kind": "car", "z": 1}, id="1", time=BEGIN)
    one.store([Message(one.binding.topic, b"k", value, headers, partition=0)])
    evidence = one.prove(play())
    assert [(each.number, each.fingerprint, each.events) for each in evidence.versions] == [
        (1, play().fingerprint, 0),
        (None, other.fingerprint, 1),
    ]


def test_the_list_is_bounded_and_the_count_is_not(in_memory_mesh: Mesh) -> None:
    """The list of failures is bounded for each cause, so that garbage does not displace the candidate's failures."""
    one = port(in_memory_mesh)
    garbage = [Message(one.binding.topic, b"k", b"nonsense", partition=0)] * (LISTED + 5)
    one.store([*garbage, *one.messages(range(LISTED + 7))])
    evidence = one.prove(play(REQUIRED))
    assert evidence.failed == {Cause.CANDIDATE: LISTED + 7, Cause.UNREADABLE: LISTED + 5}
    assert f"candidate: and {LISTED + 7 - 20} more" in str(evidence)
    assert len(offsets(evidence, Cause.CANDIDATE)) == len(offsets(evidence, Cause.UNREADABLE)) == LISTED


@pytest.mark.kafka
def test_transactions_and_their_markers_are_passed_over(mesh: Mesh) -> None:
    """Events of aborted transactions are neither counted nor failures; markers count only as offsets."""
    one = port(mesh)
    messages = one.messages(range(6))
    producer = ClientProducer(
        client_settings(mesh.bootstrap_servers) | {"transactional.id": f"raw-{uuid4()}", "log_level": 0}
    )
    producer.init_transactions(15)
    for part, end in ((messages[:3], producer.abort_transaction), (messages[3:], producer.commit_transaction)):
        producer.begin_transaction()
        for each in part:
            producer.produce(each.topic, each.value, each.key, 0, headers=list(each.headers))
        producer.flush(15)
        end(15)
    evidence = one.prove(WITHOUT_CAR)
    assert (evidence.events, evidence.span) == (3, 8)
    assert offsets(evidence) == [(0, 6)]


@pytest.mark.kafka
def test_nothing_is_committed_and_no_group_is_left(mesh: Mesh) -> None:
    """A proof commits no offset, under whatever name librdkafka received for a group."""
    one = port(mesh)
    one.store(one.messages(range(5)))
    one.prove(play())
    one.prove(play(), Sample(events=2))
    with Consumer(mesh.kafka) as looking:
        assert looking.committed(one.binding.topic) == {}


def test_events_that_come_meanwhile_are_not_waited_for(ports: Mesh) -> None:
    """The end offsets are fixed when the proof begins, so that it ends on a growing topic."""
    one = port(ports)
    one.store(one.messages(range(10)))
    more = one.messages(range(100, 110))
    evidence = one.prove(play(), progress=lambda *_: one.store(more))
    assert evidence.events == 10


def test_an_empty_topic_is_evidence_of_nothing(ports: Mesh) -> None:
    """A port without events breaks on nothing, and each of its versions has none left."""
    evidence = port(ports).prove(play(REQUIRED))
    assert evidence.passes
    assert (evidence.events, evidence.span) == (0, 0)
    assert [each.presence for each in evidence.versions] == [Presence.NONE_LEFT]


@pytest.mark.kafka
def test_a_topic_that_is_not_there_is_new_or_an_error(mesh: Mesh) -> None:
    """A port without a version needs no topic; one with versions but without a topic is an error, never a pass."""
    one = port(mesh)
    gone = one.binding.model_copy(update={"topic": f"tests.nowhere-{uuid4().hex}"})
    assert prove(gone, play(), mesh.registry, kafka=CONNECTIONS).events == 0
    with pytest.raises(TopicError, match="nowhere"):
        prove(gone, play(), mesh.registry, kafka=CONNECTIONS, versions=one.versions)


@pytest.mark.kafka
def test_a_topic_that_was_made_again_is_an_error(mesh: Mesh) -> None:
    """Another topic of the name holds no event of the port's versions, which is never a pass."""
    one = port(mesh)
    bound = one.binding.model_copy(update={"topic_id": "A" * 22})
    with pytest.raises(TopicRemade, match="is bound to the earlier one"):
        prove(bound, play(), mesh.registry, kafka=CONNECTIONS, versions=one.versions)


def test_a_broker_that_does_not_answer_is_an_error(in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that does not answer is never a pass, not even for a port without versions."""
    monkeypatch.setattr("meshport.kafka.topic_offsets.METADATA_S", 1.0)  # its patience, else 10 s
    away = port(in_memory_mesh).binding.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    with pytest.raises(BrokerUnavailable):
        prove(away, play(), in_memory_mesh.registry)
