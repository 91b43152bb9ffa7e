"""The TypeScript client of a port, compiled by tsc's strict rules, reads and publishes with kafkajs on a real Kafka."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from meshport.generate.languages import Language
from tests.generate.again import check_again, program, published_shipments, run, written_client
from tests.interop.packages import installed
from tests.interop.tools import do_without
from tests.mesh_session import Mesh

pytestmark = pytest.mark.kafka
STRICT = (
    *("--strict", "--noUncheckedIndexedAccess", "--noUnusedLocals", "--erasableSyntaxOnly", "--skipLibCheck"),
    *("--target", "es2022", "--module", "nodenext", "--types", "node"),
)


def test_it_reads_and_publishes(mesh: Mesh, tmp_path: Path) -> None:
    """Every value of every kind that it read is the same after it published it; types that it does not have are errors."""
    npm, node = (shutil.which(name) or do_without(f"there is no {name} on the path") for name in ("npm", "node"))
    modules = installed(npm, "typescript")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    binding = published_shipments(mesh)
    written_client(binding, Language.TYPESCRIPT, tmp_path)
    (client,) = tmp_path.glob("*.ts")
    (tmp_path / "again.ts").write_text(program("again.ts", port="ShipmentPort", file=client.stem))
    run([node, modules / "typescript" / "bin" / "tsc", *STRICT, "again.ts"], tmp_path)
    check_again(mesh, binding, run([node, "again.js", mesh.url, "4"], tmp_path))
