"""Compares an archive with its topic, record by record, where both have it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from meshport.archive.log_columns import records_of
from meshport.archive.record import LogRecord
from meshport.archive.table import ArchiveTable
from meshport.binding import Binding
from meshport.kafka.config import KafkaConfig
from meshport.ports.scan import TopicRange, history_reader, read_range

__all__ = ["PartitionComparison", "compare"]

_AT_ONCE: Final = 50_000
"""Offsets whose digests are in memory at a time."""
_NAMED: Final = 10


@dataclass
class PartitionComparison:
    """What a comparison found in one partition.

    Attributes:
        partition: of the topic.
        begin: the first offset that both had.
        end: the offset after the last one that both had.
        equal: how many records are equal: key, value, headers, timestamp, offset.
        different: how many offsets have another record in the archive than in the topic.
        missing: how many records of the topic the archive does not have.
        removed: how many records of the archive the topic does not have: compaction removes some.
        offsets: the first offsets of records that are different or missing.
        digest: SHA-256 over the digests of the topic's records, in order; of the archive's where all are equal.
    """

    partition: int
    begin: int
    end: int
    equal: int = 0
    different: int = 0
    missing: int = 0
    removed: int = 0
    offsets: list[int] = field(default_factory=list)
    digest: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the archive has each record of the topic as it is there."""
        return not (self.different or self.missing)


def compare(
    table: ArchiveTable,
    binding: Binding,
    kafka: KafkaConfig,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Iterator[PartitionComparison]:
    """Yield a comparison of each partition that the archive has, over the offsets that the topic has as well.

    Args:
        table: the archive.
        binding: of the port.
        kafka: the connection to the cluster.
        progress: called with (offsets compared, offsets in all).

    Raises:
        TopicError: there is no such topic.
        BrokerUnavailable: no broker answered.
    """
    archived = table.archived
    with history_reader(kafka) as consumer:
        bounds = consumer.bounds(binding.topic)
        common = {
            partition: (max(low, archived[partition].begin), min(high, archived[partition].end))
            for partition, (low, high) in sorted(bounds.items())
            if partition in archived
        }
        total = sum(max(0, end - begin) for begin, end in common.values())
        done = 0
        for partition, (begin, end) in common.items():
            found = PartitionComparison(partition, begin, max(begin, end))
            whole = hashlib.sha256()
            for first, last, rows in table.log(partition, begin, end, _AT_ONCE):
                there = _digests(_of_topic(kafka, binding.topic, partition, first, last))
                here = _digests(records_of(rows))
                _count(found, there, here)
                for each in there.values():
                    whole.update(each)
                done += last - first
                progress(done, total)
            found.digest = whole.hexdigest()
            yield found


def _digests(records: Iterator[LogRecord]) -> dict[int, bytes]:
    return {each.offset: each.digest for each in records}


def _of_topic(kafka: KafkaConfig, topic: str, partition: int, begin: int, end: int) -> Iterator[LogRecord]:
    # A consumer that has read a partition before needs a second to read it again, or returns nothing; a new one some 20 ms.
    with history_reader(kafka) as consumer:
        for messages in read_range(consumer, TopicRange(topic, {partition: begin}, {partition: end})):
            yield from map(LogRecord.of, messages)


def _count(found: PartitionComparison, there: dict[int, bytes], here: dict[int, bytes]) -> None:
    missing = sorted(there.keys() - here.keys())
    different = sorted(each for each in there.keys() & here.keys() if there[each] != here[each])
    found.equal += len(there) - len(missing) - len(different)
    found.missing += len(missing)
    found.different += len(different)
    found.removed += len(here.keys() - there.keys())
    found.offsets += sorted([*missing, *different])[: _NAMED - len(found.offsets)]
