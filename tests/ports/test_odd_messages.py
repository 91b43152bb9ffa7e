"""Odd messages in every reader: what Kafka allows and clients stumble over costs no other event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from confluent_kafka import Producer as ClientProducer

from meshport.binding import Binding
from meshport.columnar.native import unavailable
from meshport.compat.contract import Version
from meshport.errors import EventError
from meshport.gate.evidence import Cause
from meshport.gate.proof import prove
from meshport.gate.sampling import Sample
from meshport.kafka.received import headers_of, headers_of_each
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Replay
from meshport.ports.scan import TopicFollower, read_topic
from meshport.ports.subscriber import BadEvent, Subscriber
from meshport.schema import parse_schema
from tests.connections import CONNECTIONS, client_settings, connection
from tests.mesh_session import Mesh
from tests.odd_messages import ODD_NAME, store_raw
from tests.ports.readings import reading, take
from tests.waiting import patiently

pytestmark = pytest.mark.kafka

Raw = list[tuple[bytes, bytes | None]]
ODD: dict[str, Raw] = {
    "a name that is not UTF-8": [(ODD_NAME, b"1")],
    "two such names, one without a value": [(ODD_NAME, None), (b"a", b"1"), (b"\xff", b"2")],
    "a value that is not UTF-8": [(b"foreign", b"\xc3\x28")],
    "a null value": [(b"foreign", None)],
    "an empty name": [(b"", b"1")],
    "two equal headers": [(b"foreign", b"1"), (b"foreign", b"1")],
    "5,000 headers": [(b"h%d" % number, b"1") for number in range(5000)],
    "a header of 900 kB": [(b"foreign", bytes(900_000))],
}
"""Headers that are none of CloudEvents', beside those of a good event."""
REFUSED: dict[str, Raw] = {"CE_ID beside ce_id": [(b"CE_ID", b"other")], "a null attribute": [(b"ce_x", None)]}


@dataclass
class Odd:
    """A topic: a good reading, odd ones, and a good one again; the sensors are numbered in the order of the log."""

    binding: Binding
    refused: list[int] = field(default_factory=list)
    count: int = 0

    @property
    def good(self) -> list[str]:
        """The sensors of the events that can be read."""
        return [f"s{number}" for number in range(self.count) if number not in self.refused]


@pytest.fixture(scope="module")
def odd(mesh: Mesh) -> Odd:
    """All of `ODD` and `REFUSED` between good events."""
    made = Odd(mesh.product(partitions=1))
    good = [("good", list[tuple[bytes, bytes | None]]())]
    for name, more in [*good, *ODD.items(), *good, *REFUSED.items(), *good]:
        if name in REFUSED:
            made.refused.append(made.count)
        store(mesh, made.binding, made.count, more)
        made.count += 1
    return made


def store(mesh: Mesh, binding: Binding, number: int, more: Raw) -> None:
    """Store a reading with these headers more."""
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        data = {**reading(number), "sensor": f"s{number}"}
        value, headers = publisher._writer.message(data, id=f"id-{number}", time=data["at"])
    raw = [*((name.encode(), text) for name, text in headers), *more]
    store_raw(binding.bootstrap_servers, binding.topic, raw, value, key=data["sensor"].encode())


Found = tuple[list[str], list[int]]
"""The sensors that were read, and the offsets of the messages that were not."""


def offsets(bad: Sequence[BadEvent]) -> list[int]:
    """The offsets of bad events, whose errors each name theirs."""
    found = [each.message.offset() for each in bad]
    assert all(f"@{offset}" in each.error.message for offset, each in zip(found, bad, strict=True))
    return found


def by_subscriber(mesh: Mesh, odd: Odd) -> Found:
    """The events one by one."""
    bad: list[BadEvent] = []
    with Subscriber(odd.binding.address, mesh.registry, on_bad=bad.append, kafka=CONNECTIONS) as subscriber:
        return [event.data["sensor"] for event in take(subscriber, len(odd.good))], offsets(bad)


def by_batches(mesh: Mesh, odd: Odd) -> Found:
    """The events in batches."""
    bad: list[BadEvent] = []
    found: list[str] = []
    with Subscriber(odd.binding.address, mesh.registry, on_bad=bad.append, kafka=CONNECTIONS) as subscriber:
        batches = subscriber.batches(wait_s=0.2)
        for _ in patiently(f"{len(found)} events"):
            found += [event.data["sensor"] for event in next(batches)]
            if len(found) == len(odd.good):
                break
    return found, offsets(bad)


def by_columns(mesh: Mesh, odd: Odd) -> Found:
    """The events by columns."""
    if why := unavailable():
        pytest.skip(why)
    bad: list[BadEvent] = []
    found: list[str] = []
    with Subscriber(odd.binding.address, mesh.registry, on_bad=bad.append, kafka=CONNECTIONS) as subscriber:
        batches = subscriber.arrow_batches(wait_s=0.2)
        for _ in patiently(f"{len(found)} events"):
            found += next(batches).data.column("sensor").to_pylist()
            if len(found) == len(odd.good):
                break
    return found, offsets(bad)


def by_replay(mesh: Mesh, odd: Odd) -> Found:
    """The history."""
    bad: list[BadEvent] = []
    with Replay(odd.binding.address, mesh.registry, on_bad=bad.append, kafka=CONNECTIONS) as job:
        return [event.data["sensor"] for event in job.events()], offsets(bad)


READERS: dict[str, Callable[[Mesh, Odd], Found]] = {
    "subscriber": by_subscriber, "batches": by_batches, "columns": by_columns, "replay": by_replay,
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_an_odd_header_costs_no_event(mesh: Mesh, odd: Odd, reader: str) -> None:
    """An event with a foreign header of any form is read; one whose attributes are doubtful is reported with its offset."""
    assert READERS[reader](mesh, odd) == (odd.good, odd.refused)


def test_without_on_bad_the_error_names_the_offset(mesh: Mesh, odd: Odd) -> None:
    """A strict subscriber reads up to the first bad event, odd headers included, and its error has topic and offset."""
    with Subscriber(odd.binding.address, mesh.registry, kafka=CONNECTIONS) as subscriber:
        before = take(subscriber, odd.refused[0])
        assert [event.data["sensor"] for event in before] == odd.good[: odd.refused[0]]
        rest = iter(subscriber)
        assert next(rest) == before[-1]
        with pytest.raises(EventError, match=rf"^{odd.binding.topic}\[0\]@{odd.refused[0]}: "):
            next(rest)


def test_the_proof_by_data_reads_odd_messages(mesh: Mesh, odd: Odd) -> None:
    """The gate's proof over a topic counts an event with an odd header as readable, and reports the others."""
    schema = parse_schema(odd.binding.schema_text)
    evidence = prove(
        odd.binding, schema, mesh.registry, versions=(Version(1, schema),), sample=Sample(), kafka=CONNECTIONS
    )
    assert evidence.failed == {Cause.UNREADABLE: len(odd.refused)}
    assert evidence.events == odd.count


def test_the_headers_that_have_a_name_are_returned(odd: Odd) -> None:
    """Only a header without a readable name is passed over; asking again, by one or by many, gives the same."""
    messages = [message for batch in read_topic(connection(odd.binding.bootstrap_servers), odd.binding.topic)
                for message in batch]  # fmt: skip
    first = headers_of_each(messages)
    assert [headers_of(each) for each in messages] == first == headers_of_each(messages)
    for number, more in enumerate([[], *ODD.values()]):
        expected = [(name.decode(), text) for name, text in more if name not in {ODD_NAME, b"\xff"}]
        assert (first[number] or ())[8:] == expected


def test_headers_are_returned_one_by_one_as_well(odd: Odd) -> None:
    """The first call for a message, by itself, returns what a call for many returns."""
    with closing(TopicFollower(connection(odd.binding.bootstrap_servers), odd.binding.topic)) as follower:
        one = [[*(headers_of(message) or ())] for batch in follower.catch_up() for message in batch]
    with closing(TopicFollower(connection(odd.binding.bootstrap_servers), odd.binding.topic)) as follower:
        many = [[*(each or ())] for batch in follower.catch_up() for each in headers_of_each(batch)]
    assert one == many
    assert len(one) == odd.count


@pytest.fixture(scope="module")
def expanding(mesh: Mesh) -> Odd:
    """Good readings around two batches that no client decompresses: 110 MB of zeros each, some kilobytes as they are stored."""
    made = Odd(mesh.product(partitions=1), refused=[1, 2])
    store(mesh, made.binding, 0, [])
    settings = {**client_settings(made.binding.bootstrap_servers), "compression.type": "zstd", "log_level": 0}
    producer = ClientProducer({**settings, "message.max.bytes": 200_000_000})
    for _ in made.refused:
        producer.produce(made.binding.topic, bytes(110_000_000), b"k", partition=0)
        assert producer.flush(60) == 0
    store(mesh, made.binding, 3, [])
    store(mesh, made.binding, 4, [])
    made.count = 5
    return made


@pytest.mark.parametrize("reader", READERS)
def test_what_the_client_cannot_decompress_costs_itself_only(mesh: Mesh, expanding: Odd, reader: str) -> None:
    """A batch that expands beyond what the client takes is reported as a bad event with its offset; reading goes on."""
    assert READERS[reader](mesh, expanding) == (expanding.good, expanding.refused)


def test_the_proof_by_data_passes_over_what_the_client_cannot_decompress(mesh: Mesh, expanding: Odd) -> None:
    """Such a message is a failure with its offset, and no tombstone."""
    schema = parse_schema(expanding.binding.schema_text)
    evidence = prove(
        expanding.binding, schema, mesh.registry, versions=(Version(1, schema),), sample=Sample(), kafka=CONNECTIONS
    )
    assert (evidence.failed, evidence.tombstones) == ({Cause.UNREADABLE: 2}, 0)
    assert [each.offset for each in evidence.failures] == expanding.refused
    assert "decompress" in evidence.failures[0].error.lower()
