"""Two Kafka clusters in one mesh: each door leads to the cluster that a port names, by the connection of its caller.

The second one asks for a login. The registry has addresses that only the inside of each cluster's network knows, so that a
door which takes a binding's servers finds no broker.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from meshport.compat import Version
from meshport.errors import NotRegistered, ProcessError, RegistrationRefused, UnknownCluster
from meshport.gate.proof import prove
from meshport.kafka.clusters import KafkaClusters
from meshport.local.cluster import Cluster
from meshport.local.lag import LagMonitor
from meshport.ports.replay import Replay
from meshport.ports.subscriber import Subscriber
from meshport.process.runtime.quarantine import read_quarantine
from meshport.process.runtime.redrive import pending, redrive
from meshport.project.apply import plan
from meshport.project.project import Project
from meshport.project.sources import stored
from meshport.project.topic_use import topic_use
from meshport.rebuild import PortCopy, Rebuild
from meshport.rebuild.live import LivePlan
from meshport.schema import parse_schema
from tests.mesh_session import Mesh
from tests.project.two_clusters import SALE, SHARE, SOLD, Shop


@pytest.fixture(scope="module")
def shop(mesh: Mesh, secured: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop on two clusters, with sales in both, whose processor has run."""
    made = Shop(tmp_path_factory.mktemp("shop"), mesh.registry, KafkaClusters(mesh.kafka, {"eu": secured.config}))
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
    folder = shop.root / "processors" / shop.domain / "elsewhere"
    refused = r"elsewhere/events@1 is on the default cluster .*, and reads .* from the cluster eu"
    try:
        shop.declare("elsewhere", SHARE, reads="sales")
        with pytest.raises(ProcessError, match=refused):
            plan(shop.products, shop.registry, shop.admins)
        with pytest.raises(NotRegistered):
            shop.registry.resolve(shop.address("elsewhere"))
        product = Project(shop.root).product(shop.address("elsewhere"))
        schemas = {f"{port}@{major}": schema for (port, major), schema in product.schemas.items()}
        shop.registry.register(product.product, schemas, bootstrap_servers="kafka.inside.invalid:9092")
        with pytest.raises(ProcessError, match=refused):
            LivePlan(lambda: product, shop.registry, kafka=shop.kafka)()
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("cluster", "error", "words"),
    [
        ("us", UnknownCluster, r"product.yaml:\d+: no connection is known to the Kafka cluster us, only to eu"),
        (None, RegistrationRefused, "events@1 is on the cluster eu, and the default cluster is declared"),
    ],
    ids=["unknown", "default"],
)
def test_a_topic_in_use_does_not_move(shop: Shop, cluster: str | None, error: type[Exception], words: str) -> None:
    """A port cannot name a cluster to which no connection is known, nor leave the one that has its events."""
    file = shop.root / "producers" / shop.domain / "sales" / "product.yaml"
    before = file.read_text(encoding="utf-8")
    try:
        shop.declare("sales", SALE, **({"cluster": cluster} if cluster else {}))
        sales = [each for each in shop.products if each.product.address == shop.address("sales")]
        with pytest.raises(error, match=words):
            plan(sales, shop.registry, shop.admins)
    finally:
        file.write_text(before, encoding="utf-8")


def test_a_port_without_events_moves(mesh: Mesh, shop: Shop, secured: Cluster, tmp_path: Path) -> None:
    """A port whose topic is unused may name another cluster: its topic is created there, and bound."""
    empty = Shop(tmp_path, mesh.registry, shop.kafka)
    empty.apply()
    empty.declare("till", SALE, cluster="eu")
    topic = f"{empty.domain}.till.events.v1"
    (made,) = empty.apply()
    assert made.startswith(f"make topic {topic} on the cluster eu (2 partitions")
    binding = mesh.registry.refresh(empty.address("till"))
    assert (binding.cluster, binding.bootstrap_servers) == ("eu", secured.bootstrap_servers)
    assert binding.topic_id == empty.admins.of("eu").topic_ids([topic])[topic]
