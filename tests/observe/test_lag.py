"""The lag of consumer groups on a real Kafka: events as they are in the log, and not differences of offsets."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from confluent_kafka import Producer as ClientProducer

from meshport.binding import Binding
from meshport.kafka.consumer import Consumer
from meshport.kafka.groups import ClusterGroups
from meshport.kafka.topic_partition import TopicPartition
from meshport.observe import lag
from meshport.observe.lag import GroupLags, PartitionLag, Unread, total_of
from meshport.ports.subscriber import Subscriber
from tests.connections import CONNECTIONS, client_settings
from tests.mesh_session import Mesh
from tests.ports.readings import cut, fill, take

pytestmark = pytest.mark.kafka


@pytest.fixture
def port(mesh: Mesh) -> Binding:
    """A port with one partition."""
    return mesh.product(partitions=1)


@pytest.fixture
def group() -> str:
    """A group that no other test has."""
    return f"billing-{uuid4().hex[:8]}"


@pytest.fixture
def lags(mesh: Mesh) -> Iterator[GroupLags]:
    """The lags of the session's cluster."""
    with GroupLags(mesh.kafka) as opened:
        yield opened


def commit(mesh: Mesh, port: Binding, group: str, offset: int) -> None:
    """Have a group commit an offset of partition 0."""
    with Consumer(mesh.kafka, group=group) as consumer:
        consumer.commit(port.topic, {0: offset})


def transact(port: Binding, *committed: bool) -> None:
    """Write one record in each of these transactions, and commit or abort it."""
    producer = ClientProducer({**client_settings(port.bootstrap_servers), "transactional.id": uuid4().hex})
    producer.init_transactions()
    for commits in committed:
        producer.begin_transaction()
        producer.produce(port.topic, b"v", b"k", partition=0)
        producer.flush()
        if commits:
            producer.commit_transaction()
        else:
            producer.abort_transaction()


def of(lags: GroupLags, port: Binding, group: str) -> PartitionLag:
    """The lag of a group in its one partition of a port."""
    (found,) = [each for each in lags.look(topics={port.topic}) if each.group == group]
    return found


def test_events_are_counted_and_timed(mesh: Mesh, lags: GroupLags, port: Binding, group: str) -> None:
    """A group that committed offset 3 of 10 is 7 events late, since the fourth was recorded."""
    fill(mesh, port.address, range(10))
    commit(mesh, port, group, 3)
    found = of(lags, port, group)
    assert (found.committed, found.first, found.end, found.member) == (3, 0, 10, None)
    assert found.unread is not None
    assert (found.unread.events, found.unread.at_most) == (7, False)
    assert found.unread.oldest_ms is not None
    assert found.seconds is not None
    assert found.state == "empty"


def test_markers_of_transactions_are_no_events(mesh: Mesh, lags: GroupLags, port: Binding, group: str) -> None:
    """Of two committed transactions and an aborted one, two events are unread; at the last event, none is, before the end."""
    transact(port, True, False, True)
    commit(mesh, port, group, 0)
    assert of(lags, port, group).unread == Unread(2, oldest_ms=total_of([of(lags, port, group)]).oldest_ms)
    commit(mesh, port, group, 5)
    found = of(lags, port, group)
    assert (found.end, found.unread, found.seconds) == (6, Unread(0), 0.0)


def test_an_open_transaction_hides_what_follows(mesh: Mesh, lags: GroupLags, port: Binding, group: str) -> None:
    """Its offsets, and those after it, are undecided: no group is late by them."""
    fill(mesh, port.address, range(2))
    commit(mesh, port, group, 1)
    producer = ClientProducer({**client_settings(port.bootstrap_servers), "transactional.id": uuid4().hex})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(port.topic, b"v", b"k", partition=0)
    producer.flush()
    fill(mesh, port.address, range(2))
    unread = of(lags, port, group).unread
    assert unread is not None
    assert (unread.events, unread.undecided) == (1, 3)
    producer.abort_transaction()


def test_many_events_are_a_number_of_offsets(
    mesh: Mesh, lags: GroupLags, port: Binding, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where more is unread than is counted, the rest are offsets, and that is said; the oldest event is known all the same."""
    monkeypatch.setattr(lag, "COUNTED", 5)
    fill(mesh, port.address, range(1000))
    commit(mesh, port, group, 10)
    unread = of(lags, port, group).unread
    assert unread is not None
    assert unread.events == 990
    assert unread.oldest_ms is not None


def test_groups_at_other_offsets_are_told_apart(mesh: Mesh, lags: GroupLags, port: Binding) -> None:
    """Three groups of one partition have their own numbers."""
    fill(mesh, port.address, range(10))
    names = [f"{uuid4().hex[:8]}" for _ in range(3)]
    for name, offset in zip(names, (0, 4, 10), strict=True):
        commit(mesh, port, name, offset)
    found = {each.group: each.unread for each in lags.look(topics={port.topic})}
    assert [unread.events for name in names if (unread := found[name]) is not None] == [10, 6, 0]


def test_what_retention_removed_before_it_was_read(mesh: Mesh, lags: GroupLags, port: Binding, group: str) -> None:
    """The lag counts from the first offset that is retained, and says how many are gone."""
    fill(mesh, port.address, range(10))
    commit(mesh, port, group, 2)
    cut(port, 6)
    found = of(lags, port, group)
    assert found.removed == 4
    assert found.unread is not None
    assert found.unread.events == 4


def test_who_holds_a_partition(mesh: Mesh, lags: GroupLags, port: Binding, group: str) -> None:
    """A running subscriber is named, also before it has committed anything: then how much is unread is not known."""
    fill(mesh, port.address, range(3))
    with Subscriber(port.address, mesh.registry, group=group, kafka=CONNECTIONS) as subscriber:
        take(subscriber, 1)
        found = of(lags, port, group)
        assert found.member is not None
        assert found.state == "stable"
        assert (found.committed, found.unread, found.seconds) == (None, None, None)
        take(subscriber, 2)
        subscriber.commit()
        assert of(lags, port, group).unread is not None


def test_a_partition_that_a_topic_does_not_have_is_left_out(mesh: Mesh, port: Binding) -> None:
    """The bounds of a topic with fewer partitions than are asked for are those that it has."""
    asked = [TopicPartition(port.topic, each) for each in (0, 7)]
    groups = ClusterGroups(mesh.kafka)
    found = groups.bounds(asked)
    assert groups.bounds([TopicPartition("tests.nothing", 0)]) == {}
    assert set(found) == {TopicPartition(port.topic, 0)}
