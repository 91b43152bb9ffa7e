"""Messages that are sent without gaps: after one that the broker refuses, none of its partition is stored."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.gapless import Attempt, GaplessProducer
from meshport.kafka.producer import Message
from meshport.ports.scan import read_topic
from tests.mesh_session import Mesh

LIMIT = 20_000


@pytest.fixture
def topic(mesh: Mesh) -> str:
    """A topic with one partition that takes small messages only."""
    name = f"gapless-{uuid4().hex[:8]}"
    Admin(mesh.kafka).ensure_topic(name, 1, {"max.message.bytes": str(LIMIT)})
    return name


@pytest.fixture
def producer(mesh: Mesh) -> Iterator[GaplessProducer]:
    """A producer."""
    with GaplessProducer(mesh.kafka) as opened:
        yield opened


def messages(topic: str, *values: int) -> list[Message]:
    """Messages under one key, each of so many bytes."""
    return [Message(topic, b"k", bytes([index]) * size) for index, size in enumerate(values)]


def stored(kafka: KafkaConfig, topic: str) -> list[int]:
    """The indexes of the messages in a topic, in the order of its log."""
    return [(each.value() or b"")[0] for found in read_topic(kafka, topic) for each in found]


def test_nothing_is_stored_after_a_refused_message(mesh: Mesh, topic: str, producer: GaplessProducer) -> None:
    """What is in the log is a prefix of what was sent, and is what the attempt reports; also for a producer's first batch."""
    sizes = [100] * 50
    sizes[20] = 2 * LIMIT
    attempt = producer.attempt(messages(topic, *sizes))
    assert 20 in attempt.suspected
    found = stored(mesh.kafka, topic)
    assert found == sorted(attempt.stored) == list(range(len(found)))
    assert len(found) <= 20


def test_a_message_that_is_refused_alone_is_the_one(mesh: Mesh, topic: str, producer: GaplessProducer) -> None:
    """After the failure the producer sends again, and the messages beside the refused one are stored."""
    assert producer.attempt(messages(topic, 2 * LIMIT)).suspected.keys() == {0}
    assert producer.attempt(messages(topic, 100, 100)).stored == {0, 1}
    assert stored(mesh.kafka, topic) == [0, 1]


def test_a_missing_topic_refuses_its_messages_alone(mesh: Mesh, topic: str, producer: GaplessProducer) -> None:
    """Messages to a topic that is not there are refused; those to another are stored."""
    missing = f"gapless-{uuid4().hex[:8]}"
    sent = [*messages(missing, 1, 2), *messages(topic, 1)]
    attempt = producer.attempt(sent)
    assert (set(attempt.refused), set(attempt.suspected), attempt.stored) == ({0, 1}, set(), {2})
    assert stored(mesh.kafka, topic) == [0]
    assert missing in attempt.refused[0].message


def test_a_message_that_the_client_refuses_holds_back_its_key(
    mesh: Mesh, topic: str, producer: GaplessProducer
) -> None:
    """Later messages under its key are not sent, those under other keys are."""
    large, after, other = Message(topic, b"a", b"x" * 2_000_000), Message(topic, b"a", b"1"), Message(topic, b"b", b"2")
    attempt = producer.attempt([large, after, other])
    assert (set(attempt.refused), attempt.stored) == ({0}, {2})
    assert stored(mesh.kafka, topic) == [ord("2")]


def test_a_wait_without_a_broker_ends_when_asked() -> None:
    """Nothing is known of messages that no broker has acknowledged."""
    with GaplessProducer(KafkaConfig("127.0.0.1:1")) as unconnected:
        attempt = unconnected.attempt(messages("orders", 1), pause=lambda: False)
    assert attempt == Attempt()
