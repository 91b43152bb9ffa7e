"""The topics of a mesh in memory, as `apply` makes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from meshport.binding import Binding
from meshport.kafka.config import KafkaConfig
from meshport.kafka.topic import Topic
from meshport.process.engines.memory_log import MemoryLog
from meshport.testing.registry import BOOTSTRAP_SERVERS


class MemoryTopics:
    """Topics with their settings, over a log in memory.

    Attributes:
        kafka: the bootstrap servers that the registry gives every binding.
        log: what the topics hold.
    """

    def __init__(self) -> None:
        self.kafka = KafkaConfig(BOOTSTRAP_SERVERS)
        self.log = MemoryLog()
        self._configs: dict[str, dict[str, str]] = {}
        self._replicas: dict[str, int] = {}

    def of(self, cluster: str | None) -> MemoryTopics:  # noqa: ARG002 - of the protocol
        """Return these topics: a mesh in memory has no clusters."""
        return self

    def to(self, binding: Binding) -> MemoryTopics:  # noqa: ARG002 - of the protocol
        """Return these topics: a mesh in memory has no clusters."""
        return self

    makes_adopted = True  # a stand-in for the topic that others make on their cluster

    def topic(self, name: str) -> Topic | None:
        """Return a topic, or None where there is none of that name."""
        config = self._configs.get(name)
        return None if config is None else Topic(name, self.log.partitions[name], self._replicas[name], dict(config))

    def topic_ids(self, names: Collection[str]) -> dict[str, str]:  # noqa: ARG002 - of the protocol
        """Return no ids: a topic in memory is never made again."""
        return {}

    def replicas(self, declared: int | None) -> int:
        """Return how many replicas a new topic is said to have."""
        return declared or 1

    def in_sync_replicas(self, declared: int, replicas: int) -> int:
        """Return how many replicas are said to store an event."""
        return min(declared, replicas)

    def ensure_topic(
        self, name: str, partitions: int, config: Mapping[str, str] | None = None, *, replicas: int | None = None
    ) -> bool:
        """Make a topic if there is none; return whether it was made now."""
        if name in self._configs:
            return False
        self.log.partitions[name] = partitions
        self._configs[name] = dict(config or {})
        self._replicas[name] = self.replicas(replicas)
        return True

    def records(self, name: str) -> int:
        """Return how many records a topic holds."""
        return sum(end - begin for begin, end in self.log.bounds(name).values()) if name in self._configs else 0

    def groups_of(self, name: str) -> list[str]:  # noqa: ARG002 - of the protocol
        """Return no group: a mesh in memory keeps none."""
        return []

    def set_config(self, name: str, config: Mapping[str, str], removed: Collection[str] = ()) -> None:
        """Change settings of a topic; those that are not named stay."""
        kept = {key: value for key, value in self._configs[name].items() if key not in removed}
        self._configs[name] = kept | dict(config)

    def check_new_topic(self, name: str, partitions: int, config: Mapping[str, str], replicas: int) -> None:
        """Take every topic."""

    def check_config(self, name: str, config: Mapping[str, str], removed: Collection[str] = ()) -> None:
        """Take every change of settings."""
