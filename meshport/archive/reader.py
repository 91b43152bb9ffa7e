"""A consumer that reads ports from where their archives begin: first the archive, then the topic, as one log.

Offsets are those of the topic throughout. A partition that is read from the archive stays assigned and is paused; when the
archive is read to its end, the topic is read on from there. If retention has removed that offset meanwhile, the archive has it by
then, and is read on. Without an archive, or where it has a gap, this is a `Consumer`, and what is removed is `HistoryMissing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshport.archive.open_archives import OpenArchives
from meshport.binding import Binding
from meshport.errors import HistoryMissing
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.received import ReceivedMessage
from meshport.kafka.topic_offsets import READY_S
from meshport.kafka.topic_partition import TopicPartition

__all__ = ["LogReader"]

_Part = tuple[int, list[ReceivedMessage]]
_NONE: Final[list[ReceivedMessage]] = []


class _Behind:
    """A partition that is read from its archive.

    Attributes:
        position: the next offset to give.
        end: of the topic's partition, when this began.
    """

    def __init__(self, position: int, end: int, parts: Iterator[_Part]) -> None:
        self.position = position
        self.end = end
        self._parts = parts
        self._waiting: list[ReceivedMessage] = []
        self._reached = position
        self._at = 0

    def take(self, limit: int) -> list[ReceivedMessage]:
        """Return up to `limit` messages, none at the end of the archive."""
        while self._at >= len(self._waiting):
            self.position = self._reached
            part = next(self._parts, None)
            if part is None:
                return _NONE
            self._reached, self._waiting = part
            self._at = 0
        found = self._waiting[self._at : self._at + limit]
        self._at += len(found)
        # Markers of transactions and compacted messages leave offsets that no message has.
        self.position = self._reached if self._at == len(self._waiting) else found[-1].offset() + 1
        return found


class LogReader(Consumer):
    """A consumer of ports' logs.

    Args:
        kafka: the connection to the cluster.
        ports: whose archives are read; topics of no port are read as a `Consumer` does.
        group: the consumer group; None for a consumer that commits nothing.
        settings: librdkafka properties that win over those of `kafka`.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        ports: Iterable[Binding] = (),
        *,
        group: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(kafka, group=group, settings=settings)
        self._archives = OpenArchives(ports)
        self._behind: dict[TopicPartition, _Behind] = {}
        self._topic_next = True

    def add(self, port: Binding) -> None:
        """Read the archive of another port as well, or of a newer generation."""
        self._archives.add(port)

    # -- offsets ---------------------------------------------------------------------------------------------------

    def bounds(
        self, topic: str, partitions: Iterable[int] | None = None, *, patience_s: float = READY_S
    ) -> dict[int, tuple[int, int]]:
        """Return (first offset, end offset) of each partition, of its archive and its topic together."""
        found = super().bounds(topic, partitions, patience_s=patience_s)
        return self._archives.extended(topic, found) if self._archives.has(topic) else found

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Return the end offset of each partition: that of the next event to be written."""
        return {partition: end for partition, (_, end) in super().bounds(topic).items()}

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """Return the first offset of each partition with a Kafka timestamp not before `timestamp_ms`, else its end offset."""
        found = super().offsets_at(topic, timestamp_ms)
        if not self._archives.has(topic):
            return found
        removed = self._removed(topic)
        return found | (self._archives.first_at(topic, timestamp_ms, removed) if removed else {})

    def _removed(self, topic: str) -> dict[int, int]:
        """Return the first offset in the topic, of each partition of which the archive has more."""
        bounds = super().bounds(topic)
        whole = self._archives.extended(topic, bounds)
        return {partition: low for partition, (low, _) in bounds.items() if whole[partition][0] < low}

    def seen_ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the end offsets that came with the last fetched messages; of one that is read from its archive, as it began."""
        wanted = [*partitions]
        behind = {each: self._behind.get(TopicPartition(topic, each)) for each in wanted}
        return super().seen_ends(topic, wanted) | {each: one.end for each, one in behind.items() if one is not None}

    # -- what is read ----------------------------------------------------------------------------------------------

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions, each from its offset, without a group."""
        self._behind.clear()
        behind, begins = self._split(offsets)
        super().assign(begins)
        self._hold(behind)

    def assign_more(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions as well, each from its offset, without a group."""
        behind, begins = self._split(offsets)
        super().assign_more(begins)
        self._hold(behind)

    def _begin_reading(self, offsets: Mapping[TopicPartition, int]) -> None:
        behind, begins = self._split(offsets)
        super()._begin_reading(begins)
        self._hold(behind)

    def rewind(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read assigned partitions from these offsets on; partitions that were lost since are left out.

        Raises:
            KafkaError: the client refused to seek.
        """
        own = self.assigned
        behind, begins = self._split({each: offset for each, offset in offsets.items() if each in own})
        held = {each: offset for each, offset in begins.items() if each in self._behind or each in behind}
        for each in held:
            self._behind.pop(each, None)
            self.ends.pop(each, None)
        self.reassign(held)
        super().rewind({each: offset for each, offset in begins.items() if each not in held})
        self._hold(behind)

    def pause(self, topic: str, partition: int) -> None:
        """Read no more of an assigned partition until it is assigned again."""
        self._behind.pop(TopicPartition(topic, partition), None)
        super().pause(topic, partition)

    def _note_moved(self, partitions: Iterable[Any]) -> list[TopicPartition]:
        moved = super()._note_moved(partitions)
        for each in moved:
            self._behind.pop(each, None)
        return moved

    def _split(
        self, offsets: Mapping[TopicPartition, int]
    ) -> tuple[dict[TopicPartition, _Behind], dict[TopicPartition, int]]:
        """Return the partitions to read from their archives, and the offsets to give to the client."""
        behind: dict[TopicPartition, _Behind] = {}
        begins = dict(offsets)
        for topic in {each.topic for each in offsets if self._archives.has(each.topic)}:
            wanted = {each.partition: offset for each, offset in offsets.items() if each.topic == topic}
            for number, (low, high) in super().bounds(topic, wanted).items():
                partition, offset = TopicPartition(topic, number), wanted[number]
                if 0 <= offset < low and (one := self._archived(partition, offset, high)) is not None:
                    behind[partition], begins[partition] = one, low
        return behind, begins

    def _archived(self, partition: TopicPartition, offset: int, high: int) -> _Behind | None:
        if self._archives.end(partition, offset) is None:
            return None
        return _Behind(offset, high, self._archives.read(partition, offset))

    def _hold(self, behind: Mapping[TopicPartition, _Behind]) -> None:
        for each in behind:
            super().pause(*each)
        self._behind.update(behind)

    def read(self, limit: int, timeout_s: float) -> list[ReceivedMessage]:
        """Return up to `limit` messages of archives or of topics, in turns, since a member of a group has to poll.

        Raises:
            HistoryMissing: an offset is neither in the topic nor in the archive.
            ArchiveError: an archive cannot be read.
            KafkaError: the broker reported an error for a partition.
            Exception: what `on_assign` raised.
        """
        if not self._behind:
            return self._from_topic(limit, timeout_s)
        self._topic_next = not self._topic_next
        found = [] if self._topic_next else self._from_topic(limit, 0)
        return found or self._from_archive(limit)

    def keep_alive(self) -> list[ReceivedMessage]:
        """Stay in the group while messages take long to handle: poll, without fetching more."""
        found = super().keep_alive()
        self._hold(self._behind)  # it has resumed all
        return self._of_topic(found)

    def _from_topic(self, limit: int, timeout_s: float) -> list[ReceivedMessage]:
        try:
            return self._of_topic(super().read(limit, timeout_s))
        except HistoryMissing as error:
            partition = TopicPartition(error.topic or "", error.partition or 0)
            # What `on_assign` has raised was looked for in the archive as well, and is raised by each call.
            if error is self._assign_error or not self._archives.has(partition.topic):
                raise
            self._archives.refresh(partition.topic)
            asked = error.asked if isinstance(error.asked, int) else 0
            low, high = super().bounds(partition.topic, [partition.partition])[partition.partition]
            archived = self._archives.end(partition, asked)
            one = self._archived(partition, asked, high) if archived is not None and archived >= low else None
            if one is None:
                raise
            self._hold({partition: one})
            return []

    def _of_topic(self, messages: list[ReceivedMessage]) -> list[ReceivedMessage]:
        """Leave out what the client had fetched of partitions that are read from their archives."""
        if not self._behind:
            return messages
        return [each for each in messages if (each.topic(), each.partition()) not in self._behind]

    def _from_archive(self, limit: int) -> list[ReceivedMessage]:
        for partition, one in list(self._behind.items()):
            found = one.take(limit)
            self.ends[partition] = one.position
            # The next call begins with another partition, so that all move on.
            del self._behind[partition]
            if found:
                self._behind[partition] = one
                return found
            self.reassign({partition: one.position})
        return []
