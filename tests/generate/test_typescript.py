"""The TypeScript client of a port, compiled by tsc's strict rules, reads and publishes with kafkajs on a real Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshport.generate.languages import Language
from tests.generate.again import check_again, program, published_shipments, run, written_client
from tests.generate.builds import npm_packages, tsc
from tests.mesh_session import Mesh

pytestmark = pytest.mark.kafka


def test_it_reads_and_publishes(mesh: Mesh, tmp_path: Path) -> None:
    """Every value of every kind that it read is the same after it published it; types that it does not have are errors."""
    packages = npm_packages(tmp_path)
    binding = published_shipments(mesh)
    written_client(binding, Language.TYPESCRIPT, tmp_path)
    (client,) = tmp_path.glob("*.ts")
    (tmp_path / "again.ts").write_text(program("again.ts", port="ShipmentPort", file=client.stem))
    run([*tsc(packages), "again.ts"], tmp_path)
    check_again(mesh, binding, ["node", "again.js"], tmp_path)
