"""`meshport export` writes documents to stdout or into a folder."""

from __future__ import annotations

import json
from pathlib import Path

from meshport.product.json_schema import editor_schema
from meshport.registry import Registry
from tests.cli.running import Run
from tests.export.conftest import mesh_registry as mesh_registry  # noqa: PLC0414 - pytest finds a fixture by its name here


def test_a_document_on_stdout(cli: Run, mesh_registry: Registry) -> None:
    """Without a folder stdout has the document, of the mesh or of a product, with `--json` on one line."""
    whole = cli("export", "--format", "asyncapi", MESHPORT_REGISTRY=mesh_registry.url)
    assert whole.code == 0, whole.err
    assert set(json.loads(whole.out)["channels"]) > {"network.delays-by-airport.events.v1"}
    given = ("export", "--format", "asyncapi", "operations/departures/events@2", "--json")
    one = cli(*given, MESHPORT_REGISTRY=mesh_registry.url)
    assert "network.delays-by-airport.events.v1" not in one.lines[0]["channels"]


def test_files_in_a_folder(cli: Run, mesh_registry: Registry, tmp_path: Path) -> None:
    """A folder gets the files, which `--json` names; what is no format of products is that of the mesh."""
    given = ("export", "--format", "xregistry", "operations/departures", "--output", "out/docs", "--json")
    ended = cli(*given, MESHPORT_REGISTRY=mesh_registry.url)
    assert ended.lines == [{"file": "out/docs/operations.departures.xregistry.json"}]
    assert "endpoints" in json.loads((tmp_path / ended.lines[0]["file"]).read_text())
    cli("export", "--format", "jsonschema", "--output", "out", MESHPORT_REGISTRY=mesh_registry.url)
    assert json.loads((tmp_path / "out/mesh.jsonschema.json").read_text()) == editor_schema()


def test_mistakes(cli: Run, mesh_registry: Registry, tmp_path: Path) -> None:
    """An unknown format, an address that has none, one that is not registered and a folder that is a file are named."""
    url = {"MESHPORT_REGISTRY": mesh_registry.url}
    unknown = cli("export", "--format", "raml", **url)
    assert unknown.code == 2
    assert "'asyncapi'" in unknown.err
    single = cli("export", "--format", "openapi", "operations/departures", **url)
    assert single.code == 2
    assert "openapi describes no single product" in single.err
    absent = cli("export", "--format", "asyncapi", "operations/departure", **url)
    assert absent.code == 1
    assert "did you mean mesh://operations/departures?" in absent.err
    (tmp_path / "out").write_text("")
    folder = cli("export", "--format", "asyncapi", "--output", "out", **url)
    assert folder.code == 2
    assert "out/mesh.asyncapi.json cannot be written" in folder.err
