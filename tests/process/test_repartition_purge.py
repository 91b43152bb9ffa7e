"""The repartition topic on a real Kafka: no unread record is removed, and what is committed is deleted, nothing beyond."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest

from meshport.errors import HistoryMissing
from meshport.kafka.admin import Admin
from meshport.kafka.record_deletion import RecordDeletion
from meshport.kafka.topic_partition import TopicPartition
from meshport.local.cluster import Cluster
from meshport.local.embedded import EmbeddedKafka
from meshport.local.listeners import PlainListeners
from meshport.process.engines import batch
from meshport.process.engines import faust as engine
from meshport.process.runtime import repartition_purge
from meshport.process.runtime.checkpoints import latest_checkpoints
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.own_topics import ensure_topics
from meshport.process.runtime.repartition_purge import RepartitionPurge
from meshport.process.runtime.starting_offset import assign
from meshport.process.runtime.worker import Worker
from tests.process.members import a_second_member, a_second_producer, member_one
from tests.process.processor import mesh
from tests.process.topics import Topics, check, world
from tests.waiting import PATIENCE_S, wait_for

ENGINES = [pytest.param(batch, id="batch"), pytest.param(engine, id="faust")]
SECOND_MS = "1000"
AS_BEFORE = {"retention.ms": str(7 * 86_400_000), "segment.bytes": "1073741824"}
"""The settings that an earlier version of Meshport gave a repartition topic."""


@pytest.fixture
def topics(kafka: Cluster) -> Iterator[Topics]:
    """The processor of `tests.process.processor`, with topics of its own."""
    made = Topics(*mesh(kafka.bootstrap_servers, f"t{uuid4().hex[:8]}."))
    yield made
    made.log.close()


class ImpatientListeners(PlainListeners):
    """A broker that looks ten times a second for what retention removes; five minutes by default."""

    def settings(self, port: int, inner: Sequence[int]) -> dict[str, str]:
        """Return the settings of one broker."""
        often = {"log.retention.check.interval.ms": "100", "log.initial.task.delay.ms": "100"}
        return super().settings(port, inner) | often | {"log.segment.delete.delay.ms": "100"}


@pytest.fixture(scope="module")
def impatient(jars: Path) -> Iterator[EmbeddedKafka]:
    """A broker on which a second's retention is over after a second."""
    java = os.environ.get("JAVA_HOME")
    with EmbeddedKafka(cache_dir=jars, java_home=java, listeners=ImpatientListeners) as kafka:
        yield kafka


def rekeyed_topic(topics: Topics) -> str:
    """Return the name of the repartition topic."""
    assert topics.plan.repartition is not None
    return topics.plan.repartition.topic


def stands_still(kafka: EmbeddedKafka) -> Topics:
    """Return the topics of a processor that has re-keyed its events, and has stopped before it grouped one of them."""
    made = Topics(*mesh(kafka.bootstrap_servers, f"t{uuid4().hex[:8]}."))
    made.publish(world(300))
    with closing(KafkaLog(made.plan.kafka)) as log:
        worker = Worker(made.plan, made.ports, log)
        inputs = [TopicPartition(made.plan.source.topic, number) for number in range(made.plan.source.partitions)]
        for each in inputs:
            worker.assign(each)
        ends = made.log.bounds(made.plan.source.topic)
        worker.process({each: made.log.between(*each, *ends[each.partition]) for each in inputs})
    assert sum(end - begin for begin, end in made.log.bounds(rekeyed_topic(made)).values()) > 200
    return made


def has_config(admin: Admin, topic: str, settings: Mapping[str, str]) -> bool:
    """Whether the broker has these settings of a topic."""
    found = admin.topic(topic)
    return found is not None and settings.items() <= found.config.items()


def is_empty(topics: Topics, topic: str) -> bool:
    """Whether every record of a topic is removed."""
    return all(begin == end for begin, end in topics.log.bounds(topic).values())


@pytest.mark.kafka
@pytest.mark.parametrize("runs", ENGINES)
def test_a_processor_that_stands_still_loses_nothing(impatient: EmbeddedKafka, runs: ModuleType) -> None:
    """With a retention, what was re-keyed is removed unread, and the processor cannot go on; without one, it is all there."""
    lost, kept = stands_still(impatient), stands_still(impatient)
    admin = Admin(lost.plan.kafka)
    admin.set_config(rekeyed_topic(lost), AS_BEFORE | {"retention.ms": SECOND_MS})
    # The broker has looked at both topics, and both hold records of the same age.
    wait_for(partial(is_empty, lost, rekeyed_topic(lost)))
    with pytest.raises(HistoryMissing, match="removed from the log"):
        raise_removed(lost)
    runs.run_processor(kept.plan, kept.ports, until_end=True)
    check(kept)
    for each in (lost, kept):
        each.log.close()


def raise_removed(topics: Topics) -> None:
    """Assign the partitions of the repartition topic as an engine does."""
    with closing(KafkaLog(topics.plan.kafka)) as log:
        worker = Worker(topics.plan, topics.ports, log)
        for number in range(topics.plan.output.partitions):
            assign(worker, TopicPartition(rekeyed_topic(topics), number), log)


@pytest.mark.kafka
def test_a_topic_of_an_earlier_version_keeps_its_records_from_the_next_start_on(impatient: EmbeddedKafka) -> None:
    """The next start lifts the retention of a repartition topic that was made with seven days."""
    topics = stands_still(impatient)
    admin, name = Admin(topics.plan.kafka), rekeyed_topic(topics)
    forever = {"retention.ms": "-1", "retention.bytes": "-1"}
    for limits in (AS_BEFORE, {"retention.bytes": "1000"}):
        admin.set_config(name, limits)
        wait_for(partial(has_config, admin, name, limits))  # the controller has it before the broker that is asked
        ensure_topics(topics.plan, admin)
        wait_for(partial(has_config, admin, name, forever))
    topics.log.close()


@pytest.mark.parametrize("runs", ENGINES)
def test_what_is_committed_is_deleted(topics: Topics, runs: ModuleType) -> None:
    """A run that ends in order leaves no record in the repartition topic, and the next one goes on after it."""
    name = rekeyed_topic(topics)
    for number in range(2):
        topics.publish(world(300, seed=number, start=300 * number))
        runs.run_processor(topics.plan, topics.ports, until_end=True)
        bounds = topics.log.decided(name)
        grouped = {at: each.offset + 1 for at, each in latest_checkpoints(topics.plan, topics.log)[-1].items()}
        committed = topics.log.committed(topics.plan.group, name)
        begins = {partition: begin for partition, (begin, _) in bounds.items()}
        assert all(0 < begins[each] <= min(grouped[each], committed[each]) for each in begins)
        if runs is batch:
            assert begins == grouped
    check(topics)


def beyond(topics: Topics, seen: list[Mapping[TopicPartition, int]]) -> Callable[..., None]:
    """Return `RecordDeletion.start`, with a check of each request against what the group has committed by then."""
    start = RecordDeletion.start
    log = KafkaLog(topics.plan.kafka)

    def checked(deletion: RecordDeletion, offsets: Mapping[TopicPartition, int]) -> None:
        committed = log.committed(topics.plan.group, rekeyed_topic(topics))
        if wrong := {each: offset for each, offset in offsets.items() if offset > committed.get(each.partition, 0)}:
            raise AssertionError(f"{wrong} is beyond {committed}")
        seen.append(offsets)
        start(deletion, offsets)

    return checked


@pytest.mark.parametrize("fence", [a_second_producer, a_second_member])
def test_nothing_beyond_the_committed_offsets_is_deleted(
    topics: Topics, fence: Callable[[Topics], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting at every turn, while transactions abort and the member is fenced: no request passes the group's offsets."""
    seen: list[Mapping[TopicPartition, int]] = []
    monkeypatch.setattr(repartition_purge, "PURGE_S", 0.0)
    monkeypatch.setattr(RecordDeletion, "start", beyond(topics, seen))
    topics.publish(world(500))
    with member_one(topics) as failed:
        wait_for(lambda: any(seen) or failed, lambda: repr(failed))
        fence(topics)
        before = topics.written()
        topics.publish(world(500, seed=2, start=500))
        wait_for(lambda: topics.written() > before or failed, lambda: repr(failed))
    batch.run_processor(topics.plan, topics.ports, until_end=True, member="one")
    check(topics)
    assert any(seen)


def test_a_request_every_half_minute(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two requests lie 30 s; what lies before both offsets is deleted, of the repartition topic alone, and only once."""
    asked: list[Mapping[TopicPartition, int]] = []
    start = RecordDeletion.start

    def noted(deletion: RecordDeletion, offsets: Mapping[TopicPartition, int]) -> None:
        asked.append(offsets)
        start(deletion, offsets)
        deletion.wait(PATIENCE_S)

    monkeypatch.setattr(RecordDeletion, "start", noted)
    topics.publish(world(300))
    engine.run_processor(topics.plan, topics.ports, until_end=True)
    name = rekeyed_topic(topics)
    bounds = topics.log.bounds(name)
    ends = {TopicPartition(name, number): end for number, (_, end) in bounds.items()}
    asked.clear()
    times = iter((100.0, 100.0, 100.0, 129.0, 130.0, 130.0, 160.0, 160.0))
    purge = RepartitionPurge(topics.plan, lambda: next(times))
    purge.look({**ends, TopicPartition("another", 0): 9}, dict.fromkeys(ends, 2))
    purge.look(ends, ends)
    assert asked == [dict.fromkeys(ends, 2)]
    purge.look(ends, ends)
    purge.look(ends, ends)
    # The run had deleted more, so that the log begins after the offset 2 that was asked for first.
    assert asked[1] == {each: end for each, end in ends.items() if end > bounds[each.partition][0]}
    assert len(asked) == 3
    assert asked[2] == {}


def test_a_broker_that_is_away_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Where no broker answers, the records stay until a later attempt, and the processor goes on."""
    caplog.set_level(logging.INFO)
    plan, _ = mesh("127.0.0.1:1", f"t{uuid4().hex[:8]}.")
    assert plan.repartition is not None
    partition = TopicPartition(plan.repartition.topic, 0)
    RepartitionPurge(plan).look({partition: 1}, {partition: 1})
    assert "it is tried again later" in caplog.text
