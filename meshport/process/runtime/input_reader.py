"""Reading one topic up to one place after another: what was fetched beyond a place waits for the next."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import BATCH_BYTES
from meshport.ports.scan import STUCK_S, history_reader, stuck

_SLICE: Final = 1000
_TURN_S: Final = 0.2
# Of one partition; one that has more beyond its place is fetched again for the next.
_KEPT: Final = 5000


class InputReader:
    """The messages of one topic, by partition from an offset on.

    It keeps its assignment: assigning anew costs librdkafka up to a second before the first message.

    Args:
        kafka: the connection to the cluster.
        topic: what is read.
        begins: the first offset of each partition.
    """

    def __init__(self, kafka: KafkaConfig, topic: str, begins: Mapping[int, int]) -> None:
        self._topic = topic
        self._next = dict(begins)
        self._beyond: dict[int, deque[ReceivedMessage]] = {partition: deque() for partition in begins}
        self._consumer = history_reader(kafka)
        self._assigned: set[int] = set()

    def up_to(
        self, ends: Mapping[int, int], most: Callable[[], int], progress: Callable[[int, int], None] | None = None
    ) -> Iterator[list[ReceivedMessage]]:
        """What is there up to, not including, an offset of each partition, each in its order.

        Args:
            ends: the offsets; partitions that are left out, or beyond it, stay where they are.
            most: how many messages the next batch may have; whatever it says, one has little more than `BATCH_BYTES`.
            progress: called with (offsets read, offsets in all) after each batch.

        Raises:
            BrokerUnavailable: nothing came for half a minute though messages were to come.
        """
        begins = dict(self._next)
        total = sum(max(0, end - begins[partition]) for partition, end in ends.items())
        heard = time.monotonic()
        while behind := self._behind(ends):
            if not self._assigned.issuperset(behind):
                self._assign(ends)
            found = self._kept(ends, most()) or self._fetched(ends, most())
            if found:
                yield found
                heard = time.monotonic()
            elif time.monotonic() - heard > STUCK_S:
                raise stuck(self._topic, behind)
            if progress is not None and found:
                progress(sum(min(self._next[at], end) - min(begins[at], end) for at, end in ends.items()), total)

    def _behind(self, ends: Mapping[int, int]) -> list[int]:
        """The partitions that have something to give still."""
        for partition, end in ends.items():
            if self._beyond[partition]:
                reached = self._beyond[partition][0].offset()
            else:
                # Compaction and markers of transactions leave offsets that no message has.
                reached = self._consumer.ends.get(TopicPartition(self._topic, partition), 0)
            if self._next[partition] < end <= reached:
                self._next[partition] = end
        return [partition for partition, end in ends.items() if self._next[partition] < end]

    def _kept(self, ends: Mapping[int, int], limit: int) -> list[ReceivedMessage]:
        found: list[ReceivedMessage] = []
        for partition, messages in self._beyond.items():
            while messages and len(found) < limit and messages[0].offset() < ends.get(partition, 0):
                found.append(messages.popleft())
                self._next[partition] = found[-1].offset() + 1
        return found

    def _fetched(self, ends: Mapping[int, int], limit: int) -> list[ReceivedMessage]:
        messages = self._read(limit)
        found: list[ReceivedMessage] = []
        for each in messages:
            partition, offset = each.partition(), each.offset()
            if offset < ends.get(partition, 0) and not self._beyond[partition]:
                found.append(each)
                self._next[partition] = offset + 1
            else:
                self._beyond[partition].append(each)
        if any(len(there) > _KEPT for there in self._beyond.values()):
            self._assign(self._behind(ends))
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
        """Read these on, each from its place, and let go of what was fetched beyond."""
        for messages in self._beyond.values():
            messages.clear()
        self._assigned = set(partitions)
        self._consumer.assign(
            {TopicPartition(self._topic, partition): self._next[partition] for partition in self._assigned}
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()
