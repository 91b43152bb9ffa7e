"""Odd and oversized messages in every engine: each costs itself only, whatever Kafka stored."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast
from uuid import uuid4

import pytest
from confluent_kafka import Producer as ClientProducer

from meshport.codec import codec_for
from meshport.event import EventWriter
from meshport.kafka.admin import Admin
from meshport.kafka.producer import Message, Producer
from meshport.kafka.topic_partition import TopicPartition
from meshport.local.cluster import Cluster
from meshport.ports.failed.packing import original_digest
from meshport.process.engines import batch
from meshport.process.engines import faust as engine
from meshport.process.engines.bounded import BoundedProcessor
from meshport.process.engines.memory_ports import Port, Ports
from meshport.process.logic.operators import Aggregate, Join, Operator, Select
from meshport.process.logic.pipeline import Pipeline
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.quarantine import read_quarantine
from meshport.process.runtime.redrive import redrive
from meshport.process.wire.plan import Plan, make_plan
from tests.connections import CONNECTIONS, client_settings
from tests.odd_messages import ODD_NAME, store_raw
from tests.process.plays import ARTISTS, OUT, at, field, pipeline, play, ports, record
from tests.process.topics import Topics
from tests.repeats import repeated, repeats
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka

SUMS = record("Sums", field("artist", "string"), field("n", "long"), field("ms", "long"))
SEEN = record("Seen", field("user", "string"), field("ms", "long"))
LABELLED = record("Labelled", field("user", "string"), field("ms", "long"), field("label", ["null", "string"]))
RAISED = {"max.message.bytes": str(40 * 1024 * 1024)}
"""The settings of an input whose owner allows more than a processor's own topics take."""


def bounded(plan: Plan, schemas: Ports, **_: Any) -> None:
    """Run a processor as a rebuild does, to the present end of its inputs."""
    log = KafkaLog(plan.kafka)
    ends = {
        TopicPartition(each.stage.topic, number): end
        for each in plan.sources
        for number, (_, end) in log.bounds(each.stage.topic).items()
    }
    log.close()
    with BoundedProcessor(plan, schemas) as processor:
        processor.advance_to(ends)


ENGINES: dict[str, Callable[..., object]] = {
    "batch": partial(batch.run_processor, until_end=True),
    "faust": partial(engine.run_processor, until_end=True),
    "rebuild": bounded,
}


class World(Topics):
    """A processor's topics, whose input is written message by message."""

    def __init__(self, kafka: Cluster, logic: Pipeline, given: dict[str, Port]) -> None:
        bound = Ports(given, bootstrap_servers=kafka.bootstrap_servers, prefix=f"t{uuid4().hex[:8]}.")
        super().__init__(make_plan(logic, OUT, bound, kafka=CONNECTIONS), bound)
        admin = Admin(self.plan.kafka)
        for binding in bound.bindings:
            admin.ensure_topic(binding.topic, binding.partitions)
        self._servers = kafka.bootstrap_servers
        self._count = 0
        self._refusals: list[str] = []

    def message(self, data: dict[str, Any], address: str = "player/plays", **more: Any) -> Message:
        """Return an event of a port as our own writer makes it."""
        binding = next(each for each in self.ports.bindings if each.address.of_product == self._address(address))
        schema = self.ports.by_id(binding.schema_id)
        writer = EventWriter(
            source=str(binding.address), type=binding.type, codec=codec_for(schema), schema_id=binding.schema_id
        )
        self._count += 1
        value, headers = writer.message(data, id=f"e{self._count}", time=data[binding.time or "at"], **more)
        return Message(binding.topic, str(data[binding.key[0]]).encode(), value, headers, None, 0)

    def _address(self, text: str) -> Any:
        return next(
            each.address.of_product for each in self.ports.bindings if str(each.address).startswith(f"mesh://{text}/")
        )

    def put(self, *messages: Message, compression: str = "none") -> None:
        """Store messages, each in a batch of its own, however large it is before compression."""
        settings: dict[str, Any] = {**client_settings(self._servers), "compression.type": compression, "log_level": 0}
        producer = ClientProducer({**settings, "message.max.bytes": 200_000_000})
        for each in messages:
            # A broker applies a changed setting of a topic some milliseconds after the change was answered (KRaft).
            wait_for(partial(self._stored, producer, each), lambda: f"stored; the broker says: {self._refusals[-1]}")

    def _stored(self, producer: ClientProducer, message: Message) -> bool:
        """Return whether the broker stored a message; otherwise the reason is in `_refusals`."""
        before = len(self._refusals)
        headers: Any = list(message.headers)
        producer.produce(
            message.topic,
            message.value,
            message.key,
            message.partition or 0,
            headers=headers,
            timestamp=message.timestamp_ms or 0,
            on_delivery=lambda error, _: self._refusals.append(str(error)) if error else None,
        )
        return producer.flush(PATIENCE_S) == 0 and len(self._refusals) == before

    def put_raw(self, message: Message, *more: tuple[bytes, bytes | None]) -> None:
        """Store a message with headers of any name."""
        headers = [*((name.encode(), text) for name, text in message.headers), *more]
        store_raw(self._servers, message.topic, headers, message.value or b"", key=message.key or b"")

    def run(self, on: str) -> None:
        """Run the processor to the end of its input."""
        ENGINES[on](self.plan, self.ports)
        for topic in (self.plan.output.topic, self.plan.quarantine_topic):
            self.log.decided(topic)  # the broker answers a commit before committed readers see it

    @property
    def written_records(self) -> list[Any]:
        """The data of all outputs, in order by partition."""
        return [each.data for each in self.events(self.plan.output.topic)]


@contextmanager
def world(kafka: Cluster, *operators: Operator, out: dict[str, Any], key: str, **given: Any) -> Iterator[World]:
    """The topics of a processor over plays, of one partition each."""
    made = World(kafka, pipeline(*operators), ports(out, (key,), plays=1, outputs=1, cleanup="delete") | given)
    yield made
    made.log.close()


BY_ARTIST = Aggregate(("artist",), {"n": "count()", "ms": "sum(ms)"})
ROWS, REKEYED, JOINED = (
    ((Select(("user", "ms")),), SEEN, "user"),
    ((BY_ARTIST,), SUMS, "artist"),
    ((Join(ARTISTS, "artist", {"label": "label"}, "keep"), Select(("user", "ms", "label"))), LABELLED, "user"),
)


@pytest.fixture(params=ENGINES)
def on(request: pytest.FixtureRequest) -> str:
    """An engine."""
    return str(request.param)


@pytest.mark.parametrize(("operators", "out", "key"), [ROWS, REKEYED, JOINED], ids=["rows", "re-keyed", "joined"])
@pytest.mark.parametrize("count", [1, 60], ids=["one by one", "by columns"])
def test_an_odd_header_costs_no_event(
    kafka: Cluster, on: str, operators: Sequence[Operator], out: dict[str, Any], key: str, count: int
) -> None:
    """An event, or a joined row, whose header's name is not UTF-8 counts; one with doubtful attributes is quarantined."""
    with world(kafka, *operators, out=out, key=key) as topics:
        plays = [topics.message(play(f"u{number}", ms=2**number)) for number in range(4)]
        for number in (1, 2):  # one of its kind only would be met by a new fetch of its own
            row = topics.message({"artist": "a1", "label": f"l{number}", "since": at(-60)}, "artists/onboardings")
            topics.put_raw(row, (ODD_NAME, b"1"))
        topics.put(*[topics.message(play("many", ms=0)) for _ in range(count)], plays[0])
        topics.put_raw(plays[1], (ODD_NAME, b"1"), (b"other", None))
        topics.put_raw(plays[2], (b"CE_ID", b"another"))
        topics.put(*[topics.message(play("many", ms=0)) for _ in range(count)])
        topics.put_raw(plays[3], (ODD_NAME, None), *((b"h%d" % number, None) for number in range(5000)))
        topics.run(on)
        found = topics.written_records
        assert len(found) == 2 * count + 3
        if key == "artist":
            assert found[-1] == {"artist": "a1", "n": 2 * count + 3, "ms": 1 + 2 + 8}
        else:
            assert sum(each["ms"] for each in found) == 1 + 2 + 8
            assert {each.get("label", "l2") for each in found} == {"l2"}
        (bad,) = read_quarantine(topics.plan.output, kafka=CONNECTIONS)
        assert (bad.offset, bad.key, bad.value) == (count + 2, b"u2", plays[2].value)
        assert "CE_ID is there twice" in bad.reason


LARGE = (1_040_000, repeats(suite=17_000_000, campaign=40_000_000))  # the second is larger than any message of ours


@repeated
@pytest.mark.parametrize(("operators", "out", "key"), [ROWS, REKEYED], ids=["rows", "re-keyed"])
def test_poison_of_any_size_is_quarantined_with_its_bytes(
    kafka: Cluster, on: str, operators: Sequence[Operator], out: dict[str, Any], key: str
) -> None:
    """Zeros that are some kilobytes as they are stored are quarantined whole, however large they are; redriven, again."""
    with world(kafka, *operators, out=out, key=key) as topics:
        named = topics.message(play()).headers
        topics.put(topics.message(play(ms=0)))
        for number, size in enumerate(LARGE, 1):
            topics.put(Message(topics.plan.source.topic, b"k", bytes(size), named), compression="gzip")
            topics.put(topics.message(play(ms=number)))
        topics.run(on)
        assert len(topics.written_records) == len(LARGE) + 1
        assert topics.written_records[-1]["ms"] == (3 if key == "artist" else 2)
        first = list(read_quarantine(topics.plan.output, kafka=CONNECTIONS))
        assert [(each.offset, each.value) for each in first] == [
            (2 * number - 1, bytes(size)) for number, size in enumerate(LARGE, 1)
        ]
        assert {(each.headers, each.error, each.original) for each in first} == {(tuple(named), "DecodeError", None)}
        if on == "rebuild" or key == "artist":
            return
        assert len(redrive(topics.plan.output, kafka=CONNECTIONS)) == len(LARGE)
        topics.run(on)
        again = list(read_quarantine(topics.plan.output, kafka=CONNECTIONS))[len(LARGE) :]
        assert [replace(each, redriven_before=0) for each in again] == first
        assert len(topics.written_records) == len(LARGE) + 1


def test_poison_that_cannot_be_compressed_stays_in_the_input(kafka: Cluster, on: str) -> None:
    """What is too large for the quarantine even when compressed leaves its position, size and digest; a redrive finds it."""
    with world(kafka, *ROWS[0], out=SEEN, key="user") as topics:
        Admin(topics.plan.kafka).set_config(topics.plan.source.topic, RAISED)
        noise = random.Random(1).randbytes(20_000_000)
        topics.put(topics.message(play(ms=0)), Message(topics.plan.source.topic, b"k", noise, [("h", b"1")]))
        topics.put(topics.message(play(ms=1)))
        topics.run(on)
        assert [each["ms"] for each in topics.written_records] == [0, 1]
        (bad,) = read_quarantine(topics.plan.output, kafka=CONNECTIONS)
        assert (bad.offset, bad.key, bad.value, bad.headers, bad.original) == (1, b"k", None, (), "in the input")
        assert (bad.size, bad.sha256) == (1 + len(noise), original_digest(b"k", noise))
        if on == "rebuild":
            return
        redrive(topics.plan.output, kafka=CONNECTIONS)
        topics.run(on)
        _, again = read_quarantine(topics.plan.output, kafka=CONNECTIONS)
        assert replace(again, redriven_before=0) == bad  # read again, with the same reason


def test_what_no_client_decompresses_is_quarantined_by_its_offset(kafka: Cluster, on: str) -> None:
    """A batch that expands beyond what the client takes leaves its position and the reason; the events around it count."""
    with world(kafka, *REKEYED[0], out=SUMS, key="artist") as topics:
        topics.put(topics.message(play(ms=1)))
        topics.put(Message(topics.plan.source.topic, b"k", bytes(110_000_000)), compression="zstd")
        topics.put(topics.message(play(ms=2)))
        topics.run(on)
        assert topics.written_records[-1] == {"artist": "a1", "n": 2, "ms": 3}
        (bad,) = read_quarantine(topics.plan.output, kafka=CONNECTIONS)
        assert (bad.topic, bad.partition, bad.offset) == (topics.plan.source.topic, 0, 1)
        if on == "faust":  # its client decompresses it
            assert bad.value == bytes(110_000_000)
        else:
            assert (bad.value, bad.original) == (None, "in the input")
            assert "decompress" in bad.reason.lower()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_compressed_topic_is_read(kafka: Cluster, on: str, codec: str) -> None:
    """Events count once, whatever their producer compressed them with."""
    with world(kafka, *REKEYED[0], out=SUMS, key="artist") as topics:
        settings = {
            **client_settings(kafka.bootstrap_servers),
            "compression.type": codec,
            "linger.ms": 100,
            "log_level": 0,
        }
        producer = ClientProducer(settings)
        for number in range(200):
            topic, key, value, headers, *_ = topics.message(play(ms=number))
            producer.produce(topic, value, key, 0, headers=cast(Any, list(headers)))
        assert producer.flush(60) == 0
        topics.run(on)
        assert topics.written_records[-1] == {"artist": "a1", "n": 200, "ms": sum(range(200))}
        assert not list(read_quarantine(topics.plan.output, kafka=CONNECTIONS))


def test_large_events_of_one_batch_are_rekeyed(kafka: Cluster, on: str) -> None:
    """Events below every limit, which together exceed a message of the repartition topic, all count."""
    with world(kafka, *REKEYED[0], out=SUMS, key="artist") as topics:
        noise = random.Random(1)
        messages = [topics.message(play(tags=[noise.randbytes(150_000).hex()], ms=1)) for _ in range(120)]
        with Producer(topics.plan.kafka) as producer:
            producer.deliver(messages)
        topics.run(on)
        assert topics.written_records[-1] == {"artist": "a1", "n": 120, "ms": 120}
        assert not list(read_quarantine(topics.plan.output, kafka=CONNECTIONS))


def test_an_event_too_large_to_rekey_is_quarantined(kafka: Cluster, on: str) -> None:
    """An event that no message of the repartition topic can hold, even compressed, costs itself only."""
    with world(kafka, *REKEYED[0], out=SUMS, key="artist") as topics:
        Admin(topics.plan.kafka).set_config(topics.plan.source.topic, RAISED)
        noise = random.Random(1).randbytes(20_000_000)
        topics.put(topics.message(play(ms=1)))
        large = topics.message(play(ms=4))
        topics.put(large._replace(headers=[*large.headers, ("foreign", noise)]), topics.message(play(ms=2)))
        topics.run(on)
        assert topics.written_records[-1] == {"artist": "a1", "n": 2, "ms": 3}
        (bad,) = read_quarantine(topics.plan.output, kafka=CONNECTIONS)
        assert (bad.offset, bad.original) == (1, "in the input")


def test_a_kafka_timestamp_beyond_all_years_costs_its_event(kafka: Cluster, on: str) -> None:
    """A message whose timestamp is after the year 9999 is quarantined with that timestamp."""
    with world(kafka, *REKEYED[0], out=SUMS, key="artist") as topics:
        Admin(topics.plan.kafka).set_config(
            topics.plan.source.topic, {"message.timestamp.after.max.ms": str(2**63 - 1)}
        )
        foreign = [each for each in topics.message(play()).headers if each[0] != "ce_recordedtime"]
        topics.put(topics.message(play(ms=1)))
        topics.put(topics.message(play(ms=4))._replace(headers=foreign, timestamp_ms=2**52))
        topics.put(topics.message(play(ms=2)))
        topics.run(on)
        assert topics.written_records[-1] == {"artist": "a1", "n": 2, "ms": 3}
        (bad,) = read_quarantine(topics.plan.output, kafka=CONNECTIONS)
        assert (bad.offset, bad.stored_at) == (1, str(2**52))
        assert str(2**52) in bad.reason
