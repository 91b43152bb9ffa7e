"""`meshport archive` on the command line: what it prints, how it ends, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from meshport.archive.place import ArchivePlace
from meshport.archive.table import ArchivedRange, ArchiveTable
from meshport.binding import Binding
from meshport.product.archive import Archive
from tests.cli.running import Run, on, process
from tests.mesh_session import Mesh
from tests.ports.readings import cut, fill
from tests.waiting import PATIENCE_S, wait_for


@pytest.fixture
def port(mesh: Mesh, tmp_path: Path) -> Binding:
    """A port with an archive, and twenty readings."""
    binding = mesh.product(name="archived", partitions=1, archive={"store": (tmp_path / "archive").as_uri()})
    fill(mesh, binding.address, range(20))
    return binding


@pytest.mark.kafka
def test_a_run_follows_until_it_is_asked_to_end(mesh: Mesh, port: Binding, tmp_path: Path) -> None:
    """What is published while it runs is archived as well; SIGTERM commits what was read, and the exit code is 0."""
    key = port.address.key
    with process("archive", "run", key, "--json", "--commit-every", "1", cwd=tmp_path, **on(mesh)) as running:
        assert running.stderr is not None
        while f"archiving {port.topic}".encode() not in (line := running.stderr.readline()):
            assert line
        fill(mesh, port.address, range(20, 30))
        place = ArchivePlace.of(Archive(store=(tmp_path / "archive").as_uri()))
        wait_for(lambda: ArchiveTable.open(place, port).archived.get(0) == ArchivedRange(0, 30), "all to be archived")
        running.terminate()
        out, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0, said
    assert json.loads(out)["offsets"] == 30
    assert b"30 rows archived" in said


@pytest.mark.kafka
def test_an_archive_is_verified_with_figures(on_mesh: Run, port: Binding) -> None:
    """A table for people, an object a partition with --json."""
    key = port.address.key
    assert "20 offsets are archived in file://" in on_mesh("archive", "run", key, "--once").err
    ended = on_mesh("archive", "verify", key)
    assert ended.code == 0
    assert re.search(r"^0 +0 to 20 +20 +0 +0 +0 +[0-9a-f]{16}$", ended.out, re.MULTILINE), ended.out
    (found,) = map(json.loads, on_mesh("archive", "verify", key, "--json").out.splitlines())
    assert (found["equal"], found["agrees"], found["offsets"]) == (20, True, [])


@pytest.mark.kafka
def test_a_gap_ends_a_run_with_its_offsets(on_mesh: Run, mesh: Mesh, port: Binding) -> None:
    """The exit code is not 0, and the message says which offsets were removed before they were archived."""
    assert on_mesh("archive", "run", port.address.key, "--once").code == 0
    fill(mesh, port.address, range(20, 40))
    cut(port, 30)
    ended = on_mesh("archive", "run", port.address.key, "--once")
    assert ended.code != 0
    assert "10 offsets were removed before they were archived" in ended.err


@pytest.mark.kafka
def test_what_is_missing_is_named(on_mesh: Run, mesh: Mesh, port: Binding) -> None:
    """A port without an archive, an archive that never ran, and a store that is not known."""
    ended = on_mesh("archive", "verify", port.address.key)
    assert ended.code == 1
    assert "has no archive in file://" in ended.err
    assert f"hint: meshport archive run {port.address}" in ended.err
    without = mesh.product(name="unarchived")
    assert "declares no archive" in on_mesh("archive", "run", without.address.key, "--once").err
    nowhere = mesh.product(name="nowhere", archive={})
    assert "names no store, and MESHPORT_ARCHIVE is not set" in on_mesh("archive", "run", nowhere.address.key).err
    remote = mesh.product(name="remote", archive={"store": "s3://bucket/prefix"})
    assert "names no catalog" in on_mesh("archive", "run", remote.address.key, "--once").err


def test_a_project_without_archives_has_nothing_to_run(cli: Run) -> None:
    """The command says so, and ends."""
    assert cli("init").code == 0
    ended = cli("archive", "run", "--registry", "http://127.0.0.1:1")
    assert "no port of this project declares an archive" in ended.err
    assert ended.code == 0


@pytest.mark.parametrize("store", ["/srv/archive", "s3://user:secret@bucket/prefix"])
def test_a_store_that_is_no_place_is_refused(store: str) -> None:
    """A path that depends on the machine, and a password, are no part of a product.yaml."""
    from meshport.product import OutputPort  # noqa: PLC0415 - of this test

    with pytest.raises(ValueError, match=r"archive\.store"):
        OutputPort.model_validate({"name": "events", "archive": {"store": store}})
