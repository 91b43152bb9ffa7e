"""Topics that are deleted and made again, as an administrator may do under their readers."""

from __future__ import annotations

from meshport.errors import KafkaError
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.topic_log import TopicLogs
from tests.waiting import wait_for


def topic_id(kafka: KafkaConfig, topic: str) -> str | None:
    """Return Kafka's id of a topic; None where there is no such topic."""
    log = TopicLogs(kafka).of(topic).get(topic)
    return None if log is None else log.id


def remake(kafka: KafkaConfig, topic: str) -> tuple[str, str]:
    """Delete a topic and make it again with the same number of partitions and settings; its ids before and after."""
    admin = Admin(kafka)
    was, before = admin.topic(topic), topic_id(kafka, topic)
    assert was is not None
    assert before is not None
    admin.delete_topic(topic)

    def made() -> bool:
        try:
            admin.ensure_topic(topic, was.partitions, was.config)
        except KafkaError:
            return False  # its deletion is not over yet
        return topic_id(kafka, topic) not in {None, before}

    wait_for(made, f"{topic} to be made again")
    after = topic_id(kafka, topic)
    assert after is not None
    return before, after
