"""Where the members of a consumer group begin to read a topic, and what the group keeps to know it again.

Beside each offset a group commits a note: the id of the topic, and how many partitions the topic had when the group began.

- Kafka deletes the offsets of a group with the topic, but a member that did not notice commits into the new topic. The note
  then names another topic id, so that the next start refuses the offset.
- Partitions that are added later are read from their first offset, also by a group that begins at the latest: its members
  were there before them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple, Self

from meshport.errors import ReplayError
from meshport.kafka.consumer import Consumer
from meshport.kafka.topic_log import TopicLog, topic_remade

_NOTE: Final = re.compile(r"(?:topic-id=(?P<id>[\w+/-]+) )?partitions=(?P<partitions>\d{1,9})")
MOVE_GROUP: Final = (
    "read the new topic under a new group, or set the group's offsets anew with Kafka's tools "
    "(`kafka-consumer-groups --reset-offsets --to-earliest`)"
)
"""The hint for a group whose offsets belong to another log."""


class Start(StrEnum):
    """Where a group begins that has committed no offset yet."""

    EARLIEST = "earliest"
    LATEST = "latest"


Begin = Start | datetime | Mapping[int, int]
"""Where reading begins: at an event, at a recorded time, or by partition at an offset, such as the boundary of a `Snapshot`."""


def known_start(start: Begin, name: str = "start") -> Begin:
    """Return where to begin; a time in UTC.

    Args:
        start: the earliest or the latest event, the time from which events were recorded, or by partition an offset.
        name: of the argument, for the error.

    Raises:
        ReplayError: a time has no zone, or an offset is negative.
    """
    if isinstance(start, Mapping):
        if negative := [each for each in start.values() if each < 0]:
            raise ReplayError(f"{negative[0]} is no offset", hint="offsets are counted from 0")
        return dict(start)
    if not isinstance(start, datetime):
        return Start(start)
    if start.tzinfo is None:
        raise ReplayError(f"{name} is {start.isoformat()}, a time without a zone", hint="2001-02-01T00:00:00Z")
    return start.astimezone(UTC)


def start_offsets(
    consumer: Consumer, topic: str, start: Begin, bounds: Mapping[int, tuple[int, int]]
) -> dict[int, int]:
    """Return the offset at which a start lies in each partition; retention may have removed that of the earliest event.

    Args:
        consumer: asks for the offsets of a time.
        topic: the topic.
        start: as of `known_start`. A time is compared with Kafka's timestamps, which are the recorded times. A partition without
            an offset, such as one that was added since, begins at its first.
        bounds: (first offset, end offset) of each partition.

    Raises:
        ReplayError: an offset is after the end of its partition.
    """
    if isinstance(start, Mapping):
        for partition, offset in start.items():
            if partition in bounds and offset > bounds[partition][1]:
                raise ReplayError(
                    f"offset {offset} of {topic} [{partition}]: the partition ends at {bounds[partition][1]}",
                    topic=topic,
                    partition=partition,
                    offset=offset,
                )
        return {partition: start.get(partition, 0) for partition in bounds}
    if isinstance(start, datetime):
        at = consumer.offsets_at(topic, max(0, -(-int(start.timestamp() * 1_000_000) // 1000)))
        return {partition: at.get(partition, end) for partition, (_, end) in bounds.items()}
    return {partition: 0 if start is Start.EARLIEST else end for partition, (_, end) in bounds.items()}


class CommitNote(NamedTuple):
    """The note beside a committed offset.

    Attributes:
        topic_id: Kafka's id of the topic; None where the cluster gives none.
        partitions: how many partitions the topic had when the group began.
    """

    topic_id: str | None
    partitions: int

    def __str__(self) -> str:
        return f"{f'topic-id={self.topic_id} ' if self.topic_id else ''}partitions={self.partitions}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the note of a committed offset; None where other software wrote the offset."""
        found = _NOTE.fullmatch(text)
        return None if found is None else cls(found["id"], int(found["partitions"]))


@dataclass
class GroupStart:
    """Gives the first offset of each partition that a member of a group is assigned, and the note for its commits.

    Args:
        group: the consumer group.
        log: of the topic.
        begins: takes (first offset, end offset) of each partition; returns where a group begins that has committed nothing.
        continued_at: returns the offset where a reader of the generation before continues in a partition, or None.
    """

    group: str
    log: TopicLog
    begins: Callable[[Mapping[int, tuple[int, int]]], Mapping[int, int]]
    continued_at: Callable[[int], int | None]

    def __post_init__(self) -> None:
        """Begin with the partitions that there are."""
        self._began_with = self.log.partitions

    @property
    def note(self) -> str:
        """The note for the group's commits."""
        return str(CommitNote(self.log.id, self._began_with))

    def offsets(
        self, partitions: Sequence[int], commits: Mapping[int, tuple[int, str]], bounds: Mapping[int, tuple[int, int]]
    ) -> dict[int, int]:
        """Return the first offset to read of each partition; retention may have removed it.

        Args:
            partitions: that were assigned.
            commits: the offset and the note that the group has committed, by partition.
            bounds: (first offset, end offset) of each partition of the topic.

        Raises:
            TopicRemade: the group has read another log of this name.
        """
        notes = [note for _, text in commits.values() if (note := CommitNote.parse(text)) is not None]
        # Without a note, partitions after the last committed one count as added: reading too much loses nothing.
        self._began_with = min(
            [note.partitions for note in notes] or [max(commits, default=self.log.partitions - 1) + 1]
        )
        offsets, new = {}, {}
        for partition in partitions:
            if partition in commits:
                offset, text = commits[partition]
                self._refuse_other_log(partition, offset, bounds[partition][1], CommitNote.parse(text))
            elif (continued_at := self.continued_at(partition)) is not None:
                offset = continued_at
            elif partition >= self._began_with:
                offset = 0
            else:
                new[partition] = bounds[partition]
                continue
            offsets[partition] = offset
        return {**offsets, **self.begins(new)} if new else offsets

    def _refuse_other_log(self, partition: int, offset: int, end: int, note: CommitNote | None) -> None:
        known, found = (note.topic_id if note else None), self.log.id
        is_other = known is not None and found is not None and known != found
        if is_other or offset > end:
            raise topic_remade(
                self.log.topic,
                (known, found),
                f"group {self.group!r} has read another log up to offset {offset} of partition {partition}, "
                f"this one ends at {end}",
                hint=MOVE_GROUP,
                group=self.group,
                partition=partition,
                offset=offset,
            )
