"""Which part of a topic's history cannot be read: removed from its beginning, or undecided at its end.

The first offset of a partition is 0 until retention, or a request to delete records, moves it; compaction does not. So a
partition that begins at 0 has lost nothing. What was removed was recorded before the first record that is left, so that a
reader who asks for a later time misses nothing.

A committed reader sees nothing from the first open transaction on (the last stable offset, KIP-98).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from meshport.archive.reader import LogReader
from meshport.binding import Binding
from meshport.errors import HistoryMissing, HistoryUndecided
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.topic_partition import TopicPartition

_log: Final = logging.getLogger(__name__)

_FIRST_RECORD_S: Final = 10.0
# A broker answers a commit before it writes the markers of the transaction, most often some milliseconds before.
_MARKERS_S: Final = 1.0
_PAUSE_S: Final = 0.02


class Missing(StrEnum):
    """What a reader does where part of the history that it asks for cannot be read."""

    REFUSE = "refuse"
    """It raises `HistoryMissing` or `HistoryUndecided`."""
    ALLOW = "allow"
    """It logs a warning with the same facts, and reads what there is."""


@dataclass(frozen=True, slots=True)
class RemovedHistory:
    """The beginning of one partition's history, which a reader asks for and which is not in the log any more.

    Attributes:
        partition: topic and partition.
        first: the first offset that is left.
        recorded: when the first record that is left was recorded; None where no record is left.
        asked: the offset, or the time, from which the history was asked for.
    """

    partition: TopicPartition
    first: int
    recorded: datetime | None
    asked: int | datetime

    def __str__(self) -> str:
        left = "no record is left" if self.recorded is None else f"recorded {self.recorded.isoformat()}"
        if isinstance(self.asked, int):
            removed = f"the offsets {self.asked} to {self.first - 1} of {self.partition}"
        else:
            removed = f"a part of {self.partition} from {self.asked.isoformat()} on"
        return f"{removed}: removed from the log, which begins at offset {self.first} ({left})"

    def error(self, hint: str) -> HistoryMissing:
        """Return the error of a reader that needs this history."""
        return HistoryMissing(
            str(self),
            topic=self.partition.topic,
            partition=self.partition.partition,
            offset=self.first,
            recorded=self.recorded,
            asked=self.asked,
            hint=hint,
        )


@dataclass(frozen=True, slots=True)
class UndecidedHistory:
    """The end of one partition's history, which no committed reader sees before an open transaction has ended.

    Attributes:
        partition: topic and partition.
        stable: the last stable offset: the first that cannot be read.
        end: the end of the log.
    """

    partition: TopicPartition
    stable: int
    end: int

    def __str__(self) -> str:
        return (
            f"{self.end - self.stable} offsets of {self.partition} are undecided: a transaction is open at offset "
            f"{self.stable}, and committed readers see nothing up to {self.end} before it has ended"
        )

    def error(self, hint: str) -> HistoryUndecided:
        """Return the error of a reader that needs this history."""
        return HistoryUndecided(
            str(self),
            topic=self.partition.topic,
            partition=self.partition.partition,
            offset=self.stable,
            end=self.end,
            hint=hint,
        )


def removed_history(
    kafka: KafkaConfig,
    topic: str,
    bounds: Mapping[int, tuple[int, int]],
    asked: Mapping[int, int] | datetime | None = None,
    *,
    ports: Collection[Binding] = (),
) -> list[RemovedHistory]:
    """Return what is removed of the history that a reader asks for, by partition; empty where nothing is.

    Where no record of a partition is left, it is not known when the last one was recorded: every time in the past counts as
    removed.

    Args:
        kafka: the connection to the cluster.
        topic: the topic.
        bounds: (first offset, end offset) of each partition that is read.
        asked: the time, or by partition the offset, from which the history is asked for; None for its beginning.
        ports: whose archives `bounds` have as well.

    Raises:
        KafkaError: the cluster did not answer.
    """
    wanted = {} if asked is None or isinstance(asked, datetime) else asked
    cut = {each: (first, end) for each, (first, end) in bounds.items() if wanted.get(each, 0) < first}
    if not cut:
        return []
    recorded = _first_recorded(kafka, topic, cut, ports)
    found = []
    for partition, (first, _) in sorted(cut.items()):
        at = recorded.get(partition)
        if isinstance(asked, datetime):
            if asked >= (datetime.now(UTC) if at is None else at):
                continue
            since: int | datetime = asked
        else:
            since = wanted.get(partition, 0)
        found.append(RemovedHistory(TopicPartition(topic, partition), first, at, since))
    return found


def _first_recorded(
    kafka: KafkaConfig, topic: str, bounds: Mapping[int, tuple[int, int]], ports: Collection[Binding]
) -> dict[int, datetime]:
    """Return when the first record of each partition was recorded; a partition without a record is left out."""
    waiting = {partition for partition, (first, end) in bounds.items() if first < end}
    found: dict[int, datetime] = {}
    settings = {"enable.partition.eof": True, "isolation.level": "read_uncommitted"}
    with LogReader(kafka, ports, settings=settings) as reader:
        if waiting:
            reader.assign({TopicPartition(topic, each): bounds[each][0] for each in waiting})
        deadline = time.monotonic() + _FIRST_RECORD_S
        while waiting and time.monotonic() < deadline:
            for message in reader.read(100, 0.2):
                if message.partition() in waiting:
                    waiting.discard(message.partition())
                    with suppress(ValueError, OverflowError):  # a producer's own clock may be beyond any year
                        found[message.partition()] = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
                    reader.pause(topic, message.partition())
            waiting -= {each.partition for each in reader.ends}
    return found


def readable_bounds(
    kafka: KafkaConfig, reader: Consumer, topic: str
) -> tuple[dict[int, tuple[int, int]], list[UndecidedHistory]]:
    """Return (first offset, last stable offset) of each partition, and the partitions in which transactions are open.

    A transaction counts as open if it was at the time of the call and still is when the offsets are taken.

    Args:
        kafka: the connection to the cluster.
        reader: a committed consumer.
        topic: the topic.

    Raises:
        TopicError: there is no such topic.
        KafkaError: the cluster did not answer.
    """
    with Consumer(kafka, settings={"isolation.level": "read_uncommitted"}) as unfiltered:
        ends = unfiltered.end_offsets(topic)
    deadline = time.monotonic() + _MARKERS_S
    while True:
        bounds = reader.bounds(topic)
        undecided = [
            UndecidedHistory(TopicPartition(topic, partition), bounds[partition][1], end)
            for partition, end in sorted(ends.items())
            if partition in bounds and bounds[partition][1] < end
        ]
        if not undecided or time.monotonic() > deadline:
            return bounds, undecided
        time.sleep(_PAUSE_S)


def insist(found: Sequence[RemovedHistory | UndecidedHistory], missing: Missing, hint: str) -> None:
    """Raise the error of the first partition of which history cannot be read; or log a warning for each, as `missing` says.

    Args:
        found: the partitions.
        missing: what to do.
        hint: of the error: how the reader can be allowed to go on.

    Raises:
        HistoryMissing, HistoryUndecided: there is one, and `missing` is `REFUSE`.
    """
    if found and missing is Missing.REFUSE:
        raise found[0].error(hint)
    for each in found:
        _log.warning("%s", each)
