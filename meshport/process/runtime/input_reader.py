"""Reading one topic up to given offsets, again and again; messages fetched beyond the offsets wait for the next call."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from meshport.kafka.received import ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import BATCH_BYTES
from meshport.ports.scan import ReadProgress, Watched

_SLICE: Final = 1000
_TURN_S: Final = 0.2
# Messages of one partition that are kept for the next call; where more were fetched, they are fetched again.
_KEPT: Final = 5000


class InputLog(Watched, Protocol):
    """A log of one topic: a consumer of `history_reader`, or one that has earlier lines as well."""

    @property
    def ends(self) -> Mapping[TopicPartition, int]:
        """The end of each partition where it was met."""

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions, each from its offset."""

    def read(self, limit: int, timeout_s: float) -> list[ReceivedMessage]:
        """Return up to `limit` messages."""

    def close(self) -> None:
        """Close the connections."""


class InputReader:
    """Reads the messages of one topic, each partition from an offset on.

    It keeps its assignment, since a new assignment costs librdkafka up to a second before the first message.

    Args:
        log: of the topic.
        topic: the topic.
        begins: the first offset to read of each partition.
    """

    def __init__(self, log: InputLog, topic: str, begins: Mapping[int, int]) -> None:
        self._topic = topic
        self._next = dict(begins)
        self._kept: dict[int, deque[ReceivedMessage]] = {partition: deque() for partition in begins}
        self._consumer = log
        self._assigned: set[int] = set()

    def read_until(
        self, ends: Mapping[int, int], limit: Callable[[], int], progress: Callable[[int, int], None] | None = None
    ) -> Iterator[list[ReceivedMessage]]:
        """Yield batches of messages up to, not including, an offset of each partition; each partition in order.

        Args:
            ends: the offsets. A partition that is left out, or is beyond its offset, is not read.
            limit: returns how many messages the next batch may have. No batch has much more than `BATCH_BYTES` of values.
            progress: called with (offsets read, offsets in all) after each batch.

        Raises:
            BrokerUnavailable: the consumer did not move on for half a minute though messages were due.
        """
        begins = dict(self._next)
        total = sum(max(0, end - begins[partition]) for partition, end in ends.items())
        moved = ReadProgress(self._consumer)
        while unread := self._unread(ends):
            if not self._assigned.issuperset(unread):
                self._assign(ends)
            found = self._take_kept(ends, limit()) or self._fetch(ends, limit())
            if found:
                yield found
                moved.received()
            else:
                moved.nothing(TopicPartition(self._topic, each) for each in unread)
            if progress is not None and found:
                progress(sum(min(self._next[at], end) - min(begins[at], end) for at, end in ends.items()), total)

    def _unread(self, ends: Mapping[int, int]) -> list[int]:
        """Return the partitions that have not been read to their end."""
        for partition, end in ends.items():
            if self._kept[partition]:
                reached = self._kept[partition][0].offset()
            else:
                # Compaction and markers of transactions leave offsets that no message has.
                reached = self._consumer.ends.get(TopicPartition(self._topic, partition), 0)
            if self._next[partition] < end <= reached:
                self._next[partition] = end
        return [partition for partition, end in ends.items() if self._next[partition] < end]

    def _take_kept(self, ends: Mapping[int, int], limit: int) -> list[ReceivedMessage]:
        found: list[ReceivedMessage] = []
        for partition, messages in self._kept.items():
            while messages and len(found) < limit and messages[0].offset() < ends.get(partition, 0):
                found.append(messages.popleft())
                self._next[partition] = found[-1].offset() + 1
        return found

    def _fetch(self, ends: Mapping[int, int], limit: int) -> list[ReceivedMessage]:
        """Fetch messages, return those before the ends, and keep the others."""
        messages = self._read(limit)
        found: list[ReceivedMessage] = []
        for each in messages:
            partition, offset = each.partition(), each.offset()
            if offset < ends.get(partition, 0) and not self._kept[partition]:
                found.append(each)
                self._next[partition] = offset + 1
            else:
                self._kept[partition].append(each)
        if any(len(kept) > _KEPT for kept in self._kept.values()):
            self._assign(self._unread(ends))
        return found

    def _read(self, limit: int) -> list[ReceivedMessage]:
        found: list[ReceivedMessage] = []
        taken = 0
        while len(found) < limit and taken < BATCH_BYTES:
            wanted = min(_SLICE, limit - len(found))
            some = self._consumer.read(wanted, 0 if found else _TURN_S)
            found += some
            taken += sum(len(each.value() or b"") for each in some)
            if len(some) < wanted:
                break
        return found

    def _assign(self, partitions: Iterable[int]) -> None:
        """Assign partitions from their next offsets, and drop the messages that were kept."""
        for messages in self._kept.values():
            messages.clear()
        self._assigned = set(partitions)
        self._consumer.assign(
            {TopicPartition(self._topic, partition): self._next[partition] for partition in self._assigned}
        )

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
