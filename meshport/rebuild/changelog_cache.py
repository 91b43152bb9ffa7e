"""What compaction would leave of a changelog, kept up to date while its processor goes on writing.

To read a changelog takes as long as the processor has run. Where a state has to be taken up while its processor stands still,
its changelog is read before that, and then only what came in the last moment.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshport.kafka.config import KafkaConfig
from meshport.ports.scan import Follower
from meshport.process.runtime.kafka_log import KafkaLog, entry_of
from meshport.process.state.changelog import ChangelogRecord, Checkpoint
from meshport.process.state.keys import CHECKPOINT_KEY


class ChangelogCache:
    """The newest entry of each row of a changelog, which holds the row's newest two versions; tombstones are left out.

    That is enough as long as nobody writes late who was replaced; of one who did, restoring tells.

    Args:
        kafka: the connection to the cluster.
        changelog: the topic.
    """

    def __init__(self, kafka: KafkaConfig, changelog: str) -> None:
        self._changelog = changelog
        self._follower = Follower(kafka, changelog)
        self._entries: dict[int, dict[bytes, ChangelogRecord]] = {}

    def catch_up(self, log: KafkaLog) -> None:
        """Read on to the end.

        Args:
            log: of the cluster.

        Raises:
            BrokerUnavailable: nothing came though entries were to come.
        """
        log.decided(self._changelog)
        for messages in self._follower.catch_up():
            for message in messages:
                entries = self._entries.setdefault(message.partition(), {})
                entry = entry_of(message)
                if entry.key == CHECKPOINT_KEY:
                    known = entries.get(entry.key)
                    if known is None or _stamp(known) <= _stamp(entry):
                        entries[entry.key] = entry
                elif entry.value is None:
                    entries.pop(entry.key, None)
                else:
                    entries[entry.key] = entry

    def entries(self, partition: int) -> Iterable[ChangelogRecord]:
        """Of one partition, in any order."""
        return self._entries.get(partition, {}).values()

    def close(self) -> None:
        """Let go of the connections."""
        self._follower.close()


def _stamp(checkpoint: ChangelogRecord) -> tuple[int, int]:
    if checkpoint.value is None:
        return -1, -1
    found = Checkpoint.read(checkpoint.value)
    return found.stamp, found.due
