"""The products of the mesh itself on a secured broker: an administrator registers them once, and their own logins publish."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from meshport.access import ClusterAcls, login
from meshport.cli import registry_changes as command
from meshport.local.cluster import Cluster
from meshport.local.secured import OPERATOR
from meshport.outbox.databases import look_at
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.cli.conftest import cli as cli  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.running import Ended, Run
from tests.registry.schemas import plays
from tests.waiting import PATIENCE_S, wait_for

CHANGES, LEVELS = login("mesh/changes"), login("mesh/service-levels")


@pytest.fixture
def properties(secured: Cluster) -> Callable[[str], str]:
    """Returns the file by which a product's own login connects; the broker knows it from then on."""

    def of(name: str) -> str:
        assert secured.embedded is not None
        secured.embedded.let_in(name)
        return str(secured.principals[name])

    return of


def writing(topic: str) -> set[str]:
    """Return what a login that publishes to a topic is allowed."""
    return {f"write topic {topic}", f"describe-configs topic {topic}", "describe group meshport-without-group"}


def granted(secured: Cluster, name: str) -> set[str]:
    """Return what the ACLs of a login allow: operation, kind and name."""
    found = {each for each in ClusterAcls(secured.config).all() or () if each.principal == f"User:{name}"}
    return {f"{each.operation} {each.resource} {each.name}" for each in found}


def test_the_relay_of_changes_works_with_the_login_of_its_product(
    cli: Run, secured: Cluster, properties: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator's first run makes topic and ACLs; then `mesh.changes` publishes, and may do nothing else."""
    database = f"sqlite:///{tmp_path / 'registry.db'}"
    with running(Settings(database=database, port=0)) as url, Registry(url) as registry:

        def relayed(config: str, published: int) -> Ended:
            stopped = threading.Event()
            monkeypatch.setattr(command, "stop_on_signal", lambda: stopped)

            def stop() -> None:
                wait_for(lambda: look_at(database, 0).state.published >= published, "the events")
                stopped.set()

            waiting = threading.Thread(target=stop)
            waiting.start()
            ended = cli("registry", "relay", "--database", database, "--registry", url, "--kafka-config", config)
            stopped.set()
            waiting.join(PATIENCE_S)
            return ended

        first = relayed(str(secured.principals[OPERATOR]), 1)
        assert first.code == 0, first.err
        assert "mesh/changes: registered; changes are recorded from now on" in first.err
        assert f"let User:{CHANGES}" in first.err
        assert granted(secured, CHANGES) == writing("mesh.changes.events.v1")
        registry.register(*plays(), bootstrap_servers=secured.bootstrap_servers)
        own = relayed(properties(CHANGES), 2)
        assert (own.code, own.out) == (0, ""), own.err
        assert "let User" not in own.err
        read = cli(
            "tail", "mesh/changes", "--from-beginning", "--until-end", "--json", "--registry", url,
            "--kafka-config", str(secured.principals[OPERATOR]),
        )  # fmt: skip
    assert {"mesh://mesh/changes", "mesh://player/plays"} <= {each["data"]["about"] for each in read.lines}, read.err


def test_an_observer_makes_the_acls_of_its_results(cli: Run, secured: Cluster, tmp_path: Path) -> None:
    """An administrator's look registers mesh/service-levels with the ACLs of its own login."""
    with running(Settings(database=f"sqlite:///{tmp_path / 'registry.db'}", port=0)) as url:
        looked = cli("observe", "--once", "--registry", url, "--kafka-config", str(secured.principals[OPERATOR]))
    assert looked.code == 0, looked.err
    assert "registered mesh://mesh/service-levels" in looked.err
    assert granted(secured, LEVELS) == writing("mesh.service-levels.results.v1")
