"""The messages that a processor reads: one by one, or those of a partition by columns.

A batch by columns spares an object for each message, which costs as much as reading the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import methodcaller
from typing import Any, Final, overload

from meshport.kafka.received import Headers, InputMessage, ReceivedMessage, headers_of_each
from meshport.kafka.topic_partition import TopicPartition

__all__ = ["InputMessage", "PartitionMessages"]

_PARTS: Final[Sequence[Any]] = tuple(map(methodcaller, ("key", "value", "offset", "timestamp")))


class PartitionMessages(Sequence[InputMessage]):
    """Messages of one partition by columns, in the order of their offsets.

    Args:
        topic: of all messages.
        partition: of all messages.
        offsets: one for each message.
        keys: one for each message.
        values: one for each message.
        headers: one list for each message.
        timestamps_ms: one for each message; -1 where there is none.
    """

    __slots__ = ("headers", "keys", "offsets", "partition", "timestamps_ms", "topic", "values")

    def __init__(  # noqa: PLR0917 - the parts of a Kafka message, in the order of `InputMessage`
        self,
        topic: str,
        partition: int,
        offsets: Sequence[int],
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers],
        timestamps_ms: Sequence[int],
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.offsets = offsets
        self.keys = keys
        self.values = values
        self.headers = headers
        self.timestamps_ms = timestamps_ms

    @classmethod
    def of(cls, messages: Sequence[InputMessage]) -> PartitionMessages:
        """Return messages of one partition, at least one, by columns."""
        if isinstance(messages, cls):
            return messages
        topics, partitions, offsets, keys, values, headers, timestamps = zip(*messages, strict=True)
        return cls(topics[0], partitions[0], offsets, keys, values, headers, timestamps)

    @classmethod
    def by_partition(cls, messages: Iterable[ReceivedMessage]) -> dict[TopicPartition, PartitionMessages]:
        """Return messages of the Kafka client by topic and partition."""
        found: dict[tuple[str, int], list[ReceivedMessage]] = {}
        for key, run in groupby(messages, _partition):
            if key in found:
                found[key] += run
            else:
                found[key] = list(run)
        return {TopicPartition(*key): cls._received(*key, each) for key, each in found.items()}

    @classmethod
    def _received(cls, topic: str, partition: int, messages: Sequence[ReceivedMessage]) -> PartitionMessages:
        keys, values, offsets, times = (list(map(part, messages)) for part in _PARTS)
        headers = headers_of_each(messages)
        given = [() if each is None else each for each in headers]
        return cls(topic, partition, offsets, keys, values, given, [time if kind else -1 for kind, time in times])

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, at: int) -> InputMessage: ...
    @overload
    def __getitem__(self, at: slice) -> PartitionMessages: ...
    def __getitem__(self, at: int | slice) -> InputMessage | PartitionMessages:
        parts = (self.offsets, self.keys, self.values, self.headers, self.timestamps_ms)
        if isinstance(at, slice):
            offsets, keys, values, headers, timestamps = (part[at] for part in parts)
            return PartitionMessages(self.topic, self.partition, offsets, keys, values, headers, timestamps)  # type: ignore[arg-type]  # slices of sequences
        return InputMessage(
            self.topic,
            self.partition,
            self.offsets[at],
            self.keys[at],
            self.values[at],
            self.headers[at],
            self.timestamps_ms[at],
        )


def _partition(message: ReceivedMessage) -> tuple[str, int]:
    return message.topic(), message.partition()
