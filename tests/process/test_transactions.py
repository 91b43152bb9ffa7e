"""The transactions of the batch engine on a real Kafka: what they commit, refuse, abort and leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from confluent_kafka import TopicPartition as ClientPartition

from meshport.errors import KafkaError, TransactionAborted
from meshport.kafka import transaction
from meshport.kafka.producer import Message, Producer
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import Member
from meshport.local.cluster import Cluster
from meshport.process.engines import batch, faust
from meshport.process.runtime.commit_pipeline import CommitPipeline
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.worker import Worker
from meshport.process.state.keys import CHECKPOINT_KEY
from tests.process.members import first_messages, joined, transactions
from tests.process.processor import mesh
from tests.process.topics import Topics, check, world
from tests.waiting import PATIENCE_S, wait_for


@pytest.fixture
def topics(kafka: Cluster) -> Iterator[Topics]:
    """The processor of `tests.process.processor`, with topics of its own."""
    made = Topics(*mesh(kafka.bootstrap_servers, f"t{uuid4().hex[:8]}."))
    yield made
    made.log.close()


def test_a_batch_is_bounded_by_bytes(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read ends soon after its limit of bytes, and the next one continues after it."""
    monkeypatch.setattr(transaction, "BATCH_BYTES", 10_000)
    topic = topics.plan.source.topic
    with Producer(topics.plan.kafka) as producer:
        producer.deliver(Message(topic, b"k", b"v" * 100, (), None, 0) for _ in range(3000))
    found: list[list[int]] = []

    def all_read() -> bool:
        found.append([each.offset() for each in member.read(20_000, 0.1)])
        return sum(map(len, found)) == 3000

    with joined(topics.plan) as member:
        wait_for(all_read, pause_s=0)
    assert [offset for each in found for offset in each] == list(range(3000))
    assert 100 < max(map(len, found)) <= 1001


def test_offsets_of_another_group_generation_are_refused(topics: Topics) -> None:
    """The commit of a member whose partitions moved is refused, and no committed reader sees what it sent."""
    topics.publish(world(20))
    plan, output = topics.plan, topics.plan.output.topic
    zombie = joined(plan)
    offset = first_messages(zombie)
    stale = zombie.membership
    assert stale is not None
    zombie.close()
    partition = TopicPartition(plan.source.topic, 0)
    sender = transactions(topics)
    with joined(plan) as successor:
        first_messages(successor)
        sender.begin()
        sender.deliver([Message(output, b"k", b"of a zombie", (), None, 0)])
        with pytest.raises(TransactionAborted):
            sender.commit({partition: offset}, stale)
        sender.abort()
        assert topics.stored(output) == []
        assert successor.committed(plan.source.topic) == {}
        current = successor.membership
        assert current is not None
        sender.begin()
        sender.deliver([Message(output, b"k", b"of the successor", (), None, 0)])
        sender.commit({partition: offset}, current)
        assert successor.committed(plan.source.topic) == {0: offset}
    wait_for(lambda: [each.value for each in topics.stored(output)] == [b"of the successor"])
    sender.close()


def test_nothing_is_sent_after_a_commit_that_failed(topics: Topics) -> None:
    """A commit that fails while the next batch is computed is raised before anything of that batch is sent, and aborted."""
    topics.publish(world(20))
    output, settled = topics.plan.output.topic, list[str]()

    def values() -> list[bytes | None]:
        return [each.value for each in topics.stored(output)]

    zombie = joined(topics.plan)
    offsets = {TopicPartition(topics.plan.source.topic, 0): first_messages(zombie)}
    stale = zombie.membership
    assert stale is not None
    zombie.close()
    commits = CommitPipeline(transactions(topics))
    with joined(topics.plan) as successor:
        first_messages(successor)
        current = successor.membership
        assert current is not None
        commits.deliver([Message(output, b"k", b"of a zombie", (), None, 0)])
        commits.commit(offsets, stale, lambda: settled.append("of a zombie"))
        commits.wait()
        with pytest.raises(TransactionAborted):
            commits.deliver([Message(output, b"k", b"computed meanwhile", (), None, 0)])
        commits.abort()
        commits.deliver([Message(output, b"k", b"done again", (), None, 0)])
        commits.commit(offsets, current, lambda: settled.append("done again"))
        commits.deliver([Message(output, b"k", b"the next", (), None, 0)])
        assert settled == ["done again"]
    wait_for(lambda: values() == [b"done again"])
    commits.close()
    assert values() == [b"done again"]


@pytest.mark.parametrize("run", [batch.run_processor, faust.run_processor], ids=["batch", "faust"])
@pytest.mark.parametrize("stage", [0, 1])
def test_offsets_in_an_open_transaction_are_awaited(topics: Topics, run: Callable[..., object], stage: int) -> None:
    """A member paused between its group's offsets and its commit can commit nothing once its successor has begun (KIP-447)."""
    topics.publish(world(300))
    run(topics.plan, topics.ports, until_end=True)
    paused = transactions(topics)
    with joined(topics.plan) as member:
        first_messages(member)
        membership = member.membership
        assert membership is not None
        paused.begin()
        offsets = [ClientPartition(topics.plan.stages[stage].topic, 0, 1)]
        paused._client.send_offsets_to_transaction(offsets, membership)
    topics.publish(world(100, seed=2, start=300))
    run(topics.plan, topics.ports, until_end=True)
    with pytest.raises(KafkaError, match="fenced"):
        paused.commit({}, membership)
    check(topics)
    paused.close()


def test_there_is_no_membership_before_the_group_is_joined(topics: Topics) -> None:
    """A consumer that is not yet a member has no membership to commit with: the broker would not check such a commit."""
    with Member(topics.plan.kafka, topics.plan.group) as member:
        assert member.membership is None


def test_a_second_owner_fences_the_first(topics: Topics) -> None:
    """A second producer with a transactional id aborts the open transaction of the first, which can commit no more."""
    topics.publish(world(20))
    output = topics.plan.output.topic
    name = f"t{uuid4().hex[:8]}"
    first = transactions(topics, name)
    with joined(topics.plan) as member:
        first_messages(member)
        membership = member.membership
        assert membership is not None
        first.begin()
        first.deliver([Message(output, b"k", b"v", (), None, 0)])
        wait_for(lambda: topics.log.high_watermarks(output)[0] == 1)
        second = transactions(topics, name)
        with pytest.raises(KafkaError, match="fenced") as fenced:
            first.commit({TopicPartition(topics.plan.source.topic, 0): 1}, membership)
        assert not isinstance(fenced.value, TransactionAborted)
    first.close()
    second.close()
    assert topics.stored(output) == []


def test_an_aborted_transaction_leaves_no_trace(topics: Topics) -> None:
    """State is restored as of the last commit: without aborted entries, and after open transactions have ended."""
    plan, partition = topics.plan, TopicPartition(topics.plan.source.topic, 0)
    topics.publish(world(60))
    sender = transactions(topics)
    log = KafkaLog(plan.kafka, sender)
    messages = [each for each in topics.stored(plan.source.topic) if each.partition == 0]
    with joined(plan) as member:
        first_messages(member)
        membership = member.membership
        assert membership is not None
        for done, through in ((False, 10), (True, 5), (False, 12)):
            worker = Worker(plan, topics.ports, log)
            begin = worker.assign(partition)
            sender.begin()
            worker.process({partition: messages[begin:through]})
            if done:
                sender.commit({partition: through}, membership)
            else:
                sender.abort()
    assert Worker(plan, topics.ports, log).assign(partition) == 5
    other = transactions(topics)
    other.begin()
    changelog = plan.stages[0].changelog
    end = topics.log.high_watermarks(changelog)[0]
    other.deliver([Message(changelog, CHECKPOINT_KEY, b"no checkpoint", (), None, 0)])
    wait_for(lambda: topics.log.high_watermarks(changelog)[0] > end)
    found: list[int] = []
    restore = threading.Thread(target=lambda: found.append(Worker(plan, topics.ports, log).assign(partition)))
    restore.start()
    restore.join(0.5)
    assert restore.is_alive()
    other.abort()
    restore.join(PATIENCE_S)
    assert found == [5]
    other.close()
    sender.close()
    log.close()
