"""What a function of `Consumer.subscribe` may ask for: the functions run within a call of the client, which must go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from meshport.errors import KafkaError
from meshport.kafka.admin import Admin
from meshport.kafka.consumer import Consumer
from meshport.kafka.groups import ClusterGroups
from meshport.local.cluster import Cluster
from tests.waiting import patiently, wait_for


@pytest.fixture
def topic(kafka: Cluster) -> str:
    """An empty topic with two partitions; also the name of the group that reads it."""
    name = f"t{uuid4().hex[:8]}"
    Admin(kafka.config).ensure_topic(name, 2)
    return name


def read_until_it_raises(consumer: Consumer) -> None:
    """Read until the member is assigned partitions."""
    for _ in patiently("the member to be assigned partitions"):
        consumer.read(1, 1)


def test_a_member_closes_while_it_is_assigned_partitions(kafka: Cluster, topic: str) -> None:
    """`close` calls both functions then, and each may ask for offsets of its partitions: the process goes on."""
    calls: list[str] = []
    consumer = Consumer(kafka.config, group=topic)
    groups = ClusterGroups(kafka.config)

    def ask(partitions: Sequence[int]) -> None:
        with suppress(KafkaError):  # of a client that is closing
            consumer.commits(topic, partitions)
        with suppress(KafkaError):
            consumer.bounds(topic, partitions)

    def on_assign(partitions: Sequence[int]) -> dict[int, int]:
        ask(partitions)
        calls.append(f"assigned {len(partitions)}")
        return dict.fromkeys(partitions, 0)

    def on_revoke(partitions: Sequence[int]) -> None:
        ask(partitions)
        calls.append(f"revoked {len(partitions)}")

    consumer.subscribe(topic, on_assign=on_assign, on_revoke=on_revoke)
    wait_for(
        lambda: sum(len(each.assigned) for each in groups.describe([topic])) == 2, "the group to assign both partitions"
    )
    assert calls == []
    consumer.close()
    assert calls == ["assigned 2", "revoked 2"]


@pytest.mark.parametrize(
    "question",
    [Consumer.partitions, Consumer.bounds, Consumer.commits, lambda asked, topic: asked.offsets_at(topic, 0)],
)
def test_a_function_that_asks_for_all_partitions_is_refused(
    kafka: Cluster, topic: str, question: Callable[[Consumer, str], Any]
) -> None:
    """The client would end the process when it calls the next function, so that the question is refused each time."""
    with Consumer(kafka.config, group=topic) as consumer:
        consumer.subscribe(topic, on_assign=lambda _: question(consumer, topic), on_revoke=lambda _: None)
        with pytest.raises(RuntimeError, match=f"asks for all partitions of {topic}"):
            read_until_it_raises(consumer)
