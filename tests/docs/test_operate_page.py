"""docs/operate.md, executed: its commands on a mesh with a late reader, its program within a trace."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from meshport.event import trace
from meshport.kafka.consumer import Consumer
from meshport.observe.rules import mesh_rules
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import Subscriber
from meshport.product import Product
from tests.cli.conftest import cli as cli  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.conftest import on_mesh as on_mesh  # noqa: PLC0414 - as above
from tests.cli.running import Ended, Run
from tests.cli.shop import order, write_shop
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.outbox.shop import Shop
from tests.tracing import Spans, tree

TEXT = (Path(__file__).parents[2] / "docs" / "operate.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def mesh(mesh_alone: Mesh) -> Mesh:
    """A mesh that this page's commands can look at as a whole."""
    return mesh_alone


@pytest.mark.kafka
def test_the_commands(on_mesh: Run, mesh: Mesh, tmp_path: Path) -> None:
    """Each command of the page runs, and shows what the page says of it."""
    domain, group = f"d{uuid4().hex[:8]}", f"billing-{uuid4().hex[:8]}"
    write_shop(tmp_path, order({"name": "customer", "type": "string"}))
    for file in (tmp_path / "producers/shop/orders/product.yaml",):
        file.write_text(file.read_text().replace("shop/orders", f"{domain}/orders").replace("5a1e0c3e", domain[1:]))
    for folder in (tmp_path / "producers", tmp_path / "schemas"):
        (folder / "shop").rename(folder / domain)
    assert on_mesh("apply", "--kafka", mesh.bootstrap_servers).code == 0
    (tmp_path / "orders.jsonl").write_text('{"customer": "a"}\n' * 3)
    assert on_mesh("publish", f"{domain}/orders", "--from", "orders.jsonl").code == 0
    topic = mesh.registry.resolve(f"{domain}/orders").topic
    with Consumer(mesh.kafka, group=group) as consumer:
        consumer.commit(topic, dict.fromkeys(consumer.partitions(topic), 0))

    Shop.create(f"sqlite:///{tmp_path / 'shop.db'}")
    shown: dict[str, Ended] = {}
    for command in COMMANDS:
        words = shlex.split(command.replace("shop/orders", f"{domain}/orders").replace("billing", group))
        variables = dict(words.pop(0).split("=", 1) for _ in words if "=" in words[0])
        assert words.pop(0) == "meshport"
        shown[command] = ended = on_mesh(*words, MESHPORT_KAFKA=mesh.bootstrap_servers, **variables)
        assert ended.code == 0, ended.out + ended.err
    for command in ("meshport lag shop/orders", "meshport lag --group billing"):
        events = [int(line.split()[5]) for line in shown[command].out.splitlines() if group in line]
        assert sum(events) == 3
    assert group in shown["meshport lag"].out
    assert "project: " in shown["meshport doctor"].out
    assert (tmp_path / "deploy/prometheus/meshport.rules.yml").is_file()
    lines = [json.loads(line) for line in shown["MESHPORT_LOG_FORMAT=json meshport check"].err.splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(each) for each in lines)


def test_the_program(in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bill is in the trace of the order's request."""
    spans = Spans()
    monkeypatch.setattr(trace, "_tracer", lambda: spans.tracer)
    fields = [{"name": "id", "type": "string"}, {"name": "cents", "type": "int"}]
    port = in_memory_mesh.product({"type": "record", "name": "Order", "fields": fields}, key="id")
    billed: list[Any] = []
    with (
        Publisher(port.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher,
        Subscriber(port.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber,
    ):

        def bill(order: Any) -> None:
            billed.append(order)
            subscriber.stop()

        exec(PROGRAM, {"tracer": spans.tracer, "publisher": publisher, "subscriber": subscriber, "bill": bill})
    assert billed == [{"id": "o1", "cents": 500}]
    assert tree(spans.finished) == ["POST /orders", f"  publish {port.address}", "    bill the customer"]
    spans.close()


def test_the_promises() -> None:
    """Each promise of the page's table becomes an alert, and a promise that it does not have is named."""
    (table,) = re.findall(r"^\| promise \| alert \|\n\|---\|---\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    promises = [
        (name, "percent" if "percent" in row else "events/s" if "events/s" in row else "h")
        for row in table.splitlines()
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    ]
    assert len(promises) == 9
    for name, unit in [*promises, ("retention", "y")]:
        product = Product.model_validate(
            {
                "address": "mesh://shop/revenue",
                "id": str(uuid4()),
                "archetype": "aggregate",
                "description": "d",
                "owner": "o",
                "inputPorts": [{"address": "mesh://shop/orders"}],
                "outputPorts": [{"name": "events", "key": "id"}],
                "process": {"input": "mesh://shop/orders", "steps": [{"filter": "cents > 0"}]},
                "slaProperties": [{"property": name, "value": 1, "unit": unit}],
            }
        )
        rules = mesh_rules([product])
        alerts = [each for each in rules.alerts["meshport shop/revenue"] if each.promise is not None]
        assert (len(alerts), len(rules.unmeasured)) == ((0, 1) if name == "retention" else (1, 0)), name
