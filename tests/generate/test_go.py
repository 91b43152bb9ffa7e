"""The Go client of a port, built and formatted by Go's own tools, reads and publishes with franz-go on a real Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshport.generate.languages import Language
from tests.generate.again import check_again, program, published_shipments, run, written_client
from tests.generate.builds import go_module
from tests.mesh_session import Mesh

pytestmark = pytest.mark.kafka


def test_it_reads_and_publishes(mesh: Mesh, tmp_path: Path) -> None:
    """Every value of every kind that it read is the same after it published it, and gofmt would change nothing."""
    binding = published_shipments(mesh)
    written_client(binding, Language.GO, tmp_path / "client")
    (client,) = (tmp_path / "client").glob("*.go")
    go = go_module(tmp_path)
    assert run([Path(go).parent / "gofmt", "-l", "client"], tmp_path) == ""
    client.write_text(client.read_text().replace(f"\npackage {package_of(client)}\n", "\npackage client\n"))
    (tmp_path / "main.go").write_text(program("again.go"))
    run([go, "vet", "-mod=mod", "./client"], tmp_path)
    run([go, "build", "-buildvcs=false", "-o", "again", "."], tmp_path)
    check_again(mesh, binding, [tmp_path / "again"], tmp_path)


def package_of(file: Path) -> str:
    """Return the package of a source file."""
    (name,) = (line.split()[1] for line in file.read_text().splitlines() if line.startswith("package "))
    return name
