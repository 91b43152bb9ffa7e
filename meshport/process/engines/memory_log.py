"""Topics in memory, for a processor without a broker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from meshport.errors import KafkaError
from meshport.kafka.producer import Message
from meshport.ports.failed.packing import unpacked
from meshport.process.state.changelog import ChangelogRecord
from meshport.process.wire.headers import changelog_record
from meshport.process.wire.input import InputMessage
from meshport.process.wire.partitioner import partition_of


class Crash(KafkaError):  # noqa: N818 - names what happens
    """Raised within a delivery, as if the process were killed there; the messages before it are stored."""


@dataclass
class MemoryLog:
    """Topics in memory: `meshport.process.runtime.worker.Log` for tests.

    Attributes:
        partitions: the number of partitions by topic; other topics have one.
        crash_after: how many more messages are stored before `Crash` is raised; None: it is not raised.
        stored: every message of every topic, in the order of storage.
        removed: the (topic, partition, offset) of messages that compaction has removed.
    """

    partitions: dict[str, int] = field(default_factory=dict)
    crash_after: int | None = None
    stored: list[InputMessage] = field(default_factory=list)
    removed: set[tuple[str, int, int]] = field(default_factory=set)
    _topics: dict[str, list[list[InputMessage]]] = field(default_factory=dict)
    _seen: dict[str, list[int]] = field(default_factory=dict)

    def topic(self, name: str) -> list[list[InputMessage]]:
        """Return all messages of a topic, by partition."""
        return self._topics.setdefault(name, [[] for _ in range(self.partitions.get(name, 1))])

    def shared(self) -> MemoryLog:
        """Return a log over the same topics with the positions and the crash of another process."""
        return MemoryLog(self.partitions, None, self.stored, self.removed, self._topics)

    def compact(self, topic: str) -> None:
        """Remove each message that is followed by another of its key, and tombstones, as Kafka's log cleaner does."""
        for number, messages in enumerate(self.topic(topic)):
            last = {message.key: message.offset for message in messages}
            self.removed |= {
                (topic, number, each.offset)
                for each in messages
                if each.key is not None and (last[each.key] != each.offset or each.value is None)
            }

    def kept(self, messages: Iterable[InputMessage]) -> list[InputMessage]:
        """Return the messages that compaction has not removed."""
        if not self.removed:
            return [*messages]
        return [each for each in messages if (each.topic, each.partition, each.offset) not in self.removed]

    def deliver(self, messages: Iterable[Message]) -> None:
        """Store messages.

        Raises:
            Crash: `crash_after` messages are stored.
        """
        for message in messages:
            if self.crash_after is not None:
                if self.crash_after == 0:
                    raise Crash("killed")
                self.crash_after -= 1
            self.store(message)

    def store(self, message: Message) -> InputMessage:
        """Store one message, in its partition or in that of its key."""
        partitions = self.topic(message.topic)
        number = message.partition
        if number is None:
            number = 0 if message.key is None else partition_of(message.key, len(partitions))
        stored = InputMessage(
            message.topic,
            number,
            len(partitions[number]),
            message.key,
            message.value,
            list(message.headers),
            -1 if message.timestamp_ms is None else message.timestamp_ms,
        )
        partitions[number].append(stored)
        self.stored.append(stored)
        return stored

    def entries(self, topic: str, partition: int) -> Iterator[ChangelogRecord]:
        """Yield all entries of one partition of a changelog."""
        for message in self.topic(topic)[partition]:
            yield changelog_record(*unpacked(message.key, message.value, message.headers))

    def rows(self, topic: str) -> list[InputMessage]:
        """Return the messages of a joined product's topic since the last call."""
        partitions = self.topic(topic)
        seen = self._seen.setdefault(topic, [0] * len(partitions))
        found = [message for number, messages in enumerate(partitions) for message in messages[seen[number] :]]
        self._seen[topic] = [len(messages) for messages in partitions]
        return self.kept(found)

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Return (first offset, end offset) of each partition."""
        return {number: (0, len(messages)) for number, messages in enumerate(self.topic(topic))}

    bounds_now = bounds

    def onward(self, topic: str, partition: int, begin: int, *, limit: int) -> list[InputMessage]:
        """Return up to `limit` messages of one partition from an offset."""
        return self.kept(self.topic(topic)[partition][begin : begin + limit])

    def between(self, topic: str, partition: int, begin: int, end: int) -> list[InputMessage]:
        """Return the messages of one partition from one offset up to, not including, another."""
        return self.kept(self.topic(topic)[partition][begin:end])

    def topic_ids(self, topics: Sequence[str]) -> dict[str, str]:  # noqa: ARG002 - of the protocol
        """Return nothing: a topic in memory is not made again."""
        return {}

    def committed(self, group: str, topic: str) -> dict[int, int]:  # noqa: ARG002 - of the protocol
        """Return nothing: there are no consumer groups."""
        return {}

    def restart(self) -> None:
        """Reset what belonged to the killed process: the offsets of joined tables, and the crash."""
        self._seen.clear()
        self.crash_after = None
