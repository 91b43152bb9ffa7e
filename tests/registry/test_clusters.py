"""The Kafka clusters of a product's ports: a binding has the name that its port declares, and a topic in use stays there."""

from __future__ import annotations

from typing import Any

import pytest

from meshport.binding import Binding
from meshport.errors import RegistrationRefused
from meshport.registry import Registry
from tests.registry.schemas import plays, product, schema

EU, US = {"eu": "eu:9092"}, {"us": "us:9092"}
TOPIC = "player.plays.events.v1"
ID, OTHER_ID = "AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBB"


def bound(registry: Registry, cluster: str | None, **given: Any) -> Binding:
    """Register `player/plays` on a cluster, and return its binding."""
    registry.register(*plays(outputPorts=[{"key": "user"} | ({"cluster": cluster} if cluster else {})]), **given)
    return registry.resolve("player/plays")


def test_a_binding_has_the_cluster_of_its_port(registry: Registry) -> None:
    """Each port is bound to the cluster that it names, and to the registry's default cluster where it names none."""
    ports = [{"key": "user", "cluster": "eu"}, {"name": "other", "key": "user"}, {"name": "third", "cluster": "us"}]
    schemas = dict.fromkeys(("events@1", "other@1", "third@1"), schema("user"))
    done = registry.register(product(outputPorts=ports), schemas, clusters=EU | US)
    placed = [(each.cluster, each.bootstrap_servers) for each in done.product.bindings]
    assert placed == [("eu", "eu:9092"), (None, "kafka:9092"), ("us", "us:9092")]
    assert registry.refresh("player/plays").cluster == "eu"
    assert not registry.register(product(outputPorts=ports), schemas, clusters=EU | US).changed


def test_a_cluster_without_servers_is_refused(registry: Registry) -> None:
    """A port whose cluster nobody gives an address of is refused, unless it is bound there already."""
    with pytest.raises(RegistrationRefused, match="events@1 is on the cluster eu, whose bootstrap servers"):
        bound(registry, "eu")
    with pytest.raises(RegistrationRefused, match="events@1 is on the cluster eu, whose bootstrap servers"):
        bound(registry, "eu", bootstrap_servers="k:9092", clusters=US)
    assert bound(registry, "eu", clusters=EU).bootstrap_servers == "eu:9092"
    assert bound(registry, "eu").bootstrap_servers == "eu:9092"


def test_a_topic_in_use_does_not_move(registry: Registry) -> None:
    """Another cluster is refused with a way out, in a dry run as well, and the binding stays."""
    bound(registry, "eu", clusters=EU)
    for cluster, given, named in (("us", {"clusters": US}, "the cluster us"), (None, {}, "the default cluster")):
        for dry_run in (True, False):
            with pytest.raises(RegistrationRefused) as refused:
                bound(registry, cluster, dry_run=dry_run, **given)
            said = f"events@1 is on the cluster eu, and {named} is declared"
            assert said in refused.value.findings[0]
            assert "`meshport new player/plays/events@1 --major`" in refused.value.findings[0]
    assert registry.refresh("player/plays").cluster == "eu"


def test_an_unused_port_may_be_on_another_cluster(registry: Registry) -> None:
    """Where the topic holds nothing and no group reads it, the port is bound to the topic of the other cluster."""
    bound(registry, "eu", clusters=EU, topic_ids={TOPIC: ID})
    moved = bound(registry, "us", clusters=US, unused=[TOPIC], topic_ids={TOPIC: OTHER_ID})
    assert (moved.cluster, moved.bootstrap_servers, moved.topic_id) == ("us", "us:9092", OTHER_ID)


@pytest.mark.parametrize(
    ("clusters", "ids"),
    [({"eu": "kafka:9092"}, {}), ({"eu": "outside:29092"}, {TOPIC: ID})],
    ids=["same servers", "same topic"],
)
def test_a_cluster_may_get_a_name(registry: Registry, clusters: dict[str, str], ids: dict[str, str]) -> None:
    """A cluster that had no name is the same under its name, by its servers or by Kafka's id of the topic."""
    bound(registry, None, topic_ids={TOPIC: ID})
    named = bound(registry, "eu", clusters=clusters, topic_ids=ids)
    assert (named.cluster, named.topic_id) == ("eu", ID)


def test_another_topic_of_the_same_name_is_no_name_for_a_cluster(registry: Registry) -> None:
    """With other servers and another topic, the named cluster is another one."""
    bound(registry, None, topic_ids={TOPIC: ID})
    with pytest.raises(RegistrationRefused, match="events@1 is on the default cluster, and the cluster eu is declared"):
        bound(registry, "eu", clusters={"eu": "outside:29092"}, topic_ids={TOPIC: OTHER_ID})
