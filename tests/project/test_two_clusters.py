"""Two Kafka clusters in one mesh: each door leads to the cluster that a port names, by the connection of its caller.

The registry has addresses that only the inside of each cluster's network knows, so that a door which takes a binding's servers
finds no broker.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from meshport.address import Address
from meshport.compat import Version
from meshport.errors import ProcessError, RegistrationRefused, UnknownCluster
from meshport.gate.proof import prove
from meshport.kafka.admins import ClusterAdmins
from meshport.kafka.clusters import KafkaClusters
from meshport.local.cluster import Cluster, open_cluster
from meshport.local.lag import LagMonitor
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Replay
from meshport.ports.subscriber import Subscriber
from meshport.process.engines import batch
from meshport.process.runtime.quarantine import read_quarantine
from meshport.process.runtime.redrive import pending, redrive
from meshport.project.apply import carry_out, plan
from meshport.project.project import FOLDERS, Project
from meshport.project.sources import stored
from meshport.project.topic_use import topic_use
from meshport.rebuild import PortCopy, Rebuild
from meshport.rebuild.live import LivePlan
from meshport.registry import Registry
from meshport.schema import parse_schema
from tests.mesh_session import Mesh

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSTANT: dict[str, Any] = {"type": "long", "logicalType": "timestamp-millis"}
SALE = {"id": "string", "cents": "long", "at": INSTANT}
SHARE = {"id": "string", "share": "double", "at": INSTANT}
STEPS = [{"derive": {"share": "100 / cents"}}, {"select": ["id", "share", "at"]}]
SOLD = 20


class Shop:
    """A project whose till is on the default cluster, and whose sales and shares are on the cluster `eu`.

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
        document = {
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
            inside = {"bootstrap_servers": "kafka.inside.invalid:9092", "clusters": {"eu": "eu.inside.invalid:9092"}}
            self.registry.register(each.product, schemas, **inside)

    @property
    def products(self) -> tuple[Any, ...]:
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


@pytest.fixture(scope="module")
def eu(kafka_cache: Path) -> Iterator[Cluster]:
    """A second cluster, of one broker."""
    with open_cluster(None, cache_dir=kafka_cache, java_home=os.environ.get("JAVA_HOME")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def shop(mesh: Mesh, eu: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop on two clusters, with sales in both, whose processor has run."""
    made = Shop(tmp_path_factory.mktemp("shop"), mesh.registry, KafkaClusters(mesh.kafka, {"eu": eu.config}))
    assert [each.startswith("make topic") for each in made.apply()] == [True] * 3
    made.hide()
    made.sell("till")
    made.sell("sales")
    assert made.process() == SOLD - 1
    return made


def test_each_topic_is_on_the_cluster_of_its_port(shop: Shop) -> None:
    """The topics of ports, and those that a processor makes, are on the cluster that the port names, and on no other."""
    found = {
        cluster: {
            each.removeprefix(f"{shop.domain}.") for each in shop.admins.of(cluster).partitions() if shop.domain in each
        }
        for cluster in (None, "eu")
    }
    assert found[None] == {"till.events.v1"}
    assert {"sales.events.v1", "shares.events.v1", "shares.events.v1.quarantine"} <= found["eu"]
    assert "till.events.v1" not in found["eu"]
    assert shop.registry.resolve(shop.address("sales")).cluster == "eu"


@pytest.mark.parametrize(("name", "events"), [("till", SOLD), ("sales", SOLD), ("shares", SOLD - 1)])
def test_events_are_read_where_their_port_is(shop: Shop, name: str, events: int) -> None:
    """A subscriber with a group, a replay and a count of what is stored read the cluster of the port."""
    address = shop.address(name)
    with Replay(address, shop.registry, kafka=shop.kafka) as replay:
        assert len(list(replay.history())) == events
    with Subscriber(address, shop.registry, group=f"g{uuid4().hex[:8]}", kafka=shop.kafka) as subscriber:
        assert len({event.id for _, event in zip(range(events), subscriber, strict=False)}) == events
    assert stored([address], shop.registry, kafka=shop.kafka)[address] >= events


def test_quarantined_events_are_redriven_where_they_are(shop: Shop) -> None:
    """Quarantined events are read, and redriven, on the cluster of the processor."""
    binding = shop.registry.resolve(shop.address("shares"))
    assert [event.id for event in read_quarantine(binding, shop.kafka)] == ["s0"]
    assert len(pending(binding, kafka=shop.kafka)) == len(redrive(binding, kafka=shop.kafka)) == 1


def test_the_lag_of_products_on_two_clusters(shop: Shop) -> None:
    """One monitor counts the events of products on both clusters."""
    with closing(LagMonitor(shop.products, shop.registry, kafka=shop.kafka)) as watch:
        counts = {each.address.product: (each.stored, each.waiting) for each in watch.lags()}
    assert counts == {"till": (SOLD, 0), "sales": (SOLD, 0), "shares": (SOLD - 1, 0)}


def test_stored_events_prove_a_contract_where_they_are(shop: Shop) -> None:
    """The gate reads the stored events of a port with a candidate schema on the cluster of the port."""
    for name in ("till", "sales"):
        binding = shop.registry.resolve(shop.address(name))
        schema = parse_schema(binding.schema_text)
        evidence = prove(binding, schema, shop.registry, versions=[Version(1, schema)], kafka=shop.kafka)
        assert (evidence.events, evidence.failed) == (SOLD, {})


def test_a_generation_is_built_where_the_live_one_is(shop: Shop) -> None:
    """A rebuild and a copy create their topics beside the live one."""
    product = Project(shop.root).product(shop.address("shares"))
    assert Rebuild(product, shop.registry, kafka=shop.kafka).run().comparison.equal
    copied = PortCopy(shop.address("sales"), shop.registry, 3, kafka=shop.kafka).run(switch=False)
    assert (copied.copied, topic_use(copied.topic, shop.admins.of("eu")).records) == (SOLD, SOLD)


def test_a_processor_across_clusters_is_refused_before_anything_is_made(shop: Shop) -> None:
    """A processor whose input is on another cluster is refused by the plan, and again where it would start."""
    file = shop.root / "processors" / shop.domain / "shares" / "product.yaml"
    before = file.read_text(encoding="utf-8")
    try:
        shop.declare("shares", SHARE, reads="sales")
        with pytest.raises(ProcessError, match=r"is on the default cluster .*, and reads .* from the cluster eu"):
            plan(shop.products, shop.registry, shop.admins)
    finally:
        file.write_text(before, encoding="utf-8")


@pytest.mark.parametrize(("cluster", "error"), [("us", UnknownCluster), (None, RegistrationRefused)])
def test_a_topic_in_use_does_not_move(shop: Shop, cluster: str | None, error: type[Exception]) -> None:
    """A port cannot name a cluster to which no connection is known, nor leave the one that has its events."""
    file = shop.root / "producers" / shop.domain / "sales" / "product.yaml"
    before = file.read_text(encoding="utf-8")
    try:
        shop.declare("sales", SALE, **({"cluster": cluster} if cluster else {}))
        sales = [each for each in shop.products if each.product.address == shop.address("sales")]
        with pytest.raises(error, match=r"the (Kafka )?cluster"):
            plan(sales, shop.registry, shop.admins)
    finally:
        file.write_text(before, encoding="utf-8")


def test_a_port_without_events_moves(mesh: Mesh, shop: Shop, eu: Cluster, tmp_path: Path) -> None:
    """A port whose topic is unused may name another cluster: its topic is created there, and bound."""
    empty = Shop(tmp_path, mesh.registry, shop.kafka)
    empty.apply()
    empty.declare("till", SALE, cluster="eu")
    topic = f"{empty.domain}.till.events.v1"
    (made,) = empty.apply()
    assert made.startswith(f"make topic {topic} on the cluster eu (2 partitions")
    binding = mesh.registry.refresh(empty.address("till"))
    assert (binding.cluster, binding.bootstrap_servers) == ("eu", eu.bootstrap_servers)
    assert binding.topic_id == empty.admins.of("eu").topic_ids([topic])[topic]
