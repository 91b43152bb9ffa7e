"""docs/clients.md, executed: its command writes the clients, and its programs publish and read with them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from meshport.kafka.in_memory import in_memory_cluster
from meshport.ports.publisher import Publisher
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.schema import parse_schema
from tests.connections import CONNECTIONS
from tests.docs.shell import shell
from tests.generate.again import run
from tests.generate.builds import go_module, maven_classes, npm_packages, tsc
from tests.mesh_session import Mesh, open_test_mesh
from tests.running import environment
from tests.waiting import PATIENCE_S

TEXT = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
GATE_CHANGE: dict[str, Any] = {
    "type": "record",
    "name": "GateChange",
    "namespace": "operations",
    "fields": [
        {"name": "flight", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "gate", "type": "string"},
        {"name": "reason", "type": {"type": "enum", "name": "Reason", "symbols": ["DELAY", "AIRCRAFT", "OTHER"]}},
    ],
}


def block(kind: str) -> str:
    """Return the page's only block of a kind."""
    (found,) = (text for name, text in BLOCKS if name == kind)
    return found


def register(mesh: Mesh, form: dict[str, Any]) -> None:
    """Register the page's product with a contract."""
    product = Product.model_validate(
        {
            "address": "mesh://operations/gate-changes",
            "id": "0b1d3f0e-2c4a-4b53-9c55-1d6a6c1f7a10",
            "archetype": "source-aligned",
            "description": "made by a test",
            "owner": "tests",
            "outputPorts": [{"name": "events", "key": "flight", "time": "at"}],
        }
    )
    contract = parse_schema(json.dumps(form))
    mesh.apply(ProjectProduct(product, mesh.folder, {("events", 1): contract}))


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh in memory with the page's product."""
    folder = tmp_path_factory.mktemp("gates")
    with in_memory_cluster() as kafka, open_test_mesh(folder, kafka.bootstrap_servers) as mesh:
        register(mesh, GATE_CHANGE)
        yield mesh


def test_the_python_of_the_page(gates: Mesh, tmp_path: Path) -> None:
    """The command writes the module, and the program publishes an object, reads it, and replays it."""
    shell(block("sh"), tmp_path, MESHPORT_REGISTRY=gates.url)
    assert sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*.*")) == [
        "clients/csharp/GateChangePort.cs",
        "clients/csharp/OperationsGateChangesEvents.csproj",
        "clients/csharp/operations-gate-changes-events.avsc",
        "clients/gates/operations_gate_changes_events.go",
        "clients/java/pom.xml",
        "clients/java/src/main/avro/operations-gate-changes-events.avsc",
        "clients/java/src/main/java/operations/GateChangePort.java",
        "clients/operations-gate-changes-events.ts",
        "clients/operations_gate_changes_events.py",
    ]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"registry_url = {gates.url!r}\n{block('python')}"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "LH 454 B 22 DELAY\n1 flight\n")


@pytest.fixture(scope="module")
def project(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's clients of all languages, of a product that has a newer contract since, and an event of that."""
    register(mesh, GATE_CHANGE)
    folder = tmp_path_factory.mktemp("clients")
    shell(block("sh"), folder, MESHPORT_REGISTRY=mesh.url)
    pier = {"name": "pier", "type": "string", "default": "main"}
    register(mesh, GATE_CHANGE | {"fields": [pier, *GATE_CHANGE["fields"]]})
    change = {"pier": "B", "flight": "BA 117", "at": datetime.now(UTC), "gate": "B 44", "reason": "AIRCRAFT"}
    with Publisher("operations/gate-changes", mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(change)
    return folder


LINES = {"LH 454 B 22 DELAY\n", "BA 117 B 44 AIRCRAFT\n"}


def first_lines(command: list[str | Path], folder: Path, mesh: Mesh) -> set[str]:
    """Run a program that does not end until it has written both lines, and return what it wrote."""
    with subprocess.Popen(
        command, cwd=folder, env=environment() | {"MESHPORT_REGISTRY": mesh.url}, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        killer = threading.Timer(PATIENCE_S, program.kill)
        killer.start()
        try:
            found: set[str] = set()
            while not found >= LINES and (line := program.stdout.readline()):
                found.add(line)
            return found
        finally:
            killer.cancel()
            program.kill()


@pytest.mark.kafka
def test_the_typescript_of_the_page(mesh: Mesh, project: Path) -> None:
    """Tsc compiles the program and the client, and it reads what it published and the event of the newer contract."""
    packages = npm_packages(project)
    (project / "displays.ts").write_text(block("ts"))
    run([*tsc(packages), "displays.ts"], project)
    assert first_lines(["node", "displays.js"], project, mesh) == LINES


@pytest.mark.kafka
def test_the_java_of_the_page(mesh: Mesh, project: Path) -> None:
    """Maven compiles the program and the client, and it reads what it published and the event of the newer contract."""
    folder = project / "clients" / "java"
    classes = maven_classes(folder, {"Displays.java": block("java")})
    assert first_lines(["java", "-cp", classes, "Displays"], folder, mesh) == LINES


@pytest.mark.kafka
def test_the_go_of_the_page(mesh: Mesh, project: Path) -> None:
    """Go compiles the program and the client, and it reads what it published and the event of the newer contract."""
    go = go_module(project)
    (project / "main.go").write_text(block("go"))
    run([go, "build", "-buildvcs=false", "-o", "displays", "."], project)
    assert first_lines([project / "displays"], project, mesh) == LINES
