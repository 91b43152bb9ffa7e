"""Commands in a project whose meshport.toml names its clusters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshport.kafka.clusters import KafkaClusters
from meshport.local.cluster import Cluster
from tests.cli.running import Run
from tests.connections import clusters_file
from tests.mesh_session import Mesh
from tests.project.two_clusters import SOLD, Shop


def test_commands_take_the_clusters_of_the_project(
    on_mesh: Run, mesh: Mesh, secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command finds the cluster of a port in meshport.toml, whatever address the registry has of it."""
    root = tmp_path / "shop"
    root.mkdir()
    shop = Shop(root, mesh.registry, KafkaClusters(mesh.kafka, {"eu": secured.config}))
    text, secrets = clusters_file({"default": mesh.kafka, "eu": secured.config})
    (root / "meshport.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(root)

    def meshport(*arguments: str, code: int = 0) -> list[dict[str, object]]:
        ended = on_mesh(*arguments, "--json", **secrets)
        assert ended.code == code, ended.err
        return ended.lines

    made = {topic["topic"]: topic["cluster"] for each in meshport("apply") for topic in each["topics"]}  # type: ignore[attr-defined]  # a list
    names = {
        f"{shop.domain}.{name}.events.v1": cluster
        for name, cluster in (("till", None), ("sales", "eu"), ("shares", "eu"))
    }
    assert made == names
    shop.hide()
    sales, shares = f"{shop.domain}/sales", f"{shop.domain}/shares"
    rows = [{"id": f"s{number}", "cents": number, "at": f"2026-03-01T12:00:{number:02}Z"} for number in range(SOLD)]
    (tmp_path / "sales.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert meshport("publish", sales, "--from", str(tmp_path / "sales.jsonl"))[0]["stored"] == SOLD
    assert len(meshport("tail", sales, "--from-beginning", "--until-end")) == SOLD
    assert len(meshport("replay", sales, "--from", "offset:0")) == SOLD
    assert shop.process() == SOLD - 1
    assert len(meshport("quarantine", shares)) == len(meshport("redrive", shares)) == 1
    assert meshport("gate", "check", sales, "--history")[0]["evidence"][0]["events"] == SOLD  # type: ignore[index]  # lists
    assert meshport("rebuild", shares)[0]["comparison"]
    refused = on_mesh("drop", shares, "--yes", **secrets)
    assert (refused.code, f"{shop.domain}.shares.events.v1 holds" in refused.err) == (1, True)
