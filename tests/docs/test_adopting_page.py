"""docs/adopting-a-topic.md, executed: its commands on a topic that Confluent's serializer has filled, and what they write."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshport.kafka.admin import Admin
from meshport.local.cluster import Cluster
from tests.docs.shell import shell
from tests.mesh_session import open_test_mesh
from tests.ports.adopted import write

TEXT = (Path(__file__).parents[2] / "docs" / "adopting-a-topic.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
ORDER: dict[str, Any] = {
    "type": "record",
    "name": "shop.Order",
    "fields": [
        {"name": "customer", "type": "string"},
        {"name": "cents", "type": "long"},
        {"name": "placed_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}


@pytest.mark.kafka
def test_the_commands_adopt_a_topic(kafka: Cluster, tmp_path: Path) -> None:
    """Each command of the page does what the page says, and product.yaml has the entry that it shows."""
    project = tmp_path / "project"
    project.mkdir()
    placed = datetime(2026, 3, 1, tzinfo=UTC)
    (shown,) = (yaml.safe_load(text)["outputPorts"] for kind, text in BLOCKS if kind == "yaml")
    with open_test_mesh(tmp_path, kafka.bootstrap_servers) as mesh:
        admin = Admin(mesh.kafka)
        admin.ensure_topic(
            "orders", 4, {"retention.ms": str(7 * 86_400_000), "message.timestamp.after.max.ms": str(2**62)}
        )
        orders = [{"customer": f"c{number % 7}", "cents": number, "placed_at": placed} for number in range(50)]
        write(mesh, "orders", orders, form=ORDER, key="customer")
        before = admin.topic("orders")
        place = {"MESHPORT_REGISTRY": mesh.url, "MESHPORT_KAFKA": mesh.bootstrap_servers}
        shell("meshport init", project, **place)
        try:
            for kind, text in BLOCKS:
                if kind == "sh":
                    shell(text, project, **place)
            assert admin.topic("orders") == before
        finally:
            admin.delete_topic("orders")
    document = yaml.safe_load((project / "producers/shop/orders/product.yaml").read_text(encoding="utf-8"))
    assert document["outputPorts"] == shown
