"""A partition of a topic, as a value."""

from __future__ import annotations

from typing import NamedTuple


class TopicPartition(NamedTuple):
    """One partition of one topic; equal to the plain tuple of both.

    Attributes:
        topic: the topic's name.
        partition: the partition's number, counted from 0.
    """

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic} [{self.partition}]"
