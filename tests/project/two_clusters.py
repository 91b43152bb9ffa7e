"""A shop on two Kafka clusters: its till is on the default cluster, its sales and their shares are on the cluster `eu`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from meshport.address import Address
from meshport.kafka.admins import ClusterAdmins
from meshport.kafka.clusters import KafkaClusters
from meshport.ports.publisher import Publisher
from meshport.process.engines import batch
from meshport.project.apply import carry_out, plan
from meshport.project.project import FOLDERS, Project, ProjectProduct
from meshport.rebuild.live import LivePlan
from meshport.registry import Registry

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSTANT: dict[str, Any] = {"type": "long", "logicalType": "timestamp-millis"}
SALE = {"id": "string", "cents": "long", "at": INSTANT}
SHARE = {"id": "string", "share": "double", "at": INSTANT}
STEPS = [{"derive": {"share": "100 / cents"}}, {"select": ["id", "share", "at"]}]
SOLD = 20


class Shop:
    """A project on two clusters.

    Attributes:
        domain: of its products; no other test has it.
        registry: a client of the registry.
        kafka: the connections to both clusters.
        admins: of both clusters.
    """

    def __init__(self, root: Path, registry: Registry, kafka: KafkaClusters) -> None:
        self.root, self.registry, self.kafka = root, registry, kafka
        self.domain = f"d{uuid4().hex[:8]}"
        self.admins = ClusterAdmins(kafka)
        for name in FOLDERS:
            (root / name).mkdir()
        self.declare("till", SALE)
        self.declare("sales", SALE, cluster="eu")
        self.declare("shares", SHARE, reads="sales", cluster="eu")

    def declare(self, name: str, fields: dict[str, Any], *, reads: str = "", **port: Any) -> None:
        """Declare a product, or declare it anew."""
        document: dict[str, Any] = {
            "address": f"{self.domain}/{name}",
            "id": str(uuid4()),
            "archetype": "aggregate" if reads else "source-aligned",
            "description": "made by a test",
            "owner": "tests",
            "outputPorts": [{"name": "events", "key": "id", "time": "at", "partitions": 2} | port],
        }
        if reads:
            document |= {"inputPorts": [{"address": f"{self.domain}/{reads}"}], "process": {"steps": STEPS}}
        file = self.root / ("processors" if reads else "producers") / self.domain / name / "product.yaml"
        if file.exists():
            document["id"] = yaml.safe_load(file.read_text(encoding="utf-8"))["id"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        contract = self.root / "schemas" / self.domain / f"{name}.events.avsc"
        contract.parent.mkdir(exist_ok=True)
        schema = {"type": "record", "name": name, "fields": [{"name": k, "type": v} for k, v in fields.items()]}
        contract.write_text(json.dumps(schema), encoding="utf-8")

    def apply(self) -> list[str]:
        """Apply the project; return the lines of its plan."""
        planned = plan(self.products, self.registry, self.admins)
        for each in planned:
            carry_out(each, self.registry, self.admins)
        return [str(change) for each in planned for change in each.topics]

    def hide(self) -> None:
        """Register the addresses that only the inside of each cluster's network knows."""
        for each in self.products:
            schemas = {f"{port}@{major}": schema for (port, major), schema in each.schemas.items()}
            self.registry.register(
                each.product,
                schemas,
                bootstrap_servers="kafka.inside.invalid:9092",
                clusters={"eu": "eu.inside.invalid:9092"},
            )

    @property
    def products(self) -> tuple[ProjectProduct, ...]:
        """The products, as they are declared now."""
        return Project(self.root).products

    def address(self, name: str) -> Address:
        """The address of a product."""
        return Address(self.domain, name)

    def sell(self, name: str) -> None:
        """Publish sales, one of which no share can be derived of."""
        with Publisher(self.address(name), self.registry, kafka=self.kafka) as publisher:
            for number in range(SOLD):
                sale = {"id": f"s{number}", "cents": number, "at": AT + timedelta(seconds=number)}
                publisher.publish(sale, id=f"s{number}")

    def process(self) -> int:
        """Run the processor to the end of its input; return how many events it wrote."""
        product = Project(self.root).product(self.address("shares"))
        made = LivePlan(lambda: product, self.registry, kafka=self.kafka)()
        return batch.run_processor(made, self.registry, until_end=True).written
