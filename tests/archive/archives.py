"""Archives of the tests: in a folder, over the session's mesh."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshport.archive.place import ArchivePlace
from meshport.archive.table import ArchiveTable
from meshport.archiving import Archiver, CommitSize, PartitionComparison, compare
from meshport.archiving.columns import ArchiveColumns
from meshport.binding import Binding
from meshport.product.archive import Archive
from meshport.schema import parse_schema
from tests.mesh_session import Mesh


class Killed(Exception):  # noqa: N818 - what happens to it
    """Stands for the end of the process at that point."""


class KilledTable(ArchiveTable):
    """A table whose process is killed at an append: before it, or after it was committed."""

    fatal: str | None = None

    def append(self, rows: Any, ends: Mapping[int, int], begins: Mapping[int, int], groups: Any) -> None:
        """As `ArchiveTable.append`."""
        if self.fatal == "before":
            raise Killed
        super().append(rows, ends, begins, groups)
        if self.fatal == "after":
            raise Killed


def place_in(folder: Path) -> ArchivePlace:
    """The place in a folder."""
    return ArchivePlace.of(Archive(store=folder.as_uri()))


def archiver(mesh: Mesh, binding: Binding, folder: Path, *, rows: int = 1000, fatal: str | None = None) -> Archiver:
    """An archiver whose commits have about so many rows."""
    return archiver_in(mesh, binding, place_in(folder), rows=rows, fatal=fatal)


def archiver_in(
    mesh: Mesh, binding: Binding, place: ArchivePlace, *, rows: int = 1000, fatal: str | None = None
) -> Archiver:
    """An archiver into a place."""
    columns = ArchiveColumns(binding, mesh.registry, parse_schema(binding.schema_text))
    table = KilledTable.ensure(place, binding, columns.schema)
    table.fatal = fatal
    return Archiver(binding, columns, table, mesh.kafka, CommitSize(rows=rows))


def archived(mesh: Mesh, binding: Binding, folder: Path, **given: Any) -> ArchiveTable:
    """Archive what the topic has now, and return the table."""
    one = archiver(mesh, binding, folder, **given)
    try:
        one.catch_up()
    finally:
        one.close()
    return ArchiveTable.open(place_in(folder), binding)


def rows_of(table: ArchiveTable) -> list[dict[str, Any]]:
    """All rows, by partition and offset, as an engine reads them that knows nothing of Meshport."""
    from pyiceberg.table import StaticTable  # noqa: PLC0415 - of the extra

    found = StaticTable.from_metadata(table.location).scan().to_arrow()
    rows: list[dict[str, Any]] = found.sort_by(
        [("_kafka_partition", "ascending"), ("_kafka_offset", "ascending")]
    ).to_pylist()
    return rows


def comparison(mesh: Mesh, binding: Binding, table: ArchiveTable) -> list[PartitionComparison]:
    """The comparison with the topic."""
    return list(compare(table, binding, mesh.kafka))
