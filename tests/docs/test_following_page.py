"""docs/following-the-registry.md, executed: a relay beside a registry, and its program and commands on what was published."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from meshport import Registry
from meshport.errors import NotRegistered
from meshport.local.cluster import Cluster
from meshport.outbox.databases import look_at
from meshport.product import Product
from meshport.project.glossary import glossary_plans, project_glossary
from meshport.project.project import Project
from meshport.schema import Schema
from meshport_registry import Settings, running
from meshport_registry.changes import MeshChangeKind
from tests.cli.running import process
from tests.docs.shell import shell
from tests.registry.schemas import product, schema
from tests.waiting import PATIENCE_S, wait_for

TEXT = (Path(__file__).parents[2] / "docs" / "following-the-registry.md").read_text(encoding="utf-8")
SHELL = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(YAML,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.kafka
def test_the_blocks(kafka: Cluster, tmp_path: Path) -> None:
    """The relay registers the product and publishes what is changed; the command and the program show it."""
    tail, problems, glossary, relay = SHELL
    database, words = f"sqlite:///{tmp_path / 'registry.db'}", relay.split()
    assert words[:2] == ["meshport", "registry"]
    shown: list[str] = []
    with running(Settings(database=database, port=0)) as url, Registry(url) as registry:
        at = {"MESHPORT_REGISTRY": url, "MESHPORT_KAFKA": kafka.bootstrap_servers}
        with process(*words[1:], cwd=tmp_path, **at) as running_relay:
            wait_for(lambda: running_relay.poll() is not None or _is_registered(registry), "the first run of the relay")
            registry.register(*departures(), bootstrap_servers=kafka.bootstrap_servers)
            assert "1  operations/departures  answered" in re.sub(" {3,}", "  ", shell(problems, tmp_path, **at))
            for each in glossary_plans(project_glossary(project(tmp_path)), registry.glossary):
                registry.glossary.declare(each.domain, each.terms)
            assert "timekeepers" in shell(glossary, tmp_path, **at)
            wait_for(lambda: look_at(database, 0).state.published == 6, "the events")
            running_relay.send_signal(signal.SIGINT)
            _, err = running_relay.communicate(timeout=PATIENCE_S)
        assert running_relay.returncode == 0, err.decode()
        assert "problem 1 of mesh://operations/departures is answered" in shell(tail, tmp_path, **at)

        scope: dict[str, Any] = {"registry_url": url}

        def show(*words: str) -> None:
            shown.append(" ".join(words))
            if words[0] == "mesh://operations/departures":
                scope["changes"].stop()

        exec(PROGRAM, scope | {"print": show}, scope)
        scope["registry"].close()
    assert "mesh://operations/departures of team-player - mesh://operations/departures is registered" in shown


def test_the_table_has_every_kind() -> None:
    """Each kind of the contract is in the page's table, and no other."""
    (table,) = re.findall(r"^\| kind \| when \|\n\|---\|---\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    named = [name for row in table.splitlines() for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(MeshChangeKind)


def departures() -> tuple[Product, dict[str, Schema]]:
    """Return the product of the page, whose contract links to the polyseme of its glossary."""
    flight = {"name": "flight", "type": {"type": "string", "polyseme": "flight_id"}}
    return product("mesh://operations/departures"), {"events@1": schema("user", flight)}


def project(folder: Path) -> Project:
    """Return a project with the page's glossary."""
    common = folder / "schemas" / "common"
    common.mkdir(parents=True)
    common.joinpath("flight_id.avsc").write_text('{"type": "string", "polyseme": "flight_id", "doc": "One flight."}')
    (folder / "glossary.yaml").write_text(YAML)
    return Project(folder)


def _is_registered(registry: Registry) -> bool:
    try:
        registry.product("mesh/changes")
    except NotRegistered:
        return False
    return True
