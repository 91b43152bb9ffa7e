"""Readers that were seen, on a real Kafka: a subscriber, the observer's report, and what the commands say of them."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest

from meshport.binding import Binding
from meshport.kafka.consumer import Consumer
from meshport.ports.subscriber import Subscriber
from meshport.schema import parse_schema
from meshport_registry.seen_readers import asking
from tests.cli.running import Run
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.readings import take
from tests.waiting import wait_for

pytestmark = pytest.mark.kafka

CELSIUS = parse_schema(
    '{"type": "record", "name": "Reading", "namespace": "tests", "fields": [{"name": "celsius", "type": "double"}]}'
)


@pytest.fixture(autouse=True)
def quick_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have registries write at once who asked."""
    monkeypatch.setattr(asking, "EVERY_S", 0.1)


def observe(on_mesh: Run, mesh: Mesh) -> None:
    """Look at the mesh once."""
    ended = on_mesh("observe", "--once", "--kafka", mesh.bootstrap_servers)
    assert ended.code == 0, ended.err


def shown(on_mesh: Run, port: Binding) -> dict[str, dict[str, Any]]:
    """Return what `readers --json` shows, by the name of the reader."""
    return {each["name"]: each for each in on_mesh("readers", port.address.key, "--json").lines}


def test_a_group_that_no_product_declares_is_seen_to_read(on_mesh: Run, mesh: Mesh, port: Binding) -> None:
    """Between two looks its offsets move: `readers` says when it read, and `retire --plan` counts it without a member too."""
    group = f"billing-{uuid4().hex[:8]}"
    with Consumer(mesh.kafka, group=group) as consumer:
        consumer.commit(port.topic, {0: 4})
    observe(on_mesh, mesh)
    first = shown(on_mesh, port)[group]
    assert (first["declared"], first["state"], first["read_at"]) == (False, "unobserved", None)
    assert on_mesh("retire", port.address.of_product.key, "--plan").code == 0
    with Consumer(mesh.kafka, group=group) as consumer:
        consumer.commit(port.topic, {0: 7})
    observe(on_mesh, mesh)
    seen = shown(on_mesh, port)[group]
    assert (seen["kind"], seen["state"], seen["line"], seen["address"]) == ("group", "seen", str(port.address), None)
    assert seen["last_seen"] == seen["read_at"] != first["last_seen"]
    line = rf"group {group}  reads it  \(not declared; read \d{{4}}-\d\d-\d\d\)"
    assert re.search(line, on_mesh("readers", port.address.key).out)
    ended = on_mesh("retire", port.address.of_product.key, "--plan")
    assert ended.code == 1
    assert f"seen in the last 30 days: group {group}" in ended.err
    (plan,) = on_mesh("retire", port.address.of_product.key, "--plan", "--json").lines
    assert (plan["safe"], [each["name"] for each in plan["undeclared"]]) == (False, [group])


def test_a_subscriber_is_known_by_its_group_and_schema(on_mesh: Run, mesh: Mesh, port: Binding) -> None:
    """The registry learns of a subscriber as it opens, and the observer sees its members."""
    group = f"reports-{uuid4().hex[:8]}"
    with Subscriber(port.address, mesh.registry, group=group, reader=CELSIUS, kafka=CONNECTIONS) as reading:
        take(reading, 10)
        wait_for(lambda: group in shown(on_mesh, port), "the subscriber's name at the registry")
        seen = shown(on_mesh, port)[group]
        assert (seen["fields"], seen["state"], seen["members_at"]) == (["celsius"], "seen", None)
        assert seen["subscribed_at"] is not None
        observe(on_mesh, mesh)
        assert shown(on_mesh, port)[group]["members_at"] is not None
    assert f"group {group}  reads celsius  (not declared; " in on_mesh("readers", port.address.key).out
