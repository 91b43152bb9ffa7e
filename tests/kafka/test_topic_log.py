"""The identity of a topic's log: kept apart from its name, and watched without waiting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from meshport.errors import KafkaError, TopicRemade
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.in_memory import in_memory_cluster
from meshport.kafka.topic_log import LogWatch, TopicLogs
from meshport.local.cluster import Cluster
from tests.remade import remake, topic_id
from tests.waiting import patiently, wait_for


def watch_of(kafka: KafkaConfig, *topics: str, look_s: float = 0) -> LogWatch:
    """Return a watch that asks again at each look."""
    return LogWatch(kafka, *topics, reader="a test has read it", hint="begin again", group="tests", look_s=look_s)


def look_until_it_raises(watch: LogWatch) -> None:
    """Look again and again."""
    for _ in patiently("the watch to raise"):
        watch.look()


def test_a_topic_that_is_made_again_has_another_id(kafka: Cluster) -> None:
    """The id stays as long as the topic, partitions that are added included; a topic made again has another."""
    topic, admin = f"t{uuid4().hex[:8]}", Admin(kafka.config)
    assert TopicLogs(kafka.config).of(topic) == {}
    admin.ensure_topic(topic, 2)
    log = TopicLogs(kafka.config).of(topic)[topic]
    admin.add_partitions(topic, 3)
    admin.add_partitions(topic, 2)  # has as many already
    assert TopicLogs(kafka.config).of(topic)[topic] == log._replace(partitions=3)
    before, after = remake(kafka.config, topic)
    assert (before, after != before) == (log.id, True)


def test_a_watch_finds_a_topic_that_was_made_again(kafka: Cluster) -> None:
    """A watch raises an error with both ids, whether it looks now and then, checks at once, or explains another error."""
    topic, other = f"t{uuid4().hex[:8]}", f"t{uuid4().hex[:8]}"
    for each in (topic, other):
        Admin(kafka.config).ensure_topic(each, 1)
    watch = watch_of(kafka.config, topic, other)
    watch.look()
    watch.check()
    with pytest.raises(KafkaError, match="something else"), watch.explaining():
        raise KafkaError("something else")
    ids = remake(kafka.config, topic)
    with pytest.raises(TopicRemade, match="deleted and made again") as found:
        look_until_it_raises(watch)
    assert (found.value.topic, found.value.group) == (topic, "tests")
    assert (found.value.expected_id, found.value.found_id) == ids
    with pytest.raises(TopicRemade):
        watch.check()
    for error in (KafkaError("something else"), TopicRemade("it ends at offset 3, the state is at 9", topic=topic)):
        with pytest.raises(TopicRemade) as explained, watch.explaining():
            raise error
        assert (explained.value.expected_id, explained.value.found_id) == ids


def test_a_topic_that_is_gone_is_waited_for(kafka: Cluster) -> None:
    """An error between the deletion of a topic and its creation is explained as well; a topic that stays away is none."""
    topic, admin = f"t{uuid4().hex[:8]}", Admin(kafka.config)
    admin.ensure_topic(topic, 1)
    watch = watch_of(kafka.config, topic)
    before = watch.id_of(topic)
    admin.delete_topic(topic)
    wait_for(lambda: topic not in admin.partitions(), f"{topic} to be deleted")
    with pytest.raises(KafkaError, match="is gone"), watch.explaining():
        raise KafkaError("the topic is gone")
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(admin.ensure_topic, topic, 1)
        with pytest.raises(TopicRemade) as explained, watch.explaining():
            raise KafkaError("the topic is gone")
        assert made.result()
    assert (explained.value.expected_id, explained.value.found_id) == (before, topic_id(kafka.config, topic))


def test_a_watch_takes_a_topic_up_that_comes_later(kafka: Cluster) -> None:
    """A topic that did not exist when the watch began is known by the id that it has first."""
    topic = f"t{uuid4().hex[:8]}"
    watch = watch_of(kafka.config, topic)
    assert watch.known == {}
    Admin(kafka.config).ensure_topic(topic, 1)
    watch.check()
    assert watch.known.keys() == {topic}
    remake(kafka.config, topic)
    with pytest.raises(TopicRemade):
        watch.check()


def test_a_cluster_in_memory_is_watched_as_well() -> None:
    """Librdkafka's cluster in memory answers, so that the readers of a test need no real Kafka."""
    with in_memory_cluster() as kafka:
        topic = f"t{uuid4().hex[:8]}"
        Admin(kafka).ensure_topic(topic, 4)
        watch = watch_of(kafka, topic)
        assert watch.partitions == {topic: 4}
        watch.check()
