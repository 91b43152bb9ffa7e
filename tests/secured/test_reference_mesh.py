"""The reference mesh on a secured broker: each process under a principal of its own, and every product recounted equal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from meshport.access import caller_name, login
from meshport.address import Address
from meshport.errors import TopicError
from meshport.kafka.sources import CONFIG_VARIABLE
from meshport.local.cluster import Cluster
from meshport.local.lag import LagMonitor
from meshport.local.mesh import LocalMesh
from meshport.local.process_logins import SOURCES, ProcessLogins
from meshport.local.supervisor import Supervisor
from meshport.project.project import Project
from meshport.project.recount import recount
from meshport.project.sources import load_sources, merge, run_sources
from tests.connections import read_properties
from tests.mesh_session import Mesh, open_test_mesh
from tests.running import environment
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
WORLD = timedelta(hours=15)  # sessions close after twelve hours and a half of world time


@pytest.fixture
def local(secured: Cluster, tmp_path: Path) -> Iterator[LocalMesh]:
    """What `up --secure` runs, on the session's secured broker."""
    with (
        open_test_mesh(tmp_path, secured.bootstrap_servers) as mesh,
        Supervisor(tmp_path / "logs", lambda _: None, environment()) as processors,
    ):
        yield _local(secured, mesh, processors)


def _local(secured: Cluster, mesh: Mesh, processors: Supervisor) -> LocalMesh:
    logins = ProcessLogins(secured, mesh.registry)
    return LocalMesh(secured, mesh.url, mesh.registry, processors, processors, None, "tests", logins)


def test_the_reference_mesh_is_recounted_equal(local: LocalMesh, secured: Cluster, tmp_path: Path) -> None:
    """Every derived product equals its recount, no process is refused anything, and none has another's login."""
    project = Project(ROOT)
    local.apply(project, lambda _: None)
    assert secured.embedded is not None
    derived = [each.product for each in project.products if each.product.process]
    for each in derived:
        local.run(each.address, project)
    sources = load_sources(project, seed=0)
    logins = ProcessLogins(secured, local.registry)
    logins.admit_sources(project.product(each.address).product for each in sources)
    first = max(next(iter(merge([each])))[1].recorded for each in sources)
    with closing(LagMonitor(project.products, local.registry, kafka=secured.config)) as watch:
        wait_for(lambda: _answers(watch), lambda: _logs(tmp_path))  # each processor makes its topics when it starts
        published = run_sources(
            sources,
            local.registry,
            until=first + WORLD,
            kafka=read_properties(secured.principals[SOURCES]),
        )
        assert published.total
        for each in derived:  # each after those that it reads
            wait_for(partial(_done, watch, each.address), lambda: _logs(tmp_path))
        for each in derived:
            assert _login_of(local.processors.pids[each.address.key]) == login(caller_name(each.address))
        report = recount(project, local.registry, kafka=secured.config)
    assert len(report.verdicts) == len(derived)
    assert report.agrees, report
    assert all(each.expected for each in report.verdicts)
    node = secured.embedded.data_dir / "node-1" / "server.log"
    own = {SOURCES, *(login(caller_name(each.product.address)) for each in project.products)}
    lines = node.read_text(encoding="utf-8", errors="replace").splitlines()
    assert not [line for line in lines if "is Denied" in line and any(f"User:{name} " in line for name in own)]


def _answers(watch: LagMonitor) -> bool:
    try:
        watch.lags()
    except TopicError:
        return False
    return True


def _done(watch: LagMonitor, product: Address) -> bool:
    """Whether a product's processor has processed every event of its inputs."""
    return not any(each.waiting for each in watch.lags() if each.address == product)


def _login_of(pid: int) -> str:
    """The login of a process, by the file that its environment names; the file has it as its name."""
    # The guardian's child runs the command: both have the variable.
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    named = next(each for each in variables if each.startswith(CONFIG_VARIABLE.encode()))
    return Path(named.decode().partition("=")[2]).stem


def _logs(folder: Path) -> str:
    return "\n".join(each.read_text()[-2000:] for each in (folder / "logs").iterdir())
