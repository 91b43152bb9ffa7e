"""The Iceberg table of one port: rows and the offsets that they reach become visible in one commit.

The offsets are a property of the table, `meshport.offsets`. An append is committed only on the snapshot that it was made for, and
is not tried again by itself: of two writers one is refused, and goes on from where the other came to.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import pyarrow as pa

from meshport.archive.log_columns import LOG
from meshport.archive.place import ArchivePlace
from meshport.archive.upkeep import compact, expire
from meshport.binding import Binding
from meshport.errors import ArchiveError

__all__ = ["ArchiveTable", "ArchivedRange", "AppendRefused"]

_log: Final = logging.getLogger(__name__)

_OFFSETS: Final = "meshport.offsets"
_BEGINS: Final = "meshport.begins"
_TOPIC_ID: Final = "meshport.topic-id"
_GROUPS: Final = "meshport.groups"
_SETTINGS: Final = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # No file is left out of a scan by these, and their bounds would be kept for each file.
    "write.metadata.metrics.column._value": "none",
    "write.metadata.metrics.column._key": "none",
    # What is read of a file at a time by a reader of some offsets: of a million rows, the default, most would be read in vain.
    "write.parquet.row-group-limit": "50000",
    # An append is for the offsets after those of its snapshot.
    "commit.retry.num-retries": "0",
}


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = 2**63 - 1
# Rows and compressed bytes that a reader has in memory at a time, of each partition.
_ROWS: Final = 20_000
_BYTES: Final = 8 * 1024 * 1024


class AppendRefused(Exception):  # noqa: N818 - the writer goes on with what it finds
    """Raised where another writer has committed meanwhile; nothing was appended."""


@dataclass(frozen=True, slots=True)
class ArchivedRange:
    """What a table has of one partition of the topic.

    Attributes:
        begin: the first offset from which on it has everything.
        end: the offset after the last one that it has.
    """

    begin: int
    end: int


class ArchiveTable:
    """The table of a port.

    Args:
        table: of pyiceberg.
        address: of the port, for errors.
    """

    def __init__(self, table: Any, address: str) -> None:
        self._table = table
        self._address = address

    @classmethod
    def open(cls, place: ArchivePlace, binding: Binding) -> Self:
        """Return the table of a port.

        Raises:
            ArchiveError: there is none, it is of a topic that was deleted since, or catalog or store do not answer.
        """
        from pyiceberg.exceptions import NoSuchTableError  # noqa: PLC0415 - of the extra

        none = ArchiveError(
            f"{binding.address} has no archive in {place.store}",
            hint=f"meshport archive run {binding.address}",
            address=str(binding.address),
        )
        if not place.is_made:
            raise none
        try:
            found = place.open_catalog().load_table(place.table(binding))
        except NoSuchTableError:
            raise none from None
        except OSError as error:
            raise _unreadable(str(binding.address), error) from error
        return cls._of_topic(found, binding)

    @classmethod
    def ensure(cls, place: ArchivePlace, binding: Binding, schema: Any) -> Self:
        """Return the table of a port with these columns; it is made, and columns are added, where needed.

        Args:
            place: where it lies.
            binding: of the port.
            schema: of the rows, a `pyarrow.Schema`.

        Raises:
            ArchiveError: as `open`.
        """
        place.make()
        catalog = place.open_catalog()
        identifier = place.table(binding)
        if not catalog.table_exists(identifier):
            catalog.create_namespace_if_not_exists(identifier[0])
            properties = _SETTINGS | {
                "comment": f"the events of {binding.address}",
                "meshport.address": str(binding.address),
                "meshport.topic": binding.topic,
            }
            if binding.topic_id is not None:
                properties[_TOPIC_ID] = binding.topic_id
            catalog.create_table_if_not_exists(
                identifier, schema=schema, location=place.location(binding), properties=properties
            )
        made = catalog.load_table(identifier)
        if made.spec().is_unpartitioned():  # also where a process was killed after it had made the table
            _by_day(made)
        opened = cls._of_topic(made, binding)
        opened.add_columns(schema)
        return opened

    @classmethod
    def _of_topic(cls, table: Any, binding: Binding) -> Self:
        had = table.properties.get(_TOPIC_ID)
        if had is not None and binding.topic_id is not None and had != binding.topic_id:
            raise ArchiveError(
                f"the archive of {binding.address} is of a topic {binding.topic} that was deleted and made again since",
                hint="its offsets are others now: move the archive away, or give the port's archive another store",
                address=str(binding.address),
            )
        return cls(table, str(binding.address))

    def add_columns(self, schema: Any) -> None:
        """Add the columns that the contract has by now. One whose type Iceberg does not widen keeps it, which is logged."""
        if not self._take(schema):
            for each in schema:
                if not self._take(pa.schema([each])):
                    _log.warning("%s: the column %s of the archive keeps its type", self._address, each.name)
        self._table.refresh()

    def _take(self, schema: Any) -> bool:
        from pyiceberg.exceptions import ValidationError  # noqa: PLC0415 - of the extra

        try:
            with self._table.update_schema() as update:
                update.union_by_name(schema)
        except (ValidationError, ValueError, TypeError):
            return False
        return True

    @property
    def location(self) -> str:
        """The URL of the newest metadata file, which engines without a catalog open."""
        return str(self._table.metadata_location)

    @property
    def arrow(self) -> Any:
        """The columns, as a `pyarrow.Schema`."""
        return self._table.schema().as_arrow()

    @property
    def archived(self) -> dict[int, ArchivedRange]:
        """What it has of each partition."""
        begins, ends = (self._by_partition(each) for each in (_BEGINS, _OFFSETS))
        return {partition: ArchivedRange(begins.get(partition, 0), end) for partition, end in ends.items()}

    @property
    def groups(self) -> dict[str, dict[int, int]]:
        """By consumer group, the next offset to read of each partition, as committed when rows were appended last."""
        found: dict[str, dict[str, int]] = json.loads(self._table.properties.get(_GROUPS, "{}"))
        return {group: {int(each): offset for each, offset in offsets.items()} for group, offsets in found.items()}

    def _by_partition(self, name: str) -> dict[int, int]:
        found: dict[str, int] = json.loads(self._table.properties.get(name, "{}"))
        return {int(partition): offset for partition, offset in found.items()}

    def append(
        self, rows: Any, ends: Mapping[int, int], begins: Mapping[int, int], groups: Mapping[str, Mapping[int, int]]
    ) -> None:
        """Append rows, and move the offsets with them.

        Args:
            rows: a `pyarrow.Table`, of at least one row; columns that the table does not have are left out.
            ends: by partition, the offset after the last one that the table has then.
            begins: by partition, the first offset from which on it has everything.
            groups: by consumer group, what it has committed.

        Raises:
            AppendRefused: another writer has committed meanwhile.
            ArchiveError: the store does not answer, or does not take it.
        """
        from pyiceberg.exceptions import CommitFailedException  # noqa: PLC0415 - of the extra

        try:
            with self._table.transaction() as transaction:
                transaction.append(_fitting(rows, self.arrow))
                transaction.set_properties(
                    {
                        _OFFSETS: _json({**self._by_partition(_OFFSETS), **ends}),
                        _BEGINS: _json({**self._by_partition(_BEGINS), **begins}),
                        _GROUPS: json.dumps({name: dict(each) for name, each in sorted(groups.items())}),
                    }
                )
        except CommitFailedException as error:
            self._table.refresh()
            raise AppendRefused(str(error)) from error
        except OSError as error:  # what was written of it is in no snapshot
            raise _unreadable(self._address, error) from error

    def tidy(self) -> None:
        """Make the files of a day few, and remove files that no reader needs; leave it to the next time where others commit."""
        from pyiceberg.exceptions import CommitFailedException  # noqa: PLC0415 - of the extra

        try:
            replaced = compact(self._table)
            removed = expire(self._table)
        except CommitFailedException as error:
            _log.info("%s: the archive is not tidied now: %s", self._address, error)
        else:
            _log.debug("%s: %d files were made fewer, %d removed", self._address, replaced, removed)
        self._table.refresh()

    def refresh(self) -> None:
        """See what was committed since."""
        self._table.refresh()

    def first_at(self, timestamp_ms: int, ends: Mapping[int, int]) -> dict[int, int]:
        """Return the first offset of each partition whose Kafka timestamp is not before a time; one without is left out.

        Args:
            timestamp_ms: the time, since 1970.
            ends: by partition, the offset before which to look.
        """
        since = (_EPOCH + timedelta(milliseconds=timestamp_ms)).isoformat(timespec="milliseconds")
        # No greatest end is given: it is of another partition, and most offsets of the last files would be left out by few.
        rows = self._table.scan(
            f"_kafka_timestamp >= '{since}'", selected_fields=("_kafka_partition", "_kafka_offset")
        ).to_arrow()
        found = rows.group_by("_kafka_partition").aggregate([("_kafka_offset", "min")])
        first = dict(zip(found["_kafka_partition"].to_pylist(), found["_kafka_offset_min"].to_pylist(), strict=True))
        return {each: first[each] for each, end in ends.items() if each in first and first[each] < end}

    def dataset(self, columns: Any, until: datetime | None = None) -> Any:
        """Return all rows as a `pyarrow.dataset.Dataset`, which engines read by columns; None where there is none.

        Args:
            columns: a `pyarrow.Schema` of the columns that are wanted. One that the table does not have is null, and one that it
                has in another type has that.
            until: files of which all events happened later are left out.
        """
        from pyarrow import dataset  # noqa: PLC0415 - not in every build of pyarrow

        scan = self._table.scan() if until is None else self._table.scan(f"_time <= '{until.isoformat()}'")
        paths = [self._table.io.parse_location(task.file.file_path) for task in scan.plan_files()]
        if not paths:
            return None
        scheme, host, _ = paths[0]
        own = {each.name: each.remove_metadata() for each in self.arrow}
        schema = pa.schema([own.get(each.name, each) for each in columns])
        return dataset.dataset(
            [path for _, _, path in paths],
            schema=schema,
            format="parquet",
            filesystem=self._table.io.fs_by_scheme(scheme, host),
        )

    def log(self, partition: int, begin: int, end: int, size: int = _ROWS) -> Iterator[tuple[int, int, Any]]:
        """Yield the log of a partition in ranges of offsets: first offset, end, and the columns of the log in order.

        The files are planned once: each is read in the ranges that the bounds of its offsets meet.

        Args:
            partition: of the topic.
            begin: the first offset.
            end: the offset after the last one.
            size: offsets of a range at most; fewer where the rows are large.

        Raises:
            FileNotFoundError: the snapshot has expired; `refresh`, and read on.
        """
        from pyiceberg.io.pyarrow import ArrowScan  # noqa: PLC0415 - of the extra

        whole = self._table.scan(_offsets(partition, begin, end), selected_fields=tuple(LOG.names))
        bounds = [(task, *self._bounds(task.file)) for task in whole.plan_files()]
        stored = sum(task.file.file_size_in_bytes for task, _, _ in bounds)
        count = sum(task.file.record_count for task, _, _ in bounds)
        size = max(1, min(size, _BYTES * count // max(1, stored))) if count else size
        for first in range(begin, end, size):
            last = min(first + size, end)
            part = whole.update(row_filter=self._table.scan(_offsets(partition, first, last)).row_filter)
            scan = ArrowScan(part.table_metadata, part.io, part.projection(), part.row_filter, part.case_sensitive)
            rows = scan.to_table([task for task, low, high in bounds if low < last and high >= first])
            yield first, last, rows.sort_by("_kafka_offset")

    def _bounds(self, file: Any) -> tuple[int, int]:
        """Return the least and the greatest offset of a data file, of all its partitions."""
        from pyiceberg.conversions import from_bytes  # noqa: PLC0415 - of the extra

        field = self._table.schema().find_field("_kafka_offset")
        low, high = file.lower_bounds.get(field.field_id), file.upper_bounds.get(field.field_id)
        if low is None or high is None:  # a file of an engine that keeps none
            return 0, _LAST
        return int(from_bytes(field.field_type, low)), int(from_bytes(field.field_type, high))


def _unreadable(address: str, error: OSError) -> ArchiveError:
    return ArchiveError(
        f"the store of the archive of {address} does not do what it is asked: {error}",
        hint="endpoint, region and keys are those of pyiceberg's catalog `meshport`: PYICEBERG_CATALOG__MESHPORT__S3__ENDPOINT",
        address=address,
    )


def _offsets(partition: int, begin: int, end: int) -> str:
    return f"_kafka_partition = {partition} and _kafka_offset >= {begin} and _kafka_offset < {end}"


def _by_day(table: Any) -> None:
    from pyiceberg.transforms import DayTransform  # noqa: PLC0415 - of the extra

    with table.update_spec() as update:
        update.add_field("_time", DayTransform(), "day")


def _json(offsets: Mapping[int, int]) -> str:
    return json.dumps(dict(sorted(offsets.items())))


def _fitting(rows: Any, table: Any) -> Any:
    """Return the rows with the columns of the table: those it does not have are left out, those they do not have are null."""
    columns = []
    for each in table:
        if each.name not in rows.schema.names:
            columns.append(pa.nulls(len(rows), each.type))
            continue
        column = rows.column(each.name)
        try:
            columns.append(column.cast(each.type))
        except pa.ArrowException:
            columns.append(pa.nulls(len(rows), each.type))
    return pa.Table.from_arrays(columns, schema=pa.schema([field.remove_metadata() for field in table]))
