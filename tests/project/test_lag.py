"""What is counted as stored and as waiting."""

from __future__ import annotations

import random
from contextlib import closing
from functools import partial
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as ClientPartition

from meshport.kafka.admin import Admin
from meshport.local.cluster import Cluster
from meshport.local.lag import EventCounter, group_reader
from meshport.ports.scan import TopicFollower
from tests.connections import client_settings
from tests.process.members import first_messages, joined, transactions
from tests.process.processor import mesh
from tests.process.topics import Topics, world
from tests.waiting import wait_for


@pytest.mark.parametrize("seed", range(20))
def test_waiting_is_what_lies_behind_a_place(seed: int) -> None:
    """The events from any offset on are counted: in a gap, before the first event, and after the last one."""
    dice = random.Random(seed)
    begin = dice.randrange(5)
    offsets = [each for each in range(begin, begin + 60) if dice.random() < dice.choice((0.2, 0.9))]
    tally = EventCounter()
    for offset in offsets:
        tally.take(offset)
    assert tally.events == len(offsets)
    for place in range(begin + 70):
        assert tally.waiting(place) == sum(offset >= place for offset in offsets), place


@pytest.mark.kafka
def test_markers_are_not_counted(kafka: Cluster) -> None:
    """Of topics that are written in transactions what can be read is counted, what comes later too, and nothing else."""
    names = [f"t{uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        Admin(kafka.config).ensure_topic(name, 2)
    tallies = {(name, partition): EventCounter() for name in names for partition in range(2)}
    writer = Producer({**client_settings(kafka.bootstrap_servers), "transactional.id": names[0]})
    writer.init_transactions()

    def write() -> None:
        writer.begin_transaction()
        for name in names:
            writer.produce(name, b"v", partition=0)
        writer.produce(names[0], b"v", partition=1)
        writer.commit_transaction()

    with closing(TopicFollower(kafka.config, *names)) as follower:

        def counted() -> list[int]:
            for messages in follower.catch_up():
                for each in messages:
                    tallies[each.topic(), each.partition()].take(each.offset())
            return [tally.events for tally in tallies.values()]

        def stored(expected: list[int]) -> bool:
            return counted() == expected

        assert stored([0, 0, 0, 0])
        for number in range(1, 4):
            write()
            wait_for(partial(stored, [number, number, number, 0]), lambda: str(counted()))
        assert [tally.waiting(3) for tally in tallies.values()] == [1, 1, 1, 0]


@pytest.mark.kafka
def test_the_lag_is_counted_beside_an_open_transaction(kafka: Cluster) -> None:
    """A processor that was killed between its group's offsets and its commit does not hold up who looks at the lag."""
    topics = Topics(*mesh(kafka.bootstrap_servers, f"t{uuid4().hex[:8]}."))
    source, group = topics.plan.source.topic, topics.plan.group
    topics.publish(world(20))
    killed = transactions(topics)
    with joined(topics.plan) as member:
        first_messages(member)
        membership = member.membership
        assert membership is not None
        killed.begin()
        killed._client.send_offsets_to_transaction([ClientPartition(source, 0, 1)], membership)
    with group_reader(topics.plan.kafka, group) as looking:
        assert looking.committed(source) == {}
    killed.abort()
    killed.close()
    topics.log.close()
