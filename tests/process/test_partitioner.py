"""Keys in other partitions than murmur2's: recognised one by one and by columns, and never counted twice."""

from __future__ import annotations

import logging
import random
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
from confluent_kafka import Producer as ClientProducer

from meshport.codec import codec_for
from meshport.errors import KafkaConfigError, WrongPartition
from meshport.event import EventWriter
from meshport.kafka.config import KafkaConfig
from meshport.kafka.producer import Message, Producer
from meshport.local.cluster import Cluster
from meshport.process.columns.partitions import partitions_of
from meshport.process.engines import batch
from meshport.process.engines import faust as engine
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import Port, Ports
from meshport.process.logic.operators import Aggregate, Deduplicate, Filter, Join, Operator, Select, Tumbling
from meshport.process.wire.partitioner import KeyPartition, partition_of
from meshport.process.wire.plan import make_plan
from tests.connections import CONNECTIONS, client_settings
from tests.mesh_session import Mesh
from tests.process.plays import ARTISTS, OUT, PLAY, WINDOW, at, pipeline, play, ports, record
from tests.process.plays import field as avro
from tests.process.topics import Topics
from tests.waiting import PATIENCE_S

HOUR = timedelta(hours=1)
COUNTS = record("Counts", avro("user", "string"), *WINDOW, avro("n", "long"))


def test_many_keys_are_hashed_as_one_is() -> None:
    """The hash over columns equals the hash of single keys, for keys of all lengths."""
    dice = random.Random(1)
    keys = [dice.randbytes(length) for length in range(40) for _ in range(20)] + [b"one of its length" * 9]
    dice.shuffle(keys)
    assert partitions_of(keys, 7) == [partition_of(key, 7) for key in keys]


@pytest.mark.parametrize("by_columns", [False, True])
def test_every_key_that_is_in_the_wrong_partition_is_found(by_columns: bool) -> None:
    """Keys are found whether they are new or known, also after more keys than are remembered, and no key is wrong."""
    check = KeyPartition(1, 3, partitions_of) if by_columns else KeyPartition(1, 3)
    keys: list[bytes | None] = [*(b"k%d" % number for number in range(200)), None, b"k1"]
    wrong = [index for index, key in enumerate(keys) if key is None or partition_of(key, 3) != 1]
    assert check.wrong(keys) == wrong
    assert check.wrong(keys) == wrong
    assert check.wrong([key for index, key in enumerate(keys) if index not in wrong]) == []


def test_known_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of ever new keys is checked without remembering all of them."""
    monkeypatch.setattr("meshport.process.wire.partitioner._REMEMBERED", 50)
    check = KeyPartition(0, 2)
    for begin in range(0, 400, 20):
        keys = [b"k%d" % number for number in range(begin, begin + 20)]
        assert check.wrong(keys) == [index for index, key in enumerate(keys) if partition_of(key, 2)]
        assert len(check._right) <= 50


def test_the_error_names_the_partitioner() -> None:
    """The error has key, partitions and the way out; it names librdkafka's default partitioner only where that fits."""
    with pytest.raises(WrongPartition, match="CRC32") as crc:
        KeyPartition(1, 3).check(b"u7")  # crc32(b"u7") % 3 is 1, murmur2 gives 2
    assert (crc.value.key, crc.value.partition, crc.value.expected, crc.value.partitions) == (b"u7", 1, 2, 3)
    assert crc.value.hint is not None
    assert "partitioner=murmur2_random" in crc.value.hint
    assert "repartition: always" in crc.value.hint
    with pytest.raises(WrongPartition, match="another partitioner than murmur2"):
        KeyPartition(0, 3).check(b"u7")
    with pytest.raises(WrongPartition, match="no record key"):
        KeyPartition(2, 3).check(None)
    KeyPartition(2, 3).check(b"u7")


@pytest.mark.parametrize(
    ("operators", "cleanup", "checks"),
    [
        ((Aggregate(("user",), {"n": "count()"}),), "delete", True),
        ((Aggregate(("artist",), {"n": "count()"}),), "delete", False),
        ((Deduplicate(HOUR), Aggregate(("artist",), {"n": "count()"})), "delete", True),
        ((Deduplicate(HOUR), Filter("ms > 0")), "delete", True),
        ((Filter("ms > 0"),), "delete", False),
        ((Filter("ms > 0"),), "compact", True),
        ((Aggregate(("artist",), {"n": "count()"}),), "compact", True),
    ],
)
def test_only_what_relies_on_the_partition_is_checked(
    operators: tuple[Operator, ...], cleanup: str, checks: bool
) -> None:
    """Groups by the key, de-duplication and tables check partitions; what works event by event or re-keys takes all events."""
    declared = ports(PLAY, next((each.by for each in operators if isinstance(each, Aggregate)), ("user",)))
    declared["player/plays"] = Port(PLAY, key=("user",), time="at", partitions=2, cleanup=cleanup)
    plan = make_plan(pipeline(*operators), OUT, Ports(declared))
    assert plan.sources[0].checks_partitions is checks
    declared["player/plays"] = Port(PLAY, key=("user",), time="at", partitions=1, cleanup=cleanup)
    assert not make_plan(pipeline(*operators), OUT, Ports(declared)).sources[0].checks_partitions


@pytest.mark.kafka
@pytest.mark.parametrize("on", ["batch", "faust"])
def test_a_foreign_producer_does_not_split_totals(kafka: Cluster, on: str) -> None:
    """With a producer that has librdkafka's defaults beside ours, windows close once; each event counts or is quarantined."""
    logic = pipeline(Aggregate(("user",), {"n": "count()"}, Tumbling(HOUR), emit="close"), lateness=HOUR)
    bound = Ports(
        ports(COUNTS, ("user", "window_start"), plays=4),
        bootstrap_servers=kafka.bootstrap_servers,
        prefix=f"p{uuid4().hex[:8]}.",
    )
    topics = Topics(make_plan(logic, OUT, bound, kafka=CONNECTIONS), bound)
    source = topics.plan.source
    plays = [(f"p{number}", play(f"u{number % 23}", minutes=number / 5)) for number in range(2000)]
    writer = EventWriter(
        source=str(source.address),
        type=source.type,
        codec=codec_for(bound.by_id(source.schema_id)),
        schema_id=source.schema_id,
    )
    foreign = ClientProducer(client_settings(kafka.bootstrap_servers))
    for begin in range(0, len(plays), 100):
        topics.publish(plays[begin : begin + 50])
        for id_, data in plays[begin + 50 : begin + 100]:
            value, headers = writer.message(data, id=id_, time=data["at"])
            foreign.produce(source.topic, value, data["user"].encode(), headers=list(headers))
        assert foreign.flush(PATIENCE_S) == 0
    run = batch.run_processor if on == "batch" else engine.run_processor
    run(topics.plan, bound, until_end=True)
    stored = topics.stored(source.topic)
    misplaced = [each for each in stored if partition_of(each.key or b"", 4) != each.partition]
    assert 0 < len(misplaced) < 1000
    quarantined = topics.stored(topics.plan.quarantine_topic)
    assert {dict(each.headers)["ce_id"] for each in quarantined} == {dict(each.headers)["ce_id"] for each in misplaced}
    assert {dict(each.headers)["mesh_error"] for each in quarantined} == {b"WrongPartition"}
    outputs = topics.events(topics.plan.output.topic)
    assert max(Counter((event.key, event.time) for event in outputs).values()) == 1
    counted = Counter(
        (event.data["user"], event.data["at"].replace(minute=0, second=0, microsecond=0))
        for event in topics.events(source.topic)
        if partition_of(event.key or b"", 4) == event.partition
    )
    found = {(event.data["user"], event.data["window_start"]): event.data["n"] for event in outputs}
    assert found.items() <= counted.items()
    assert len(found) > 23 * 4
    topics.log.close()


@pytest.mark.parametrize("first_is_own", [False, True])
def test_a_joined_key_in_two_partitions_has_one_row(first_is_own: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Of a joined product's rows of one key in two partitions, those in the partition of the key count, in whatever order."""
    harness = Harness(
        pipeline(Join(ARTISTS, "artist", {"label": "label"}, "keep"), Select(("user", "label"))),
        output=str(OUT),
        ports=ports(record("Labelled", avro("user", "string"), avro("label", ["null", "string"])), ("user",)),
    )
    own = partition_of(b"a1", 2)
    rows = [("own", own, 0), ("foreign", 1 - own, 5)]
    for label, partition, minute in rows if first_is_own else reversed(rows):
        row = {"artist": "a1", "label": label, "since": at(minute)}
        harness.publish(str(ARTISTS), row, partition=partition)
    harness.publish(
        str(ARTISTS), {"artist": "a2", "label": "alone", "since": at(0)}, partition=1 - partition_of(b"a2", 2)
    )
    with caplog.at_level(logging.WARNING):
        for number, artist in enumerate(("a1", "a2")):
            harness.publish("player/plays", play(f"u{number}", artist, minutes=9))
        harness.run()
    assert {row["user"]: row["label"] for row in harness.records()} == {"u0": "own", "u1": "alone"}
    assert [each for each in caplog.messages if "in the partitions" in each and "b'a1'" in each]


def test_a_property_does_not_change_the_partitioner(in_memory_mesh: Mesh) -> None:
    """Another partitioner is refused, and a producer puts keys into the partitions of murmur2."""
    with pytest.raises(KafkaConfigError, match="partitioner cannot be changed"):
        KafkaConfig(properties={"partitioner": "consistent_random"})
    binding = in_memory_mesh.product()
    with Producer(KafkaConfig(binding.bootstrap_servers, {"partitioner": "murmur2_random"})) as producer:
        keys = [b"u%d" % number for number in range(20)]
        stored = producer.deliver(Message(binding.topic, key, b"") for key in keys)
    assert [partition for partition, _ in stored] == [partition_of(key, binding.partitions) for key in keys]
