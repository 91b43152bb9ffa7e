"""The lag of consumer groups: how many events each has not read, and for how long the oldest of them has waited.

Kafka knows offsets only, and a difference of offsets is no number of events: transactions write markers, compaction leaves gaps.
So a group that has read everything of a derived product is always some offsets short of the end. The log itself is read from the
group's offset on: its first event says since when the group is late, and a short rest is counted.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.groups import ClusterGroups, ConsumerGroup, GroupMember
from meshport.kafka.topic_partition import TopicPartition

__all__ = ["GroupLags", "PartitionLag", "Unread", "total_of"]

COUNTED: Final = 2_000
"""So many unread events of a partition are counted by reading them; beyond, offsets are."""
_PATIENCE_S: Final = 10.0
# A look fetches little of a long rest.
_LITTLE: Final = {
    "enable.partition.eof": True,
    "queued.min.messages": COUNTED,
    "queued.max.messages.kbytes": 4_096,
    "fetch.message.max.bytes": 262_144,
}


@dataclass(frozen=True)
class Unread:
    """What a group has not read of a partition.

    Attributes:
        events: how many events; `at_most` says what kind of number this is.
        at_most: whether it is a number of offsets, which also count markers of transactions and what compaction removed.
        oldest_ms: the recorded time of the oldest one (Unix time in ms); None where there is none, or none came in time.
        undecided: offsets at the end that open transactions hide, which no reader gets yet.
    """

    events: int
    at_most: bool = False
    oldest_ms: int | None = None
    undecided: int = 0


NOTHING: Final = Unread(0)


@dataclass(frozen=True)
class PartitionLag:
    """The lag of one group in one partition.

    Attributes:
        group: the group.
        state: of the group, by Kafka's word.
        partition: the partition.
        committed: the next offset that the group reads; None where it has committed none.
        first: the first offset that is retained.
        end: the offset of the next event to be written.
        unread: what it has not read; None where it has committed nothing, so that only its members know.
        member: that is assigned the partition; None where no member is.
        seconds: since when the oldest unread event is in the log; 0 where there is none, None where that is not known.
    """

    group: str
    state: str
    partition: TopicPartition
    committed: int | None
    first: int
    end: int
    unread: Unread | None
    member: GroupMember | None
    seconds: float | None

    @property
    def removed(self) -> int:
        """How many offsets retention removed before the group read them."""
        return 0 if self.committed is None else max(0, self.first - self.committed)

    def as_dict(self) -> dict[str, Any]:
        """Return the lag as JSON data."""
        unread, member = self.unread, self.member
        return {
            "group": self.group,
            "state": self.state,
            "topic": self.partition.topic,
            "partition": self.partition.partition,
            "committed": self.committed,
            "first": self.first,
            "end": self.end,
            "events": None if unread is None else unread.events,
            "at_most": unread is not None and unread.at_most,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "undecided": unread.undecided if unread else 0,
            "removed": self.removed,
            "member": None if member is None else {"id": member.id, "client": member.client, "host": member.host},
        }


class GroupLags:
    """Measures the lag of groups of one cluster, as often as it is asked; nothing is committed and no group is joined.

    Args:
        kafka: the connection to the cluster.

    Raises:
        BrokerUnavailable: no broker answers.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        with ExitStack() as opened:
            self._groups = ClusterGroups(kafka)
            self._consumer = opened.enter_context(Consumer(kafka, settings=_LITTLE))
            self._opened = opened.pop_all()

    def look(self, *, topics: Collection[str] | None = None, group: str | None = None) -> list[PartitionLag]:
        """Return the lag of groups by partition, ordered by group and partition.

        Args:
            topics: only of these topics; None for every topic.
            group: only of this group; None for every group that this login may see.

        Raises:
            KafkaError: the cluster did not answer.
        """
        groups = self._groups.describe([group] if group is not None else self._groups.names())
        return self.of([_only(each, topics) for each in groups])

    def groups(self, names: Iterable[str]) -> tuple[list[ConsumerGroup], frozenset[str]]:
        """Return the groups of these names, without those that do not exist; and the names that this login may not see.

        Raises:
            KafkaError: the cluster did not answer.
        """
        return self._groups.describe(names), frozenset(self._groups.hidden)

    def of(self, read: Sequence[ConsumerGroup]) -> list[PartitionLag]:
        """Return the lag of groups that were just described, by partition, ordered by group and partition.

        Raises:
            KafkaError: the cluster did not answer.
        """
        bounds = self._groups.bounds({each for one in read for each in one.partitions})
        unread = self._unread(read, bounds)
        now_ms = time.time() * 1000
        return sorted(
            (
                _lag(one, each, bounds[each], unread, now_ms)
                for one in read
                for each in one.partitions
                if each in bounds
            ),
            key=lambda lag: (lag.group, lag.partition),
        )

    def _unread(
        self, groups: Iterable[ConsumerGroup], bounds: Mapping[TopicPartition, tuple[int, int]]
    ) -> dict[tuple[TopicPartition, int], Unread]:
        """Return what comes after each committed offset. Groups at different offsets of a partition need a read each."""
        wanted = {
            (each, offset)
            for one in groups
            for each, offset in one.committed.items()
            if each in bounds and offset < bounds[each][1]
        }
        found: dict[tuple[TopicPartition, int], Unread] = {}
        while rest := wanted - set(found):
            offsets = dict(sorted(rest, reverse=True))  # of a partition the least offset, as the last wins
            read = self._read({each: max(offset, bounds[each][0]) for each, offset in offsets.items()}, bounds)
            found |= {(each, offsets[each]): unread for each, unread in read.items()}
        return found

    def _read(
        self, begins: Mapping[TopicPartition, int], bounds: Mapping[TopicPartition, tuple[int, int]]
    ) -> dict[TopicPartition, Unread]:
        """Return what the log has from an offset on of each partition, as far as a few thousand events."""
        unread = {each: Unread(0) for each in begins}
        positions = dict(begins)
        open_ones = set(begins)
        self._consumer.assign(begins)
        until = time.monotonic() + _PATIENCE_S
        while open_ones and time.monotonic() < until:
            for message in self._consumer.read(500, 0.2):
                each = TopicPartition(message.topic(), message.partition())
                # One that was written after the bounds were asked for is no part of this look.
                if each not in open_ones or message.offset() >= bounds[each][1]:
                    continue
                found = unread[each]
                oldest = message.timestamp()[1] if found.oldest_ms is None else found.oldest_ms
                unread[each] = replace(found, events=found.events + 1, oldest_ms=oldest)
                positions[each] = message.offset() + 1
            for each in list(open_ones):
                end = bounds[each][1]
                reached = self._consumer.ends.get(each)
                if reached is not None and reached < end:
                    unread[each] = replace(unread[each], undecided=end - max(reached, positions[each]))
                elif reached is None and positions[each] < end:
                    if unread[each].events < COUNTED:
                        continue
                    left = end - positions[each]
                    unread[each] = replace(unread[each], events=unread[each].events + left, at_most=True)
                open_ones.discard(each)
                self._consumer.pause(*each)
        for each in open_ones:
            left = bounds[each][1] - positions[each]
            unread[each] = replace(unread[each], events=unread[each].events + left, at_most=True)
        self._consumer.assign({})
        return unread

    def close(self) -> None:
        """Close the connections."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def total_of(lags: Iterable[PartitionLag]) -> Unread:
    """Return the sum of lags: events, the oldest of them, and offsets that are undecided."""
    known = [each.unread for each in lags if each.unread is not None]
    oldest = [each.oldest_ms for each in known if each.oldest_ms is not None]
    return Unread(
        sum(each.events for each in known),
        any(each.at_most for each in known),
        min(oldest, default=None),
        sum(each.undecided for each in known),
    )


def _only(group: ConsumerGroup, topics: Collection[str] | None) -> ConsumerGroup:
    if topics is None:
        return group
    return replace(
        group,
        assigned={each: member for each, member in group.assigned.items() if each.topic in topics},
        committed={each: offset for each, offset in group.committed.items() if each.topic in topics},
    )


def _lag(
    group: ConsumerGroup,
    partition: TopicPartition,
    bounds: tuple[int, int],
    unread: Mapping[tuple[TopicPartition, int], Unread],
    now_ms: float,
) -> PartitionLag:
    first, end = bounds
    committed = group.committed.get(partition)
    rest: Unread | None = None
    if committed is not None:
        rest = unread.get((partition, committed), NOTHING)
    elif first == end:
        rest = NOTHING
    seconds: float | None = None
    if rest is not None and not rest.events:
        seconds = 0.0
    elif rest is not None and rest.oldest_ms is not None:
        seconds = max(0.0, (now_ms - rest.oldest_ms) / 1000)
    return PartitionLag(
        group.name, group.state, partition, committed, first, end, rest, group.assigned.get(partition), seconds
    )
