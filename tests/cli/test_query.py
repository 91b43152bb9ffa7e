"""`meshport query` on the command line: its forms, what it shows, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars
import pytest

from meshport.binding import Binding
from tests.cli.running import Run
from tests.mesh_session import Mesh
from tests.ports.readings import cut, fill


@pytest.fixture
def port(mesh: Mesh) -> Binding:
    """A port of 150 readings."""
    binding = mesh.product(name="asked", partitions=1)
    fill(mesh, binding.address, range(150))
    return binding


@pytest.mark.kafka
def test_a_hundred_rows_are_shown(on_mesh: Run, port: Binding) -> None:
    """The table has the fields and the time; how many rows there are is said."""
    ended = on_mesh("query", port.address.key)
    assert ended.code == 0
    header, *rows = ended.out.splitlines()
    assert header.split() == ["sensor", "at", "celsius", "note", "_time"]
    assert len(rows) == 100
    assert rows[0].split() == ["s0", "2026-03-01T00:00:00Z", "0.0", "2026-03-01T00:00:00Z"]
    assert "150 rows, of which 100 are shown" in ended.err


@pytest.mark.kafka
def test_the_forms_have_all_rows(on_mesh: Run, port: Binding, tmp_path: Path) -> None:
    """CSV on stdout, a Parquet file that another reader reads, and JSON lines."""
    key = port.address.key
    rows = [*csv.DictReader(io.StringIO(on_mesh("query", key, "--csv", "-").out))]
    assert [float(each["celsius"]) for each in rows] == [*map(float, range(150))]
    assert on_mesh("query", key, "--parquet", str(tmp_path / "asked.parquet")).code == 0
    assert polars.read_parquet(tmp_path / "asked.parquet")["celsius"].sum() == sum(range(150))
    found = [
        json.loads(each) for each in on_mesh("query", key, "SELECT _key, _time FROM log", "--json").out.splitlines()
    ]
    assert found[3] == {"_key": "s3", "_time": "2026-03-01T00:03:00Z"}
    assert on_mesh("query", key, "--json", "--csv", "-").code == 2


@pytest.mark.kafka
def test_times_fields_and_intervals(on_mesh: Run, port: Binding) -> None:
    """As of a time, by a field, and in intervals."""
    key = port.address.key
    count = on_mesh("query", key, "SELECT count(*) AS n FROM events", "--as-of", "2026-03-01T01:00:00Z", "--json").out
    assert json.loads(count) == {"n": 61}
    assert json.loads(
        on_mesh("query", key, "SELECT count(*) AS n FROM log", "--known-at", "2026-03-01", "--json").out
    ) == {"n": 0}
    latest = on_mesh("query", key, "--latest-by", "sensor", "--json").out
    assert [json.loads(each)["celsius"] for each in latest.splitlines()] == [*range(140, 150)]
    series = on_mesh("query", key, "SELECT DISTINCT _interval FROM series ORDER BY 1", "--every", "1h", "--json").out
    assert [json.loads(each)["_interval"][11:13] for each in series.splitlines()] == ["00", "01", "02"]


@pytest.mark.kafka
def test_what_is_wrong_is_named(on_mesh: Run, port: Binding) -> None:
    """A query, a time and an interval that cannot be, and history that is removed."""
    key = port.address.key
    ended = on_mesh("query", key, "SELECT kelvin FROM events")
    assert ended.code == 2
    assert "kelvin" in ended.err
    assert "sensor, at, celsius, note" in ended.err
    assert on_mesh("query", key, "--as-of", "yesterday").code == 2
    assert on_mesh("query", key, "--every", "often").code == 2
    cut(port, 50)
    ended = on_mesh("query", key)
    assert ended.code == 1
    assert "the offsets 0 to 49" in ended.err
    assert "100 rows" in on_mesh("query", key, "--allow-missing").err
