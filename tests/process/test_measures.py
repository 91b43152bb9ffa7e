"""What is measured of a processor, as metrics and probes show it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from uuid import uuid4

import pytest

from meshport.address import Address
from meshport.kafka.topic_partition import TopicPartition
from meshport.local.cluster import Cluster
from meshport.metrics.readiness import Readiness
from meshport.process.engines import batch
from meshport.process.runtime import watchdog
from meshport.process.runtime.engine import Engine
from meshport.process.runtime.measures import ProcessorMeasures
from meshport.process.stages.partition import Counts
from tests.metrics.samples import sample
from tests.process.processor import mesh
from tests.process.topics import Topics, world
from tests.waiting import PATIENCE_S, wait_for

ONE, TWO = TopicPartition("in", 0), TopicPartition("in", 1)


class FakeEngine(Engine):
    """An engine whose figures the test sets."""

    loaded = 0
    fetched: Mapping[TopicPartition, int] = {}

    def _run(self) -> None:
        self._stopping.wait()


class Wall:
    """A wall clock that the test sets, seconds since 1970."""

    now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Watched:
    """The measures of a fake engine."""

    def __init__(self) -> None:
        self.address = Address.parse(f"mesh://tests/p{uuid4().hex[:8]}/out")
        self.engine = FakeEngine("fake")
        self.readiness = Readiness("run", ["joined", "restored"])
        self.clock = Wall()
        self.measures = ProcessorMeasures(self.address, self.readiness, self.clock)

    def value(self, name: str, partition: TopicPartition | None = None, **labels: str) -> float | None:
        """Return a metric of this processor."""
        at = {} if partition is None else {"topic": partition.topic, "partition": str(partition.partition)}
        return sample(f"meshport_processor_{name}", processor=str(self.address), **at, **labels)

    def lags(self, waiting: Mapping[TopicPartition, int], recorded: float | None = None) -> None:
        """Have the lags set."""
        self.measures.lags(self.engine, waiting, lambda _: recorded)


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A fake engine and its measures."""
    found = Watched()
    yield found
    found.measures.end(found.engine)


def test_counts_are_added_once(watched: Watched) -> None:
    """Each count adds what is new since the last one; quarantined events by the class of their error."""
    counts = Counts(read=5, written=3, late=1)
    counts.add_quarantined(ValueError("no"))
    counts.add_quarantined(KeyError("no"))
    watched.engine.counts = counts
    watched.measures.count(watched.engine)
    watched.measures.count(watched.engine)
    more = Counts(read=2)
    more.add_quarantined(ValueError("no"))
    more.add(counts)
    watched.engine.counts = more
    watched.measures.count(watched.engine)
    assert watched.value("read_events_total") == 7
    assert watched.value("late_events_total") == 1
    assert watched.value("quarantined_events_total", reason="ValueError") == 2
    assert watched.value("quarantined_events_total", reason="KeyError") == 1
    assert counts.reasons == {"ValueError": 1, "KeyError": 1}


def test_lag_in_seconds_is_the_age_of_the_oldest_event_that_waits(watched: Watched) -> None:
    """It counts from the last event that was processed, or from when the partition was at its end, whichever is later."""
    watched.engine.next_offsets = {ONE: 10, TWO: 0}
    watched.engine.recorded = {ONE: int((watched.clock.now - 30) * 1000)}
    watched.lags({ONE: 4, TWO: 2}, recorded=watched.clock.now - 500)
    assert (watched.value("lag_events", ONE), watched.value("lag_seconds", ONE)) == (4, 30)
    assert watched.value("lag_seconds", TWO) == 500  # nothing of it was processed: the next event is looked at
    watched.lags({TWO: 2}, recorded=watched.clock.now - 500)
    assert (watched.value("lag_events", ONE), watched.value("lag_seconds", ONE)) == (0, 0)
    watched.clock.now += 3600
    watched.lags({ONE: 1})
    assert watched.value("lag_seconds", ONE) == 3600


def test_a_partition_that_was_revoked_is_not_shown(watched: Watched) -> None:
    """Another member shows its lag and its state; a processor that has ended shows none."""
    watched.engine.next_offsets = {ONE: 10, TWO: 0}
    watched.engine.state_sizes = {ONE: (3, 99), TWO: (1, 10)}
    watched.measures.count(watched.engine)
    watched.lags({ONE: 1, TWO: 1}, recorded=watched.clock.now)
    assert (watched.value("state_rows", ONE), watched.value("state_bytes", ONE)) == (3, 99)
    watched.engine.next_offsets, watched.engine.state_sizes = {ONE: 10}, {ONE: (3, 99)}
    watched.measures.count(watched.engine)
    assert (watched.value("lag_events", TWO), watched.value("state_rows", TWO)) == (None, None)
    assert watched.value("lag_events", ONE) == 1
    watched.engine.next_offsets, watched.engine.state_sizes = {}, {}
    watched.measures.end(watched.engine)
    assert (watched.value("lag_events", ONE), watched.value("state_bytes", ONE)) == (None, None)


def test_a_processor_is_ready_once_it_has_joined_and_is_restored(watched: Watched) -> None:
    """A rebalance that brings partitions makes it unready until their state is restored; so does its end."""
    watched.engine.assigned = True
    watched.measures.count(watched.engine)
    assert watched.readiness.state().reasons == ("not restored yet",)
    watched.engine.restored = True
    watched.measures.count(watched.engine)
    assert watched.readiness.state().ready
    watched.engine.restored = False
    watched.measures.count(watched.engine)
    assert not watched.readiness.state().ready
    watched.engine.restored = True
    watched.measures.end(watched.engine)
    assert watched.readiness.state().reasons == ("the processor has stopped",)


def test_a_running_processor_is_measured(kafka: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events, batches, commits, restores, state, watermark and lag of a processor on Kafka; it is ready while it runs."""
    monkeypatch.setattr(watchdog, "_LOOK_S", 0.05)
    topics = Topics(*mesh(kafka.bootstrap_servers, f"t{uuid4().hex[:8]}."))
    processor = str(topics.plan.output.address)
    before = {each: sample(each, processor=processor) or 0.0 for each in NAMES}
    topics.publish(world(200))
    readiness, stop = Readiness("run", ["joined", "restored"]), threading.Event()
    running = threading.Thread(
        target=batch.run_processor,
        args=(topics.plan, topics.ports),
        kwargs={"stop": stop, "readiness": readiness},
    )
    running.start()
    try:
        wait_for(lambda: readiness.state().ready and readiness.state().waiting == 0)
        stage = topics.plan.stages[0]

        def rows() -> float:
            named = {"processor": processor, "topic": stage.topic}
            found = (
                sample("meshport_processor_state_rows", **named, partition=str(each))
                for each in range(stage.partitions)
            )
            return sum(each or 0 for each in found)

        wait_for(lambda: rows() > 0, "state rows")
        assert sample("meshport_processor_watermark_timestamp_seconds", processor=processor) is not None
    finally:
        stop.set()
        running.join(PATIENCE_S)
        topics.log.close()
    assert all((sample(each, processor=processor) or 0) > before[each] for each in NAMES), NAMES
    assert not readiness.state().ready


NAMES = [
    "meshport_processor_read_events_total",
    "meshport_processor_written_records_total",
    "meshport_processor_late_events_total",
    "meshport_processor_batch_events_count",
    "meshport_processor_batch_compute_seconds_count",
    "meshport_processor_commit_seconds_count",
    "meshport_processor_restores_total",
]
