"""`meshport dashboards` writes the files of Prometheus and Grafana."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.cli.running import Run
from tests.cli.shop import order, write_shop


def test_files_of_a_project(cli: Run, tmp_path: Path) -> None:
    """One file of rules, a dashboard of the mesh and one of each product; a second run writes nothing anew."""
    write_shop(tmp_path, order({"name": "customer", "type": "string"}))
    first = cli("dashboards", "--json")
    assert first.code == 0, first.err
    names = ["prometheus/meshport.rules.yml", "grafana/mesh.json", "grafana/shop.orders.json"]
    assert first.lines == [{"file": f"deploy/{name}", "written": True} for name in names]
    rules = yaml.safe_load((tmp_path / "deploy" / names[0]).read_text())
    assert [each["name"] for each in rules["groups"]] == ["meshport"]
    again = cli("dashboards", "--json")
    assert {each["written"] for each in again.lines} == {False}


def test_a_folder_that_cannot_be_written(cli: Run, tmp_path: Path) -> None:
    """It is named, and the command ends with 2."""
    write_shop(tmp_path, order({"name": "customer", "type": "string"}))
    (tmp_path / "deploy").write_text("")
    ended = cli("dashboards")
    assert ended.code == 2
    assert "deploy/prometheus/meshport.rules.yml cannot be written" in ended.err


def test_outside_of_a_project_a_registry_is_needed(cli: Run) -> None:
    """Without one there are no products to write of."""
    ended = cli("dashboards")
    assert ended.code == 3
    assert "no registry was named" in ended.err
