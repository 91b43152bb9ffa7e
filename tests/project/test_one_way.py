"""One way into the mesh: `apply`, `up` and `demo` refuse the same projects, before anything is made or registered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from meshport.errors import NotRegistered, ProcessError
from meshport.kafka.admin import Admin
from meshport.local.cluster import open_cluster
from meshport.local.mesh import LocalMesh
from meshport.local.process_logins import ProcessLogins
from meshport.project.project import Project
from tests.cli.running import process
from tests.connections import connection
from tests.mesh_session import Mesh
from tests.waiting import PATIENCE_S

SOURCE = """
address: mesh://{domain}/things
id: {id}
archetype: source-aligned
description: things
owner: tests
outputPorts:
  - name: events
    key: id
    time: happened_at
source: source.py:things
"""
DERIVED = """
address: mesh://{domain}/counts
id: {id}
archetype: aggregate
description: counts
owner: tests
inputPorts:
  - address: mesh://{domain}/things
outputPorts:
  - name: events
    key: id
    cleanup: compact
process:
  steps:
    - aggregate:
        by: [id]
        values:
          heaviest: max({field})
"""
CONTRACTS = {
    "things": """{"name": "id", "type": "string"}, {"name": "size", "type": "long"},
        {"name": "happened_at", "type": {"type": "long", "logicalType": "timestamp-millis"}}""",
    "counts": '{"name": "id", "type": "string"}, {"name": "heaviest", "type": ["null", "long"], "default": null}',
}
THINGS = "def things(seed):\n    return []\n"


@pytest.fixture
def refused(tmp_path: Path) -> Project:
    """A project whose process reads the field `weight`, which its input does not have."""
    domain = f"d{uuid4().hex[:8]}"
    for kind, name, text in (("producers", "things", SOURCE), ("processors", "counts", DERIVED)):
        folder = tmp_path / kind / domain / name
        folder.mkdir(parents=True)
        (folder / "product.yaml").write_text(text.format(domain=domain, id=uuid4(), field="weight"), encoding="utf-8")
        schemas = tmp_path / "schemas" / domain
        schemas.mkdir(parents=True, exist_ok=True)
        contract = f'{{"type": "record", "name": "{name}", "fields": [{CONTRACTS[name]}]}}'
        (schemas / f"{name}.events.avsc").write_text(contract, encoding="utf-8")
    (tmp_path / "producers" / domain / "things" / "source.py").write_text(THINGS, encoding="utf-8")
    return Project(tmp_path)


@pytest.fixture
def local(in_memory_mesh: Mesh, tmp_path: Path) -> Iterator[LocalMesh]:
    """The local mesh that `up` and `demo` run on, over the session's registry."""
    servers = in_memory_mesh.bootstrap_servers
    with open_cluster(connection(servers), cache_dir=tmp_path) as cluster:
        logins = ProcessLogins(cluster, in_memory_mesh.registry)
        yield LocalMesh(cluster, in_memory_mesh.url, in_memory_mesh.registry, None, None, None, "tests", logins)  # type: ignore[arg-type]


def test_a_local_mesh_refuses_what_apply_refuses(local: LocalMesh, refused: Project) -> None:
    """`LocalMesh.apply` refuses a process that cannot run, with the error of `apply`, and registers nothing."""
    source = refused.products[0].product.address
    with pytest.raises(ProcessError, match=r"counts/product\.yaml:15: .*'weight'"):
        local.apply(refused, lambda _: None)
    with pytest.raises(NotRegistered):
        local.registry.resolve(source)
    assert Admin(local.cluster.config).topic(f"{source.domain}.things.events.v1") is None


@pytest.mark.parametrize("verb", [["apply"], ["up"], ["demo", "--for", "1s"]], ids=lambda verb: str(verb[0]))
def test_the_commands_refuse_alike(in_memory_mesh: Mesh, refused: Project, verb: list[str]) -> None:
    """`apply`, `up` and `demo` end with the same exit code and the same error."""
    environment = {"MESHPORT_KAFKA": in_memory_mesh.bootstrap_servers, "MESHPORT_REGISTRY": in_memory_mesh.url}
    with process(*verb, cwd=refused.root, **environment) as command:
        out, err = command.communicate(timeout=PATIENCE_S)
    file = refused.products[1].descriptor_file
    assert f"error: {file}:15: process.steps[0].aggregate: the record has no field 'weight'" in err.decode()
    assert (command.returncode, out) == (2, b"")
