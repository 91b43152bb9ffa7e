"""`meshport lag`: the lag of any consumer group, for people and for programs."""

from __future__ import annotations

from uuid import uuid4

import pytest

from meshport.binding import Binding
from meshport.kafka.consumer import Consumer
from meshport.local.secured import SecuredListeners
from meshport.ports.subscriber import Subscriber
from meshport.product import Product, Status
from meshport.schema import parse_schema
from tests.cli.running import Run
from tests.connections import CONNECTIONS
from tests.kafka_session import LISTENERS
from tests.mesh_session import Mesh
from tests.ports.readings import take

pytestmark = pytest.mark.kafka


@pytest.fixture
def group(mesh: Mesh, port: Binding) -> str:
    """A group that has read four of them."""
    name = f"billing-{uuid4().hex[:8]}"
    with Consumer(mesh.kafka, group=name) as consumer:
        consumer.commit(port.topic, {0: 4})
    return name


def test_the_command(on_mesh: Run, port: Binding, group: str) -> None:
    """`lag ADDRESS`, `lag --group` and `lag` show the same group: a row for people, an object a partition for programs."""
    for arguments in (["lag", port.address.key], ["lag", "--group", group]):
        (shown,) = on_mesh(*arguments, "--json").lines
        assert {name: shown[name] for name in ("group", "topic", "partition", "committed", "end", "events")} == {
            "group": group,
            "topic": port.topic,
            "partition": 0,
            "committed": 4,
            "end": 10,
            "events": 6,
        }
        assert shown["address"] == str(port.address)
        ended = on_mesh(*arguments)
        assert ended.code == 0
        row = next(each for each in ended.out.splitlines() if group in each)
        assert row.split()[:6] == [group, port.topic, "0", "4", "10", "6"]
        assert row.endswith("no member")
    row = next(each for each in on_mesh("lag").out.splitlines() if group in each)
    assert row.split()[:4] == [group, port.topic, "1", "6"]


def test_nothing_reads(on_mesh: Run, port: Binding) -> None:
    """A port without readers is no failure; a group that there is not, is."""
    ended = on_mesh("lag", port.address.key)
    assert (ended.code, ended.out) == (0, "")
    assert "no consumer group reads it" in ended.err
    ended = on_mesh("lag", "--group", "nobody", "--json")
    assert (ended.code, ended.out) == (1, "")
    assert "no consumer group nobody has read anything" in ended.err


@pytest.mark.skipif(LISTENERS is SecuredListeners, reason="the operator's client.properties stands for every cluster")
def test_a_cluster_that_is_away_hides_no_other(on_mesh: Run, mesh: Mesh, port: Binding, group: str) -> None:
    """The groups of the clusters that answer are shown, and it is said of which none are."""
    away = {
        "address": "mesh://tests/away",
        "id": str(uuid4()),
        "description": "away",
        "outputPorts": [{"name": "events"}],
    }
    product = Product.model_validate({**away, "archetype": "source-aligned", "owner": "tests"})
    schema = parse_schema('{"type": "record", "name": "Away", "fields": [{"name": "a", "type": "int"}]}')
    mesh.registry.register(product, {"events@1": schema}, bootstrap_servers="127.0.0.1:1")
    ended = on_mesh("lag")
    assert ended.code == 3
    assert group in ended.out
    assert "the groups of a cluster are not shown: no broker answers at 127.0.0.1:1" in ended.err
    assert on_mesh("lag", port.address.key).code == 0


def test_an_in_memory_cluster_shows_no_groups(cli: Run, in_memory_mesh: Mesh) -> None:
    """It is said, instead of that nothing reads a port."""
    address = in_memory_mesh.product().address.key
    ended = cli("lag", address, MESHPORT_REGISTRY=in_memory_mesh.url)
    assert (ended.code, ended.out) == (3, "")
    assert "which shows no consumer groups" in ended.err


def test_an_address_or_a_group(on_mesh: Run) -> None:
    """Both at once are refused."""
    ended = on_mesh("lag", "shop/orders", "--group", "billing")
    assert ended.code == 2


def test_watch_repeats_until_interrupted(on_mesh: Run, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group is looked at again after each pause; Ctrl-C ends it."""
    pauses = iter((2.0,))

    def pause(_: float) -> None:
        if next(pauses, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr("meshport.cli.lag.sleep", pause)
    ended = on_mesh("lag", "--group", group, "--watch", "--json")
    assert [each["events"] for each in ended.lines] == [6, 6]
    assert ended.code == 130


def test_readers_that_no_product_declares_are_listed(on_mesh: Run, mesh: Mesh, port: Binding, group: str) -> None:
    """`readers --observed` and `retire --plan` name a group that nobody declared; with members, the plan is not safe."""
    key = port.address.key
    (shown,) = on_mesh("readers", key, "--observed", "--json").lines
    assert {name: shown[name] for name in ("product", "group", "declared", "live", "unread")} == {
        "product": None,
        "group": group,
        "declared": False,
        "live": False,
        "unread": 6,
    }
    assert "undeclared" in on_mesh("readers", key, "--observed").out
    product = port.address.of_product.key
    ended = on_mesh("retire", product, "--plan", "--json")
    (plan,) = ended.lines
    assert (ended.code, plan["safe"], plan["records_left"], plan["downstream"]) == (
        0,
        True,
        {str(port.address): 10},
        [],
    )
    with Subscriber(port.address, mesh.registry, group=group, kafka=CONNECTIONS) as reading:
        take(reading, 1)
        ended = on_mesh("retire", product, "--plan")
        assert ended.code == 1
        assert group in ended.out
        assert "it is read" in ended.err
    assert mesh.registry.refresh(port.address).status is Status.ACTIVE
