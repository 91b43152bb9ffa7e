"""The use of a topic: whether it holds events, and which consumer groups read it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from meshport.binding import Binding
from meshport.kafka.config import KafkaConfig


class TopicReader(Protocol):
    """Where topics are looked at: `meshport.kafka.admin.Admin`, or the topics of a mesh in memory."""

    @property
    def kafka(self) -> KafkaConfig:
        """The connection to the cluster, as its readers reach it."""

    def topic_ids(self, names: Collection[str]) -> dict[str, str]:
        """Return Kafka's ids of topics, by topic; a topic that has none, or does not exist, is left out."""

    def records(self, name: str) -> int:
        """Return how many offsets a topic holds; 0 where there is no such topic."""

    def groups_of(self, name: str) -> list[str]:
        """Return the consumer groups that have committed offsets in a topic, or whose members are assigned to it."""


@dataclass(frozen=True, slots=True)
class TopicUse:
    """The use of a topic.

    Attributes:
        topic: the topic.
        records: how many offsets it holds; events, and the markers of transactions.
        groups: the consumer groups that read it.
    """

    topic: str
    records: int
    groups: tuple[str, ...]

    @property
    def unused(self) -> bool:
        """Whether it holds nothing and no group reads it."""
        return not self.records and not self.groups

    def __str__(self) -> str:
        held = f"holds {self.records} {'record' if self.records == 1 else 'records'}" if self.records else "is empty"
        return f"{self.topic} {held}" + (f" and is read by {', '.join(self.groups)}" if self.groups else "")


def topic_use(name: str, topics: TopicReader) -> TopicUse:
    """Return the use of a topic.

    Raises:
        KafkaError: the cluster did not answer.
    """
    return TopicUse(name, topics.records(name), tuple(topics.groups_of(name)))


def is_unused(binding: Binding, topics: TopicReader) -> bool:
    """Return whether a port's topic holds nothing and no group reads it; False for a topic of another cluster.

    Raises:
        KafkaError: the cluster did not answer.
    """
    if binding.topic_id is not None:
        found = topics.topic_ids([binding.topic]).get(binding.topic)
        if found is not None and found != binding.topic_id:
            return False
        here = found is not None or binding.bootstrap_servers == topics.kafka.bootstrap_servers
    else:
        here = binding.bootstrap_servers == topics.kafka.bootstrap_servers
    return here and topic_use(binding.topic, topics).unused
