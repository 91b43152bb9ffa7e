"""A table stays quick to read: few files a day, none that nobody needs, and the same rows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from meshport.archive import upkeep
from meshport.archive.table import ArchiveTable
from meshport.archive.upkeep import MANY, compact, expire
from tests.archive.archives import archived, archiver, comparison, place_in, rows_of
from tests.mesh_session import Mesh
from tests.ports.readings import fill

pytestmark = pytest.mark.kafka


def test_many_small_files_become_one_a_day(mesh: Mesh, tmp_path: Path) -> None:
    """The rows, the offsets and what verify finds stay; the old files go with their snapshots."""
    binding = mesh.product()
    for begin in range(0, 10 * MANY, 10):
        fill(mesh, binding.address, range(begin, begin + 10))
        archived(mesh, binding, tmp_path)
    table = ArchiveTable.open(place_in(tmp_path), binding)
    before, offsets = rows_of(table), table.archived
    iceberg = place_in(tmp_path).open_catalog().load_table(place_in(tmp_path).table(binding))
    assert compact(iceberg) == MANY
    assert iceberg.inspect.data_files().num_rows == 1
    assert expire(iceberg) == 0
    kept = [*tmp_path.rglob("*.parquet")]
    assert len(kept) == MANY + 1
    assert expire(iceberg, timedelta()) > MANY
    assert len([*tmp_path.rglob("*.parquet")]) == 1
    table = ArchiveTable.open(place_in(tmp_path), binding)
    assert (rows_of(table), table.archived) == (before, offsets)
    assert all(each.agrees for each in comparison(mesh, binding, table))
    fill(mesh, binding.address, range(200, 210))
    assert len(rows_of(archived(mesh, binding, tmp_path))) == len(before) + 10


def test_an_archiver_tidies_by_itself(mesh: Mesh, tmp_path: Path) -> None:
    """After sixteen commits of one run the files of the day are few."""
    binding = mesh.product(partitions=1)
    one = archiver(mesh, binding, tmp_path)
    for begin in range(0, 160, 10):
        fill(mesh, binding.address, range(begin, begin + 10))
        one.catch_up()
    one.close()
    table = ArchiveTable.open(place_in(tmp_path), binding)
    iceberg = place_in(tmp_path).open_catalog().load_table(place_in(tmp_path).table(binding))
    assert iceberg.inspect.data_files().num_rows == 1
    assert len(rows_of(table)) == 160
    assert table.archived[0].end == 160


def test_days_with_few_files_stay_as_they_are(mesh: Mesh, tmp_path: Path) -> None:
    """Nothing is written anew."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(3))
    archived(mesh, binding, tmp_path)
    iceberg = place_in(tmp_path).open_catalog().load_table(place_in(tmp_path).table(binding))
    assert compact(iceberg) == 0


def test_a_large_day_is_written_anew_in_parts(mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more rows are in memory together than the bound allows, no file of sensible size is written again, and all rows stay."""
    binding = mesh.product(partitions=1)
    for begin in range(0, 10 * MANY, 10):
        fill(mesh, binding.address, range(begin, begin + 10))
        archived(mesh, binding, tmp_path)
    before = rows_of(ArchiveTable.open(place_in(tmp_path), binding))
    iceberg = place_in(tmp_path).open_catalog().load_table(place_in(tmp_path).table(binding))
    of_ten = iceberg.scan(limit=10).to_arrow().nbytes
    monkeypatch.setattr(upkeep, "MOST_BYTES", 5 * of_ten)
    replaced = compact(iceberg)
    assert 2 <= replaced < MANY
    assert iceberg.inspect.data_files().num_rows == MANY + 1 - replaced
    assert compact(iceberg) == 0  # not many are left
    monkeypatch.setattr(upkeep, "MANY", 2)
    monkeypatch.setattr(upkeep, "SMALL_ROWS", 10 * replaced)
    while compact(iceberg):
        pass
    largest = max(iceberg.inspect.data_files().column("record_count").to_pylist())
    assert 10 * replaced <= largest < 10 * MANY
    assert sorted(map(repr, rows_of(ArchiveTable.open(place_in(tmp_path), binding)))) == sorted(map(repr, before))
