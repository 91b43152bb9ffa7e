"""docs/exports.md: its commands are run against a registry, and its table names every format."""

from __future__ import annotations

import json
import re
from pathlib import Path

from meshport.export.formats import ExportFormat
from meshport.registry import Registry
from tests.docs.shell import shell
from tests.export.conftest import mesh_registry as mesh_registry  # noqa: PLC0414 - pytest finds a fixture by its name here

TEXT = (Path(__file__).parents[2] / "docs/exports.md").read_text(encoding="utf-8")


def test_the_commands(mesh_registry: Registry, tmp_path: Path) -> None:
    """The first writes a document to stdout, the others write files; what is imported passes the check."""
    export, imported = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    shown = shell(export, tmp_path, MESHPORT_REGISTRY=mesh_registry.url)
    assert json.loads(shown)["channels"].keys() >= {"operations.departures.events.v1"}
    assert (tmp_path / "build/mesh/mesh.xregistry.json").is_file()
    shell(imported, tmp_path, MESHPORT_REGISTRY=mesh_registry.url)
    assert (tmp_path / "copy/producers/operations/departures/product.yaml").is_file()


def test_the_table_names_every_format() -> None:
    """One row for each format of the command, in its order."""
    assert re.findall(r"^\| `(\w+)`", TEXT.partition("\n## ")[0], re.MULTILINE) == list(ExportFormat)
