"""Writes an archive into a topic: keys, values, headers, timestamps, partitions and order are those of the log.

The offsets are not: Kafka numbers a topic's messages itself, without those that transactions and compaction left out. So the
offsets that consumer groups had are moved by the map that a restore returns.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from meshport.archive.log_columns import records_of
from meshport.archive.record import LogRecord
from meshport.archive.table import ArchivedRange, ArchiveTable
from meshport.errors import ArchiveError
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from meshport.ports.scan import history_reader

__all__ = ["OffsetMap", "OffsetRun", "move_groups", "restore"]

# Settings by which a broker would change records, or remove them while they are restored.
_KEPT: Final = (
    ("message.timestamp.type", "CreateTime", "the broker would give the records other timestamps"),
    ("retention.ms", "-1", "the broker would remove records of an older time at once"),
    ("retention.bytes", "-1", "the broker would remove the first records"),
)


class OffsetRun(NamedTuple):
    """Consecutive offsets of a partition that follow each other in the restored topic as well.

    Attributes:
        archived: the first one, as it was in the archived topic.
        restored: the same record's offset in the restored topic.
        length: how many records.
    """

    archived: int
    restored: int
    length: int


@dataclass(frozen=True)
class OffsetMap:
    """Where the records of the archived topic are in the restored one.

    Attributes:
        runs: by partition, in order.
        ends: by partition, the end of the restored topic's partition.
    """

    runs: Mapping[int, tuple[OffsetRun, ...]]
    ends: Mapping[int, int]

    @property
    def records(self) -> int:
        """How many records were restored."""
        return sum(run.length for runs in self.runs.values() for run in runs)

    def restored(self, partition: int, offset: int) -> int:
        """Return where a reader goes on that would have read `offset` next: at the first record that it had not read."""
        runs = self.runs.get(partition, ())
        at = bisect_right(runs, offset, key=lambda run: run.archived) - 1
        if at < 0:
            return runs[0].restored if runs else self.ends.get(partition, 0)
        run = runs[at]
        if offset < run.archived + run.length:
            return run.restored + offset - run.archived
        return runs[at + 1].restored if at + 1 < len(runs) else self.ends[partition]


def restore(
    table: ArchiveTable,
    topic: str,
    kafka: KafkaConfig,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> OffsetMap:
    """Write the archive into an empty topic.

    Args:
        table: the archive.
        topic: is made where it does not exist, to keep its records for ever; one that exists is empty, and has the partitions
            that the archive has records of.
        kafka: the connection to its cluster.
        progress: called with (offsets restored, offsets in all).

    Raises:
        ArchiveError: the topic is not empty, has fewer partitions, or would not keep the records as they are.
        TopicError: the topic cannot be made.
        DeliveryUnknown: a broker did not report whether a record is stored; delete the topic and restore anew.
        PublishError: a broker refuses a record.
    """
    archived = table.archived
    _prepare(topic, kafka, archived)
    runs: dict[int, list[OffsetRun]] = {each: [] for each in archived}
    ends = dict.fromkeys(archived, 0)
    total = sum(each.end - each.begin for each in archived.values())
    done = 0
    with Producer(kafka) as producer:
        for partition, had in sorted(archived.items()):
            for first, last, rows in table.log(partition, had.begin, had.end):
                records = list(records_of(rows))
                stored = producer.deliver(_message(topic, partition, each) for each in records)
                for each, (_, offset) in zip(records, stored, strict=True):
                    _extend(runs[partition], each.offset, offset)
                    ends[partition] = offset + 1
                done += last - first
                progress(done, total)
    return OffsetMap({each: tuple(found) for each, found in runs.items()}, ends)


def _prepare(topic: str, kafka: KafkaConfig, archived: Mapping[int, ArchivedRange]) -> None:
    admin = Admin(kafka)
    found = admin.topic(topic)
    if found is None:
        admin.ensure_topic(topic, max(archived, default=0) + 1, {"retention.ms": "-1"})
        return
    with history_reader(kafka) as consumer:
        bounds = consumer.bounds(topic)
    if lacking := sorted(archived.keys() - bounds.keys()):
        raise ArchiveError(
            f"{topic} has {len(bounds)} partitions, and the archive has records of partition {lacking[-1]}",
            partition=lacking[-1],
            hint=f"a topic of {lacking[-1] + 1} partitions",
        )
    for partition, (low, high) in sorted(bounds.items()):
        if high != low:
            raise ArchiveError(
                f"{topic} [{partition}] has records already, from offset {low} to {high - 1}",
                partition=partition,
                offset=low,
                hint="a restore goes into an empty topic, so that the order of the records is theirs",
            )
    for name, kept, what in _KEPT:
        if (value := found.setting(name)) not in {kept, None}:
            raise ArchiveError(
                f"{topic} has {name}={value}: {what}",
                hint=f"a topic with {name}={kept}; it can be changed when the records are restored",
            )


def _message(topic: str, partition: int, record: LogRecord) -> Message:
    stamp = None if record.timestamp_ms < 0 else record.timestamp_ms
    return Message(topic, record.key, record.value, record.headers, stamp, partition)


def _extend(runs: list[OffsetRun], archived: int, restored: int) -> None:
    if runs and archived - runs[-1].archived == restored - runs[-1].restored == runs[-1].length:
        runs[-1] = runs[-1]._replace(length=runs[-1].length + 1)
    else:
        runs.append(OffsetRun(archived, restored, 1))


def move_groups(
    groups: Mapping[str, Mapping[int, int]], offsets: OffsetMap, topic: str, kafka: KafkaConfig
) -> dict[str, dict[int, int]]:
    """Commit the offsets of consumer groups in the restored topic, and return them.

    Args:
        groups: by group, the next offset to read in each partition of the archived topic.
        offsets: of the restore.
        topic: the restored one.
        kafka: the connection to its cluster.

    Raises:
        KafkaError: an offset was not committed: the group has members, or this login may not act for it.
    """
    moved: dict[str, dict[int, int]] = {}
    for group, had in sorted(groups.items()):
        moved[group] = {partition: offsets.restored(partition, offset) for partition, offset in sorted(had.items())}
        with Consumer(kafka, group=group) as consumer:
            consumer.commit(topic, moved[group])
    return moved
