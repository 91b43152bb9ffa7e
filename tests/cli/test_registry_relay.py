"""`meshport registry relay`: the changes of a registry, published from its database."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from meshport.cli import registry_changes as command
from meshport.errors import NotRegistered
from meshport.local.cluster import Cluster
from meshport.outbox.databases import look_at
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.cli.running import Run
from tests.registry.schemas import plays
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka


def test_changes_are_published_until_it_is_stopped(
    cli: Run, kafka: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It registers the product, makes its topic, and publishes each change with its facts; a second run finds all in place."""
    database, stopped = f"sqlite:///{tmp_path / 'registry.db'}", threading.Event()
    monkeypatch.setattr(command, "stop_on_signal", lambda: stopped)

    with running(Settings(database=database, port=0)) as url, Registry(url) as registry:

        def change() -> None:
            wait_for(lambda: _is_registered(registry), "the product of the changes")
            registry.register(*plays(), bootstrap_servers=kafka.bootstrap_servers)
            wait_for(lambda: look_at(database, 0).state.published == 2, "the events")
            stopped.set()

        work = threading.Thread(target=change)
        work.start()
        named = ["--database", database, "--registry", url, "--kafka", kafka.bootstrap_servers]
        first = cli("registry", "relay", *named)
        stopped.set()
        work.join(PATIENCE_S)
        second = cli("registry", "relay", *named)
        read = cli("tail", "mesh/changes", "--from-beginning", "--until-end", "--json", "--registry", url)
    assert (first.code, first.out, second.code) == (0, "", 0), first.err
    assert "mesh/changes: registered; changes are recorded from now on" in first.err
    assert "registered" not in second.err
    events = [each["data"] for each in read.lines]
    shown = {(each["number"], each["kind"], each["about"]) for each in events}  # others may share the broker
    assert {(1, "REGISTERED", "mesh://mesh/changes"), (2, "REGISTERED", "mesh://player/plays")} <= shown


def _is_registered(registry: Registry) -> bool:
    try:
        registry.product("mesh/changes")
    except NotRegistered:
        return False
    return True
