"""The end of a bounded run on a real Kafka: committed transactions that cannot be read yet, and markers, which are not events."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from uuid import uuid4

import pytest

from meshport.kafka.producer import Message, Producer
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import Transactions
from meshport.local.cluster import Cluster
from meshport.process.runtime.engine import Engine
from meshport.process.runtime.watchdog import ProcessorProgress, run_engine
from tests.process.processor import mesh
from tests.process.topics import Topics
from tests.waiting import PATIENCE_S, wait_for


class Finished(Engine):
    """An engine that has processed all of its input when it starts, and then waits to be stopped."""

    def __init__(
        self, next_offsets: Mapping[TopicPartition, int], redriven_offsets: Mapping[TopicPartition, int] | None = None
    ) -> None:
        super().__init__("finished")
        self.assigned = True
        self.next_offsets = next_offsets
        self.redriven_offsets = redriven_offsets or {}

    @property
    def loaded(self) -> int:
        """It reads nothing."""
        return 0

    @property
    def fetched(self) -> dict[TopicPartition, int]:
        """It fetches nothing."""
        return {}

    def _run(self) -> None:
        self._stopping.wait()


@pytest.fixture
def topics(kafka: Cluster) -> Iterator[Topics]:
    """The processor of `tests.process.processor`, with topics of its own."""
    made = Topics(*mesh(kafka.bootstrap_servers, f"t{uuid4().hex[:8]}."))
    yield made
    made.log.close()


@pytest.fixture
def transactions(kafka: Cluster) -> Iterator[Transactions]:
    """A transactional producer of another process."""
    made = Transactions(kafka.config, f"t{uuid4().hex[:8]}")
    made.start()
    yield made
    made.close()


def leave_open(topics: Topics, transactions: Transactions, topic: str) -> None:
    """Store a message at the end of a topic's first partition, in a transaction that stays open."""
    end = topics.log.high_watermarks(topic)[0]
    transactions.begin()
    transactions.deliver([Message(topic, b"k", b"v", (), None, 0)])
    wait_for(lambda: topics.log.high_watermarks(topic)[0] > end)


def test_markers_are_no_events_that_wait(topics: Topics, transactions: Transactions) -> None:
    """The lag counts neither markers of transactions nor aborted messages."""
    plan = topics.plan
    topic, stop = plan.source.topic, threading.Event()
    stop.set()
    with Producer(plan.kafka) as producer:
        producer.deliver([Message(topic, b"k", b"v", (), None, 0)])
    leave_open(topics, transactions, topic)
    transactions.abort()
    wait_for(lambda: topics.log.bounds(topic)[0] == (0, 3))
    assert run_engine(plan, Finished({TopicPartition(topic, 0): 1}), stop=stop).lag == 0
    assert run_engine(plan, Finished({TopicPartition(topic, 0): 0}), stop=stop).lag == 1


def test_a_bounded_run_ends_when_its_outputs_can_be_read(topics: Topics, transactions: Transactions) -> None:
    """A bounded run ends only after transactions on its output that were open when all was processed."""
    plan = topics.plan
    done: list[ProcessorProgress] = []
    offsets = {
        TopicPartition(stage.topic, number): 0 for stage in plan.stages for number in topics.log.bounds(stage.topic)
    }
    redriven = {TopicPartition(plan.redrive_topic, number): 0 for number in topics.log.bounds(plan.redrive_topic)}
    leave_open(topics, transactions, plan.output.topic)
    run = threading.Thread(target=lambda: done.append(run_engine(plan, Finished(offsets, redriven), until_end=True)))
    run.start()
    run.join(0.5)
    assert run.is_alive()
    transactions.abort()
    run.join(PATIENCE_S)
    assert [each.lag for each in done] == [0]
    assert topics.written() == 2  # the message and its marker
