"""`meshport import` writes products of ODCS contracts, among them those that `meshport export` wrote."""

from __future__ import annotations

import json
from pathlib import Path

from meshport.registry import Registry
from tests.cli.running import Run
from tests.export.conftest import mesh_registry as mesh_registry  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.export.test_odcs import FOREIGN


def test_an_exported_product_is_imported_as_it_was(cli: Run, mesh_registry: Registry, tmp_path: Path) -> None:
    """A new project with the contracts of a product passes the check, and registering it changes nothing."""
    url = {"MESHPORT_REGISTRY": mesh_registry.url}
    assert cli("export", "--format", "odcs", "operations/departures", "--output", "contracts", **url).code == 0
    files = sorted(str(each.relative_to(tmp_path)) for each in (tmp_path / "contracts").iterdir())
    assert files == [
        f"contracts/operations.departures.{line}.odcs.yaml" for line in ("events.v1", "events.v2", "raw.v1")
    ]
    assert cli("init").code == 0
    ended = cli("import", *files, "--json")
    assert ended.code == 0, ended.err
    assert [each["file"] for each in ended.lines] == [
        "producers/operations/departures/product.yaml",
        "schemas/operations/departures.events.avsc",
        "schemas/operations/departures.events.v2.avsc",
        "schemas/operations/departures.raw.avsc",
        "schemas/common/flight_id.avsc",
    ]
    checked = cli("check")
    assert checked.code == 0, checked.err
    registered = mesh_registry.product("operations/departures")
    again = cli("gate", "check", **url)
    assert again.code == 0, again.out + again.err
    assert mesh_registry.product("operations/departures") == registered
    twice = cli("import", *files)
    assert twice.code == 2
    assert "exists already" in twice.err


def test_a_contract_of_another_house(cli: Run, tmp_path: Path) -> None:
    """It becomes a product that passes the check, at the address that the command gives."""
    assert cli("init").code == 0
    (tmp_path / "contract.json").write_text(json.dumps(FOREIGN))
    ended = cli("import", "contract.json", "--as", "shop/bookings")
    assert ended.code == 0, ended.err
    assert "wrote producers/shop/bookings/product.yaml" in ended.err
    checked = cli("check")
    assert checked.code == 0, checked.err


def test_files_that_are_no_contract(cli: Run, tmp_path: Path) -> None:
    """A file that is missing, no YAML or no contract is named, and nothing is written."""
    cli("init")
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "other.yaml").write_text("kind: DataContract")
    for file, reason in (
        ("none.yaml", "none.yaml: the file cannot be read"),
        ("broken.yaml", "broken.yaml: line 2: the file is not YAML: did not find expected node content"),
        ("other.yaml", "other.yaml is no ODCS contract: id: Field required"),
    ):
        ended = cli("import", file)
        assert (ended.code, ended.out) == (2, "")
        assert reason in ended.err
    assert not list((tmp_path / "producers").iterdir())
