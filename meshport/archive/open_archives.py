"""The archives of the ports that a reader reads, by topic; each is opened when the reader needs more than the topic has."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from meshport.archive.place import ArchivePlace
from meshport.binding import Binding
from meshport.errors import ArchiveError
from meshport.kafka.received import ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition

if TYPE_CHECKING:
    from meshport.archive.table import ArchiveTable

__all__ = ["OpenArchives"]

_log: Final = logging.getLogger(__name__)

_AGAIN_S: Final = 60.0
"""Seconds after which an archive that could not be opened is tried again."""
_REFRESH_S: Final = 1.0


class OpenArchives:
    """Reads the archives of ports. One that cannot be opened is none, which is logged. Not thread-safe.

    Args:
        ports: the ports; those without an archive, and topics of no port, have none.
    """

    def __init__(self, ports: Iterable[Binding] = ()) -> None:
        self._ports: dict[str, Binding] = {}
        self._tables: dict[str, ArchiveTable] = {}
        self._refreshed: dict[str, float] = {}
        self._closed_until: dict[str, float] = {}
        for each in ports:
            self.add(each)

    def add(self, port: Binding) -> None:
        """Know a port as well, with its earlier generations."""
        if port.archive is not None:
            self._ports.update((each.topic, each) for each in _generations(port))

    def has(self, topic: str) -> bool:
        """Return whether a port of this topic declares an archive."""
        return topic in self._ports

    def refresh(self, topic: str) -> None:
        """See what was archived of a topic since."""
        if (table := self.table(topic)) is not None:
            table.refresh()

    def extended(self, topic: str, bounds: Mapping[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
        """Return (first offset, end offset) of each partition, of the archive and the topic together.

        An archive that ends before its topic begins has a gap after it, and does not count.

        Args:
            topic: the topic.
            bounds: (first offset, end offset) of its partitions.
        """
        found = dict(bounds)
        cut = {partition: low for partition, (low, _) in bounds.items() if low > 0}
        if not cut or (table := self._reaching(topic, cut)) is None:
            return found
        for partition, had in table.archived.items():
            if partition in cut and had.begin < cut[partition] <= had.end:
                found[partition] = (had.begin, bounds[partition][1])
        return found

    def first_at(self, topic: str, timestamp_ms: int, ends: Mapping[int, int]) -> dict[int, int]:
        """Return the first archived offset of each partition before an end whose Kafka timestamp is not before a time."""
        table = self._reaching(topic, ends)
        return {} if table is None else table.first_at(timestamp_ms, ends)

    def end(self, partition: TopicPartition, offset: int) -> int | None:
        """Return the offset after the last one that is archived of a partition, where the archive has this offset; else None."""
        topic, number = partition
        table = self._reaching(topic, {number: offset + 1})
        had = None if table is None else table.archived.get(number)
        return had.end if had is not None and had.begin <= offset < had.end else None

    def read(self, partition: TopicPartition, begin: int) -> Iterator[tuple[int, list[ReceivedMessage]]]:
        """Yield what the archive has of a partition from an offset on: the offset after the messages, and the messages.

        Raises:
            ArchiveError: files of the archive are missing, or its store does not answer.
        """
        from meshport.archive.log_columns import messages_of  # noqa: PLC0415 - of the extra

        topic, number = partition
        while (end := self.end(partition, begin)) is not None:
            before, table = begin, self._tables[topic]
            try:
                for _, last, rows in table.log(number, begin, end):
                    begin = last
                    yield last, messages_of(rows, topic, number)
            except FileNotFoundError as error:  # of a snapshot that has expired meanwhile
                table.refresh()
                if begin == before:
                    raise ArchiveError(
                        f"the archive of {self._ports[topic].address} lacks a file: {error}",
                        address=str(self._ports[topic].address),
                        partition=number,
                        offset=begin,
                    ) from error
            except OSError as error:
                raise ArchiveError(
                    f"the archive of {self._ports[topic].address} cannot be read: {error}",
                    address=str(self._ports[topic].address),
                    partition=number,
                    offset=begin,
                ) from error

    def _reaching(self, topic: str, ends: Mapping[int, int]) -> ArchiveTable | None:
        """Return the table of a topic, as new as it has to be to reach these offsets; None where there is none."""
        table = self.table(topic)
        if table is None:
            return None
        archived = table.archived
        short = any(each not in archived or archived[each].end < end for each, end in ends.items())
        now = time.monotonic()
        if short and now - self._refreshed[topic] > _REFRESH_S:
            table.refresh()
            self._refreshed[topic] = now
        return table

    def table(self, topic: str) -> ArchiveTable | None:
        """Return the table of a port's topic; None where it has no archive, or one that cannot be opened."""
        port = self._ports.get(topic)
        if port is None or port.archive is None or topic in self._tables:
            return self._tables.get(topic)
        now = time.monotonic()
        if now < self._closed_until.get(topic, now):
            return None
        try:
            self._tables[topic] = _opened(ArchivePlace.of(port.archive), port)
        except ArchiveError as error:
            self._closed_until[topic] = now + _AGAIN_S
            _log.warning(
                "%s: what is removed from its topic is not read from its archive: %s", port.address, error.message
            )
            return None
        self._refreshed[topic] = now
        return self._tables[topic]


def _opened(place: ArchivePlace, port: Binding) -> ArchiveTable:
    try:
        from meshport.archive.table import ArchiveTable  # noqa: PLC0415 - of the extra
    except ModuleNotFoundError as error:
        raise ArchiveError("archives need pyarrow and pyiceberg", hint="pip install 'meshport[archive]'") from error
    return ArchiveTable.open(place, port)


def _generations(port: Binding) -> Iterator[Binding]:
    yield port
    for each in port.continues:
        yield port.model_copy(update={"topic": each.topic, "topic_id": None, "generation": each.generation})
