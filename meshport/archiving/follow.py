"""Follows a topic and appends it to its archive, from where the archive came to."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from meshport.archive.table import AppendRefused, ArchiveTable
from meshport.archiving.columns import ArchiveColumns
from meshport.binding import Binding
from meshport.errors import HistoryMissing, KafkaError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.groups import ClusterGroups
from meshport.kafka.received import ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition
from meshport.metrics.archive import ARCHIVED, LAST_COMMIT, WAITING
from meshport.ports.scan import MOST_MESSAGES, history_reader
from meshport.process.runtime.gc_tuning import infrequent_gc

__all__ = ["Archiver", "CommitSize"]

_log: Final = logging.getLogger(__name__)

_PAUSE_S: Final = 0.2
_LOOK_S: Final = 10.0
_TIDY_AFTER: Final = 16
"""Commits after which the table is tidied."""


@dataclass(frozen=True, slots=True)
class CommitSize:
    """When rows are committed: each commit makes at least one file for each day of event time in it.

    Attributes:
        rows: at the latest after so many.
        bytes: or so many bytes of keys, values and headers.
        seconds: or so long after the first of them was read.
    """

    rows: int = 500_000
    bytes: int = 128 * 1024 * 1024
    seconds: float = 60.0


@dataclass
class _Waiting:
    """Rows that are not committed yet."""

    tables: list[Any] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    since: float = 0.0

    def add(self, rows: Any) -> None:
        if not self.tables:
            self.since = time.monotonic()
        self.tables.append(rows)
        self.rows += len(rows)
        self.bytes += rows.nbytes

    def is_due(self, size: CommitSize) -> bool:
        return bool(self.tables) and (
            self.rows >= size.rows or self.bytes >= size.bytes or time.monotonic() - self.since >= size.seconds
        )


class Archiver:
    """Appends a port's topic to its table.

    One process archives a port; a second one is refused its commits and continues behind the first, so that nothing is doubled.

    Args:
        binding: of the port.
        columns: make the rows.
        table: takes them.
        kafka: the connection to the cluster.
        size: of a commit.

    Raises:
        HistoryMissing: the topic's retention has removed messages before they were archived.
        TopicError: there is no such topic.
        BrokerUnavailable: no broker answers.
    """

    def __init__(
        self,
        binding: Binding,
        columns: ArchiveColumns,
        table: ArchiveTable,
        kafka: KafkaConfig,
        size: CommitSize | None = None,
    ) -> None:
        self._binding = binding
        self._columns = columns
        self._table = table
        self._size = size or CommitSize()
        self._groups = ClusterGroups(kafka)
        self._consumer: Consumer = history_reader(kafka)
        self._begins: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._waiting = _Waiting()
        self._commits = 0
        self._looked = time.monotonic()
        self.archived = 0
        """Rows that this archiver has committed."""
        try:
            self._assign()
        except BaseException:
            self._consumer.close()
            raise

    def _assign(self) -> None:
        """Begin where the table ends, without the rows that wait."""
        self._waiting = _Waiting()
        had = self._table.archived
        bounds = self._consumer.bounds(self._binding.topic)
        self._begins = {each: had[each].begin if each in had else low for each, (low, _) in bounds.items()}
        self._positions = {each: had[each].end if each in had else low for each, (low, _) in bounds.items()}
        for partition, (low, _) in sorted(bounds.items()):
            if (position := self._positions[partition]) < low:
                raise HistoryMissing(
                    f"the archive of {self._binding.address} ends at offset {position} of {self._binding.topic} [{partition}], "
                    f"and the topic begins at {low}: {low - position} offsets were removed before they were archived",
                    topic=self._binding.topic,
                    partition=partition,
                    offset=low,
                    asked=position,
                    hint="a longer retention; an archive that begins anew needs another store",
                )
        self._consumer.assign(
            {TopicPartition(self._binding.topic, each): offset for each, offset in self._positions.items()}
        )

    def catch_up(self) -> None:
        """Archive what the topic has by now.

        Raises:
            KafkaError: the topic cannot be read.
            RegistryUnavailable: the registry did not return the schema of a value.
        """
        ends = {each: end for each, (_, end) in self._consumer.bounds(self._binding.topic).items()}
        with infrequent_gc():
            while any(self._positions[each] < end for each, end in ends.items()):
                self._read(_PAUSE_S)
                self._commit_if(self._waiting.is_due(self._size))
        self._commit_if(bool(self._waiting.tables))

    def run(self, stop: threading.Event) -> None:
        """Archive until `stop` is set; what was read by then is committed.

        Raises:
            As `catch_up`.
        """
        with infrequent_gc():
            while not stop.is_set():
                self._read(_PAUSE_S)
                self._commit_if(self._waiting.is_due(self._size))
        self._commit_if(bool(self._waiting.tables))

    def _read(self, timeout_s: float) -> None:
        messages = self._consumer.read(MOST_MESSAGES, timeout_s)
        # Another reader of the client could hand over a message twice where a partition was assigned anew meanwhile.
        fresh = [each for each in messages if each.offset() >= self._positions[each.partition()]]
        if fresh:
            self._waiting.add(self._columns.rows(fresh))
            WAITING.labels(str(self._binding.address)).set(self._waiting.rows)
            self._positions |= _after(fresh)
        for (_, partition), offset in self._consumer.ends.items():
            # Transaction markers and compacted messages leave offsets that no message has.
            self._positions[partition] = max(self._positions[partition], offset)
        if not fresh and not messages:
            self._take_up_partitions()

    def _take_up_partitions(self) -> None:
        """Read partitions that were added from their first offset; the cluster is asked for them now and then."""
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked, topic = time.monotonic(), self._binding.topic
        found = self._consumer.partitions(topic)
        added = [each for each in found if each not in self._positions]
        if added:
            begins = self._consumer.begin_offsets(topic)
            for each in added:
                self._begins[each] = self._positions[each] = begins[each]
            self._consumer.assign_more({TopicPartition(topic, each): begins[each] for each in added})

    def _commit_if(self, due: bool) -> None:
        if not due:
            return
        waiting, self._waiting = self._waiting, _Waiting()
        rows = pa.concat_tables(waiting.tables).sort_by(
            [("_kafka_partition", "ascending"), ("_kafka_offset", "ascending")]
        )
        try:
            self._table.append(rows, self._positions, self._begins, self._committed())
        except AppendRefused:
            _log.warning(
                "%s: another process archives the port as well; this one goes on behind it", self._binding.address
            )
            self._assign()
            return
        self.archived += len(rows)
        self._commits += 1
        if self._commits % _TIDY_AFTER == 0:
            self._table.tidy()
        address = str(self._binding.address)
        ARCHIVED.labels(address).inc(len(rows))
        WAITING.labels(address).set(0)
        LAST_COMMIT.labels(address).set_to_current_time()

    def _committed(self) -> Mapping[str, Mapping[int, int]]:
        """Return the offsets of the topic's groups, those known before where the cluster does not show them."""
        try:
            return self._groups.committed_offsets(self._binding.topic)
        except KafkaError as error:
            _log.warning("%s: the offsets of its groups are not archived: %s", self._binding.address, error)
            return self._table.groups

    def close(self) -> None:
        """Close the connections; what waits is read again by the next run."""
        self._consumer.close()


def _after(messages: list[ReceivedMessage]) -> dict[int, int]:
    return {each.partition(): each.offset() + 1 for each in messages}
