"""An archive in an object store: the same table, on a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshport.archive.place import ArchivePlace
from meshport.archive.table import ArchiveTable
from meshport.archiving import compare
from meshport.errors import ArchiveError
from meshport.ports.subscriber import Subscriber
from meshport.product.archive import Archive
from meshport.query import Table
from tests.archive.archives import archiver_in
from tests.archive.s3_server import BUCKET, S3Server, make_bucket, s3_server, variables_count
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.readings import cut, fill, numbers, take

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The server of these tests."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def declared(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a port declares to be archived there, by a process that has the server's variables."""
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    variables_count()
    make_bucket(server)
    return {"store": server.store, "catalog": f"sqlite:///{tmp_path / 'catalog.db'}"}


def test_an_archive_in_an_object_store(server: S3Server, mesh: Mesh, declared: dict[str, str]) -> None:
    """It equals the topic, is read before it by a subscriber, and asked by SQL; its files are objects of the bucket."""
    binding = mesh.product(partitions=1, archive=declared)
    place = ArchivePlace.of(Archive.model_validate(declared))
    fill(mesh, binding.address, range(100))
    writer = archiver_in(mesh, binding, place, rows=40)
    writer.catch_up()
    writer.close()
    table = ArchiveTable.open(place, binding)
    (found,) = compare(table, binding, mesh.kafka)
    assert (found.equal, found.agrees) == (100, True)
    assert sum(each.suffix == ".parquet" for each in (server.folder / BUCKET).rglob("*"))
    table.tidy()
    fill(mesh, binding.address, range(100, 110))
    cut(binding, 90)
    with Subscriber(binding.address, mesh.registry, kafka=CONNECTIONS) as subscriber:
        assert numbers(take(subscriber, 110)) == [*range(110)]
    with Table(binding.address, mesh.registry, kafka=CONNECTIONS) as asked:
        assert asked.sql("SELECT sum(celsius) AS s FROM log").to_pylist() == [{"s": float(sum(range(110)))}]


def test_an_object_store_that_does_not_answer_is_named(
    mesh: Mesh, declared: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archiver ends with an error that says so."""
    binding = mesh.product(partitions=1, archive=declared)
    fill(mesh, binding.address, range(10))
    writer = archiver_in(mesh, binding, ArchivePlace.of(Archive.model_validate(declared)))
    writer.catch_up()
    fill(mesh, binding.address, range(10, 20))
    monkeypatch.setattr(writer._table._table.io, "new_output", unanswered)
    with pytest.raises(ArchiveError, match="does not do what it is asked: no server answers"):
        writer.catch_up()
    writer.close()


def unanswered(location: str) -> None:
    """As a store does that is away."""
    raise OSError(f"no server answers at {location}")


def test_an_object_store_without_a_catalog_is_refused(server: S3Server) -> None:
    """Only a folder has a catalog of its own."""
    with pytest.raises(ArchiveError, match="names no catalog"):
        ArchivePlace.of(Archive(store=server.store))
