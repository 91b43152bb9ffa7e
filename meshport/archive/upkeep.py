"""Keeps a table quick to read: few files for each day of event time, and no files that no reader needs any more.

A commit adds at least one file for each day of which it has events. The files of a day are written anew as one, sorted, when they
are many and small enough to be in memory together. The old ones are removed with the snapshots that have them, two hours later,
so that a reader who began with one can end.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

__all__ = ["compact", "expire"]

MANY: Final = 12
"""Files of a day that are made one."""
MOST_BYTES: Final = 256 * 1024 * 1024
"""Bytes of the files of a day that are written anew together; days with more have files of sensible size."""
KEPT: Final = timedelta(hours=2)
"""How long a snapshot is kept after it was made."""
_DAY_FIELD: Final = "day"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def compact(table: Any) -> int:
    """Write the files of days that have many anew as one, and return how many files were replaced.

    Args:
        table: of pyiceberg.

    Raises:
        pyiceberg.exceptions.CommitFailedException: another writer has committed meanwhile; nothing was replaced.
    """
    replaced = 0
    for day, files in _files_by_day(table).items():
        if len(files) < MANY or sum(files) > MOST_BYTES:
            continue
        within = _within(day)
        rows = (
            table.scan(within).to_arrow().sort_by([("_kafka_partition", "ascending"), ("_kafka_offset", "ascending")])
        )
        table.overwrite(rows, within)
        replaced += len(files)
    return replaced


def _files_by_day(table: Any) -> dict[datetime | None, list[int]]:
    """Return the sizes of the files of each day; None is the day of rows without a time."""
    found: dict[datetime | None, list[int]] = {}
    files = table.inspect.data_files()
    for partition, size in zip(
        files.column("partition").to_pylist(), files.column("file_size_in_bytes").to_pylist(), strict=True
    ):
        day = partition[_DAY_FIELD]
        found.setdefault(None if day is None else _EPOCH + (day - _EPOCH.date()), []).append(size)
    return found


def _within(day: datetime | None) -> str:
    if day is None:
        return "_time is null"
    return f"_time >= '{day.isoformat()}' and _time < '{(day + timedelta(days=1)).isoformat()}'"


def expire(table: Any, kept: timedelta = KEPT) -> int:
    """Forget snapshots that are older, remove the files that only they have, and return how many files were removed.

    Args:
        table: of pyiceberg.
        kept: how long a snapshot is kept.
    """
    before = _files(table)
    table.maintenance.expire_snapshots().older_than(datetime.now(UTC) - kept).commit()
    table.refresh()
    gone = before - _files(table)
    for path in sorted(gone):
        table.io.delete(path)
    return len(gone)


def _files(table: Any) -> set[str]:
    """Return the data files, manifests and lists of manifests of all snapshots."""
    lists = {each.manifest_list for each in table.metadata.snapshots if each.manifest_list}
    manifests = table.inspect.all_manifests().column("path").to_pylist()
    return {*lists, *manifests, *table.inspect.all_files().column("file_path").to_pylist()}
