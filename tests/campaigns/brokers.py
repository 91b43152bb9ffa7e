"""What each broker of a cluster does for a processor: which partitions it leads, and for what it is the coordinator."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from confluent_kafka.admin import AdminClient

from meshport.local.embedded import EmbeddedKafka
from tests.campaigns.lane import Lane

ROLES: Final = (
    "transaction coordinator",
    "group coordinator",
    "leader of input",
    "leader of output",
    "active controller",
)
"""What a broker may do for a processor."""

_OFFSETS: Final = "__consumer_offsets"
_TRANSACTIONS: Final = "__transaction_state"
# Written by Kafka's QuorumController, such as: Becoming the active controller at epoch 7, new next write offset 41.
_ACTIVE: Final = re.compile(r"ecoming the active controller at epoch (\d+)")
_TIMEOUT_S: Final = 30.0


class Roles:
    """Finds what each broker does for the processor of a lane.

    Args:
        cluster: the brokers.
        lane: the processor.
    """

    def __init__(self, cluster: EmbeddedKafka, lane: Lane) -> None:
        self._cluster = cluster
        self._admin = AdminClient(
            {"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 100}
        )
        plan = lane.topics.plan
        self._group = plan.group
        self._transactions = f"{plan.group}.{lane.member}"
        self._topics = {plan.source.topic: "input", plan.output.topic: "output"} | {
            stage.changelog: "changelog" for stage in plan.stages
        }

    def found(self) -> dict[int, list[str]]:
        """Return by broker what it does, for people; each begins with one of `ROLES`."""
        topics = self._admin.list_topics(timeout=_TIMEOUT_S).topics
        found: dict[int, list[str]] = {node: [] for node in range(1, self._cluster.brokers + 1)}
        for topic, words in self._topics.items():
            for node, roles in found.items():
                led = [number for number, each in sorted(topics[topic].partitions.items()) if each.leader == node]
                if led:
                    roles.append(f"leader of {words} {' '.join(map(str, led))}")
        for topic, name, words in (
            (_OFFSETS, self._group, "group coordinator"),
            (_TRANSACTIONS, self._transactions, "transaction coordinator"),
        ):
            if topic in topics:
                partitions = topics[topic].partitions
                found.get(partitions[java_hash(name) % len(partitions)].leader, []).append(words)
        found.get(active_controller(self._cluster.data_dir), []).append("active controller")
        return found

    def replaced(self, node: int) -> bool:
        """Return whether a broker leads no partition and is no in-sync replica of any.

        Until then what is sent to a partition is not acknowledged: it waits for the leader, or the leader for the replica.
        """
        topics = self._admin.list_topics(timeout=_TIMEOUT_S).topics.values()
        partitions = [each for topic in topics for each in topic.partitions.values()]
        return all(each.leader not in {node, -1} and node not in each.isrs for each in partitions)


def java_hash(text: str) -> int:
    """Return `Utils.abs(text.hashCode())` of Kafka, which places groups and transactional ids on partitions."""
    value = 0
    for each in text:  # the names are ASCII: a character is a unit of Java's UTF-16
        value = (31 * value + ord(each)) & 0xFFFFFFFF
    return abs(value - (1 << 32) if value >> 31 else value)


def active_controller(folder: Path) -> int:
    """Return the broker whose log has the newest epoch of an active controller; 0 where none says so.

    Clients cannot ask for it: in KRaft the metadata names any broker, which passes requests on (KIP-590).
    """
    found = [
        (int(epoch), int(file.parent.name.removeprefix("node-")))
        for file in folder.glob("node-*/server.log")
        for epoch in _ACTIVE.findall(file.read_text(encoding="utf-8", errors="replace"))
    ]
    return max(found, default=(0, 0))[1]
