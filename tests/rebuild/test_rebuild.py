"""Rebuilds on a real Kafka: equal to the live generation or reported as different, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from meshport.errors import ProcessError, RegistrationRefused
from meshport.kafka.admin import Admin
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Replay
from meshport.ports.subscriber import Subscriber
from meshport.project.project import ProjectProduct
from meshport.rebuild import Rebuild, Swap, dependent_products, retire, unfinished_groups
from meshport.rebuild.live import LivePlan
from meshport.registry import Registry
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.readings import take
from tests.rebuild.killed import IN_THE_SUITE, POINTS
from tests.rebuild.shop import INSTANT, TOTAL, TOTALS, Readers, Shop, changed, open_shop, record
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shop(mesh: Mesh, tmp_path: Path) -> Shop:
    """A shop of the test's own."""
    return open_shop(mesh, tmp_path)


def test_a_rebuild_equals_the_live_generation(shop: Shop, tmp_path: Path) -> None:
    """A rebuild equals the live generation: a compacted product by keys, a stream by events. It binds nothing by default."""
    shop.sell(3000)
    for product in (shop.totals(tmp_path), shop.larger(tmp_path)):
        shop.build(product)
        report = Rebuild(product, shop.mesh.registry, kafka=CONNECTIONS).run()
        assert report.equal
        assert report.processed.read == 3000
        assert shop.mesh.registry.refresh(product.product.address).generation == 1


def test_a_live_reader_sees_no_gap_and_no_double(shop: Shop, tmp_path: Path) -> None:
    """While orders come and the port switches, a group of two readers and a reader without a group see each event once."""
    shop.sell(1500)
    product, lines = shop.larger(tmp_path), list[str]()
    address = product.product.address
    stop = threading.Event()

    def feed() -> None:
        while not stop.wait(0.05):
            shop.sell(20)

    with Readers(shop, address) as readers, shop.live(product, lines):
        feeding = threading.Thread(target=feed)
        feeding.start()
        try:
            wait_for(
                lambda: readers.least > 200, lambda: f"the first events: {readers.least}, {lines}, {readers.failed}"
            )
            report = Rebuild(product, shop.mesh.registry, kafka=CONNECTIONS).run(Swap.EQUAL)
            assert report.equal
            binding = report.binding
            assert binding is not None
            wait_for(lambda: readers.have_moved(binding.topic), "the readers to move")
        finally:
            stop.set()
            feeding.join()
        large = sum(number * 37 % 1000 >= 500 for number in range(shop.sold))
        wait_for(lambda: readers.least >= large, lambda: f"{readers.least} of {large}, {lines}")
    for name, ids in readers.seen.items():
        assert len(ids) == len(set(ids)) == large, name


def test_a_live_processor_asks_the_registry_for_its_generation(shop: Shop, tmp_path: Path) -> None:
    """A live processor takes the generation from the registry, not from its cache, so that it restores no state in vain."""
    shop.sell(100)
    product = shop.larger(tmp_path)
    shop.build(product)
    with Registry(shop.mesh.url) as other:
        plan_of = LivePlan(lambda: product, other, kafka=CONNECTIONS)
        assert plan_of().output.generation == 1
        Rebuild(product, shop.mesh.registry, kafka=CONNECTIONS).run(Swap.EQUAL)
        assert plan_of().output.generation == 2


def test_a_killed_rebuild_leaves_one_whole_generation_bound(shop: Shop, tmp_path: Path) -> None:
    """A rebuild that is killed at any point leaves one complete generation bound, and the next rebuild continues it."""
    shop.sell(2500)
    product = shop.totals(tmp_path)
    shop.build(product)
    address = product.product.address
    before = shop.latest(address)
    line = shop.mesh.registry.generations(address)
    for point in POINTS if os.environ.get("MESHPORT_CAMPAIGN") else IN_THE_SUITE:
        command = [sys.executable, "-m", "tests.rebuild.killed", shop.mesh.url, str(tmp_path), address.product, point]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL, point
        assert line.list().live.number == (2 if point == "after the switch" else 1), point
        assert len(line.list().generations) == 2, "each continued what the one before had begun"
        assert shop.latest(address) == before, point
        wait_for(lambda: line.list().hold is None, "the end of the hold")
    with Replay(address, shop.mesh.registry, kafka=CONNECTIONS) as replay:
        seen = [event.id for event in replay.history()]
    assert len(seen) == len(set(seen)) == 2500


def test_an_old_mistake_is_shown(shop: Shop, tmp_path: Path) -> None:
    """Wrong, surplus and missing rows of the live generation are counted and shown, and nothing is bound."""
    shop.sell(1000)
    product = shop.totals(tmp_path)
    shop.build(product)
    address = product.product.address
    with Publisher(address, shop.mesh.registry, kafka=CONNECTIONS) as publisher:
        ours = next(record for record in shop.latest(address).values() if record["customer"] == "c3")
        publisher.publish(ours | {"cents": ours["cents"] + 1})
        publisher.publish(ours | {"customer": "unknown"})
        publisher.retract({"customer": "c4", "window_start": ours["window_start"]})
    report = Rebuild(product, shop.mesh.registry, kafka=CONNECTIONS).run(Swap.EQUAL)
    (counts,) = report.comparison.counts
    assert (counts.old, counts.new, counts.only_old, counts.only_new, counts.differing) == (17, 17, 1, 1, 1)
    shown = "\n".join(map(str, counts.samples))
    assert f"cents was {ours['cents'] + 1}, is {ours['cents']}" in shown
    assert "c4|" in shown
    assert shown.count("only in the new generation") == shown.count("only in the old generation") == 1
    assert not report.equal
    assert report.binding is None
    assert shop.mesh.registry.refresh(address).generation == 1


def test_another_logic_starts_over_and_is_bound_on_demand(shop: Shop, tmp_path: Path) -> None:
    """Another logic deletes what one had begun, and does not advance a state that it cannot continue."""
    shop.sell(1000)
    before = shop.totals(tmp_path)
    shop.build(before)
    address, registry = before.product.address, shop.mesh.registry
    assert Rebuild(before, registry, kafka=CONNECTIONS).run().equal
    by_two_hours = json.loads(json.dumps(TOTALS).replace("1h", "2h"))
    product = changed(before, by_two_hours)
    shop.sell(500)  # the live processor has not seen them, and this logic cannot advance its state
    with pytest.raises(ProcessError, match="the live state was made by another logic"):
        Rebuild(product, registry, kafka=CONNECTIONS).run(Swap.ALWAYS)
    shop.build(before)
    report = Rebuild(product, registry, kafka=CONNECTIONS).run(Swap.ALWAYS)
    (counts,) = report.comparison.counts
    assert (report.generation, counts.differing, report.equal) == (3, 17, False)
    assert report.binding is not None
    states = {each.number: each.state for each in registry.generations(address).list().generations}
    assert states == {1: "replaced", 2: "retired", 3: "live"}
    assert sum(each["orders"] for each in shop.latest(address).values()) == 1500
    topics = Admin(shop.mesh.kafka).partitions()
    assert not [each for each in topics if each.startswith(f"{shop.plan(product).output.topic[:-1]}2")]


def test_another_input_has_no_offsets_in_common(shop: Shop, tmp_path: Path) -> None:
    """A rebuild of a product that reads another port than its state was made from is refused: their offsets have no relation."""
    shop.sell(300)
    larger = shop.larger(tmp_path)
    shop.build(larger)
    port = {"cleanup": "compact", "key": ["customer", "window_start"], "time": "window_start"}
    steps = [{"derive": {"cents": "int(euros * 100)"}}, *TOTALS]
    before = shop.derived(steps, TOTAL, tmp_path, source=larger.product.address, **port)
    shop.build(before)
    product = changed(before, TOTALS, source=shop.orders)
    with pytest.raises(ProcessError, match=r"was not made of tests.*: its logic read another input"):
        Rebuild(product, shop.mesh.registry, kafka=CONNECTIONS).run(Swap.ALWAYS)
    assert shop.mesh.registry.refresh(before.product.address).generation == 1


def test_a_reader_that_was_away_misses_nothing(shop: Shop, tmp_path: Path) -> None:
    """A group continues through two switches where it was; before that, it is reported as reading a replaced generation."""
    shop.sell(600)
    product, registry = shop.larger(tmp_path), shop.mesh.registry
    address = product.product.address
    shop.build(product)
    with Subscriber(address, registry, group=f"away-{address.product}", kafka=CONNECTIONS) as subscriber:
        seen = [event.id for event in take(subscriber, 50)]
        subscriber._subscription.buffer.clear()
    for _ in range(2):
        shop.sell(300)
        assert Rebuild(product, registry, kafka=CONNECTIONS).run(Swap.EQUAL).binding is not None
    shop.sell(300)
    shop.build(product)
    binding, admin = registry.refresh(address), Admin(shop.mesh.kafka)
    assert unfinished_groups(binding, 1, admin) == [f"away-{address.product}"]
    large = sum(number * 37 % 1000 >= 500 for number in range(shop.sold))
    with Subscriber(address, registry, group=f"away-{address.product}", kafka=CONNECTIONS) as subscriber:
        seen[-1:] = [event.id for event in take(subscriber, large - 49)]
    assert len(seen) == len(set(seen)) == large
    with Subscriber(address, registry, group=f"new-{address.product}", kafka=CONNECTIONS) as subscriber:
        assert {event.id for event in take(subscriber, large)} == set(seen)
    assert unfinished_groups(binding, 1, admin) == []
    retire(registry.generations(address), 1, admin)
    with pytest.raises(RegistrationRefused, match="is the one that"):
        retire(registry.generations(address), 3, admin)
    before = binding.topic.removesuffix("3")

    def left() -> set[str]:
        return {
            each.removeprefix(before)[0] for each in admin.partitions() if each.startswith(before.removesuffix(".g"))
        }

    wait_for(lambda: left() == {"2", "3"}, lambda: f"a topic that was deleted is still listed: {left()}")
    assert [each.generation for each in registry.refresh(address).continues] == [2]


def test_a_product_of_a_rebuilt_one_is_rebuilt_in_turn(shop: Shop, tmp_path: Path) -> None:
    """It reads the replaced generation of its input to its end; its rebuild and its readers continue there."""
    registry = shop.mesh.registry
    shop.sell(800)
    larger = shop.larger(tmp_path)
    port = {"cleanup": "compact", "key": ["customer", "window_start"], "time": "window_start"}
    steps = json.loads(json.dumps(TOTALS).replace("sum(cents)", "count()"))
    built = shop.derived(steps, TOTAL, tmp_path, source=larger.product.address, **port)
    shop.build(larger)
    lines: list[str] = []
    with shop.live(built, lines), Subscriber(built.product.address, registry, look_s=0.2, kafka=CONNECTIONS) as reader:
        seen = [event.id for event in take(reader, 200)]
        assert Rebuild(larger, registry, kafka=CONNECTIONS).run(Swap.EQUAL).binding is not None
        shop.sell(200)
        shop.build(larger)
        wait_for(lambda: any("expects generation 1, which has ended" in each for each in lines), lambda: str(lines))
        admin = Admin(shop.mesh.kafka)
        bound = registry.refresh(larger.product.address)
        assert dependent_products(registry, bound, 1, admin) == [built.product.address]
        report = Rebuild(built, registry, kafka=CONNECTIONS).run(Swap.EQUAL)
        assert report.binding is not None
        assert dependent_products(registry, bound, 1, admin) == []
        large = sum(number * 37 % 1000 >= 500 for number in range(1000))
        seen += [event.id for event in take(reader, large - 199)][1:]
    assert len(seen) == len(set(seen)) == large
    assert sum(each["orders"] for each in shop.latest(built.product.address).values()) == large


PAIR = record("Pair", customer="string", cents="long", euros="double", at=INSTANT)


def joined(shop: Shop, larger: ProjectProduct, folder: Path) -> ProjectProduct:
    """Return a product of each order with its customer's larger orders of half a minute around it."""
    return shop.derived(pairs_of(larger), PAIR, folder, joined=[larger.product.address], key="customer", time="at")


def pairs_of(larger: ProjectProduct) -> list[dict[str, Any]]:
    """The steps of that join."""
    join = {"with": str(larger.product.address), "on": "customer", "within": "30s", "take": {"euros": "euros"}}
    return [{"join": join}]


def test_a_join_of_streams_is_rebuilt(shop: Shop, tmp_path: Path) -> None:
    """A join of streams replaces a logic with fewer inputs, and is rebuilt, equal, also after one of its inputs."""
    registry = shop.mesh.registry
    shop.sell(400)
    larger = shop.larger(tmp_path)
    shop.build(larger)
    pairs = joined(shop, larger, tmp_path)
    shop.build(changed(pairs, [{"derive": {"euros": "cents / 100"}}]))
    report = Rebuild(changed(pairs, pairs_of(larger)), registry, kafka=CONNECTIONS).run(Swap.ALWAYS)
    assert (report.binding is not None, report.equal) == (True, False)
    shop.sell(200)
    shop.build(larger)
    report = Rebuild(pairs, registry, kafka=CONNECTIONS).run()
    (counts,) = report.comparison.counts
    assert (report.equal, counts.what, counts.old) == (True, "events", counts.new)
    assert Rebuild(larger, registry, kafka=CONNECTIONS).run(Swap.EQUAL).binding is not None
    shop.sell(200)
    shop.build(larger)
    with pytest.raises(ProcessError, match="made by another pipeline"):
        shop.build(pairs)
    report = Rebuild(pairs, registry, kafka=CONNECTIONS).run(Swap.EQUAL)
    (counts,) = report.comparison.counts
    assert (report.binding is not None, counts.what) == (True, "keys")
    shop.build(pairs)
    with Replay(pairs.product.address, registry, kafka=CONNECTIONS) as replay:
        found = [(event.data["customer"], event.data["cents"], event.data["euros"]) for event in replay.history()]
    sold = [(f"c{number % 17}", number * 37 % 1000, number) for number in range(shop.sold)]
    assert sorted(found) == sorted(
        (customer, cents, more / 100)
        for customer, cents, second in sold
        for other, more, then in sold
        if customer == other and more >= 500 and abs(second - then) <= 30
    )
