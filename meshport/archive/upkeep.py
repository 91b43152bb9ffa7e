"""Keeps a table quick to read: few files for each day of event time, and no files that no reader needs any more.

A commit adds at least one file for each day of which it has events. Small files of a day, once they are many, are written anew
as one, sorted. The smallest are taken first, up to a bound on their rows in memory: neither a large day nor one whose rows
compress well needs more memory than another. The old files are removed with the snapshots that have them, two hours later, so
that a reader who began with one can end.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

__all__ = ["compact", "expire"]

MANY: Final = 12
"""Small files of a day that are made one."""
SMALL_ROWS: Final = 100_000
"""A file of so many rows is not small."""
SMALL_BYTES: Final = 32 * 1024 * 1024
"""Nor is one of so many bytes."""
MOST_BYTES: Final = 128 * 1024 * 1024
"""Bytes in memory, as Arrow has them, of the rows that are written anew together."""
KEPT: Final = timedelta(hours=2)
"""How long a snapshot is kept after it was made."""
_ORDER: Final = [("_kafka_partition", "ascending"), ("_kafka_offset", "ascending")]


def compact(table: Any) -> int:
    """Write the small files of days that have many anew as one, and return how many files were replaced.

    Args:
        table: of pyiceberg.

    Raises:
        pyiceberg.exceptions.CommitFailedException: another writer has committed meanwhile; nothing was replaced.
    """
    replaced = 0
    for small in _small_by_day(table):
        taken, rows = _taken(table, small)
        if len(taken) > 1:
            _replace(table, [each.file for each in taken], rows)
            replaced += len(taken)
    return replaced


def _small_by_day(table: Any) -> list[list[Any]]:
    """Return the small files of each day that has many, as tasks of a scan, the smallest first."""
    found: dict[Any, list[Any]] = {}
    for task in table.scan().plan_files():
        if task.file.record_count < SMALL_ROWS and task.file.file_size_in_bytes < SMALL_BYTES:
            found.setdefault(task.file.partition[0], []).append(task)
    return [sorted(each, key=lambda task: task.file.record_count) for each in found.values() if len(each) >= MANY]


def _taken(table: Any, small: Iterable[Any]) -> tuple[list[Any], Any]:
    """Return the first of some files whose rows are in memory together within the bound, and the rows, in order."""
    import pyarrow as pa  # noqa: PLC0415 - of the extra
    from pyiceberg.expressions import AlwaysTrue  # noqa: PLC0415 - of the extra
    from pyiceberg.io.pyarrow import ArrowScan  # noqa: PLC0415 - of the extra

    scan = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
    taken: list[Any] = []
    tables: list[Any] = []
    size = 0
    for task in small:
        rows = scan.to_table([task])
        size += rows.nbytes
        if taken and size > MOST_BYTES:
            break
        taken.append(task)
        tables.append(rows)
    return taken, pa.concat_tables(tables).sort_by(_ORDER)


def _replace(table: Any, files: Iterable[Any], rows: Any) -> None:
    """Replace files by one of these rows, in one commit."""
    from pyiceberg.io.pyarrow import _dataframe_to_data_files  # noqa: PLC0415 - of the extra; pyproject.toml bounds its version

    with table.transaction() as transaction, transaction.update_snapshot().overwrite() as snapshot:
        for each in _dataframe_to_data_files(transaction.table_metadata, rows, table.io, snapshot.commit_uuid):
            snapshot.append_data_file(each)
        for each in files:
            snapshot.delete_data_file(each)


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
