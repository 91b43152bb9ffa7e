"""The newest entries of a changelog in memory, kept up to date while its processor continues to write.

Reading a changelog takes as long as the processor has run. Where a state has to be restored while its processor is paused,
the changelog is read before the pause, and during it only what was written since.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshport.kafka.config import KafkaConfig
from meshport.ports.scan import TopicFollower
from meshport.process.runtime.kafka_log import KafkaLog, entry_of
from meshport.process.state.changelog import ChangelogRecord, Checkpoint
from meshport.process.state.keys import CHECKPOINT_KEY


class ChangelogCache:
    """The newest entry of each row of a changelog, which holds the row's newest two versions. Tombstones are left out.

    That suffices unless a fenced predecessor (a zombie) writes late; the restore then finds the cache damaged.

    Args:
        kafka: the connection to the cluster.
        changelog: the topic.
    """

    def __init__(self, kafka: KafkaConfig, changelog: str) -> None:
        self._changelog = changelog
        self._follower = TopicFollower(kafka, changelog)
        self._entries: dict[int, dict[bytes, ChangelogRecord]] = {}

    def catch_up(self, log: KafkaLog) -> None:
        """Read the changelog up to its present end.

        Args:
            log: the cluster.

        Raises:
            BrokerUnavailable: nothing came though entries were due.
        """
        log.decided(self._changelog)
        for messages in self._follower.catch_up():
            for message in messages:
                entries = self._entries.setdefault(message.partition(), {})
                entry = entry_of(message)
                if entry.key == CHECKPOINT_KEY:
                    known = entries.get(entry.key)
                    if known is None or _progress(known) <= _progress(entry):
                        entries[entry.key] = entry
                elif entry.value is None:
                    entries.pop(entry.key, None)
                else:
                    entries[entry.key] = entry

    def entries(self, partition: int) -> Iterable[ChangelogRecord]:
        """Return the entries of one partition, in no particular order."""
        return self._entries.get(partition, {}).values()

    def close(self) -> None:
        """Close the connections."""
        self._follower.close()


def _progress(checkpoint: ChangelogRecord) -> tuple[int, int]:
    if checkpoint.value is None:
        return -1, -1
    found = Checkpoint.read(checkpoint.value)
    return found.stamp, found.due
