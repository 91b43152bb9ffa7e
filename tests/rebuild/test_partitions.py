"""Products that grow: a new generation with more partitions, derived or copied, while events come in."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest

from meshport.errors import PartitionsAdded, PublishError, RegistrationRefused, TopicError
from meshport.kafka.admin import Admin
from meshport.kafka.received import headers_of
from meshport.ports.publisher import Publisher
from meshport.ports.scan import read_topic
from meshport.process.wire.partitioner import partition_of
from meshport.project.project import ProjectProduct
from meshport.rebuild import PortCopy, Rebuild, Swap
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.rebuild.shop import Readers, Shop, open_shop
from tests.waiting import wait_for


@pytest.fixture
def shop(mesh: Mesh, tmp_path: Path) -> Shop:
    """A shop of the test's own."""
    return open_shop(mesh, tmp_path)


def declaring(product: ProjectProduct, partitions: int) -> ProjectProduct:
    """The same product with another number of partitions, as after an edit of its file."""
    ports = tuple(each.model_copy(update={"partitions": partitions}) for each in product.product.output_ports)
    changed = product.product.model_copy(update={"output_ports": ports})
    return ProjectProduct(changed, product.folder, product.schemas)


def expected(sold: int) -> dict[str, tuple[int, int]]:
    """Orders and cents of each customer, of so many orders."""
    orders = Counter(f"c{number % 17}" for number in range(sold))
    cents: Counter[str] = Counter()
    for number in range(sold):
        cents[f"c{number % 17}"] += number * 37 % 1000
    return {each: (count, cents[each]) for each, count in orders.items()}


def totals_of(shop: Shop, product: ProjectProduct) -> dict[str, tuple[int, int]]:
    """Orders and cents of each customer, as the product has them."""
    found: dict[str, tuple[int, int]] = {}
    for row in shop.latest(product.product.address).values():
        orders, cents = found.get(row["customer"], (0, 0))
        found[row["customer"]] = (orders + row["orders"], cents + row["cents"])
    return found


def selling(shop: Shop, stop: threading.Event) -> threading.Thread:
    """Sell orders in a thread until the event is set."""

    def feed() -> None:
        while not stop.wait(0.05):
            shop.sell(20)

    thread = threading.Thread(target=feed)
    thread.start()
    return thread


def partitions_of_keys(shop: Shop, topic: str) -> dict[bytes, set[int]]:
    """The partitions that each key of a topic is in."""
    found: dict[bytes, set[int]] = {}
    for messages in read_topic(shop.mesh.kafka, topic):
        for each in messages:
            found.setdefault(each.key() or b"", set()).add(each.partition())
    return found


def test_a_derived_product_grows_while_events_come(shop: Shop, tmp_path: Path) -> None:
    """Grown from 4 to 6 partitions under load, a product's totals are equal; its readers see each event once."""
    shop.sell(1500)
    product, lines = shop.totals(tmp_path, partitions=4), list[str]()
    address = product.product.address
    stop = threading.Event()
    with Readers(shop, address) as readers, shop.live(product, lines):
        feeding = selling(shop, stop)
        try:
            wait_for(lambda: readers.least > 200, lambda: f"{readers.least}, {lines}, {readers.failed}")
            report = Rebuild(product, shop.mesh.registry, partitions=6, kafka=CONNECTIONS).run(Swap.EQUAL)
            assert report.equal
            binding = report.binding
            assert binding is not None
            assert binding.partitions == 6
            wait_for(lambda: readers.have_moved(binding.topic), "the readers to move")
        finally:
            stop.set()
            feeding.join()
        wait_for(lambda: totals_of(shop, product) == expected(shop.sold), lambda: f"the totals, {lines}")
        wait_for(lambda: readers.least >= shop.sold, lambda: f"{readers.least} of {shop.sold}")
    for name, ids in readers.seen.items():
        assert len(ids) == len(set(ids)) == shop.sold, name
    found = partitions_of_keys(shop, binding.topic)
    assert found == {key: {partition_of(key, 6)} for key in found}
    with pytest.raises(RegistrationRefused, match="PARTITIONS"):
        shop.mesh.apply(product)  # declares 4 still
    assert shop.mesh.apply(declaring(product, 6)).topic == binding.topic


def test_the_declared_number_is_built(shop: Shop, tmp_path: Path) -> None:
    """A rebuild of files that declare another number builds it, more or fewer; before it, applying them is refused."""
    shop.sell(300)
    product = shop.totals(tmp_path, partitions=4)
    shop.build(product)
    for partitions in (6, 2):
        edited = declaring(product, partitions)
        with pytest.raises(RegistrationRefused, match="PARTITIONS"):
            shop.mesh.apply(edited)
        report = Rebuild(edited, shop.mesh.registry, kafka=CONNECTIONS).run(Swap.EQUAL)
        assert report.equal
        assert shop.mesh.apply(edited).partitions == partitions
        assert totals_of(shop, edited) == expected(300)


def test_a_source_aligned_product_grows(shop: Shop, tmp_path: Path) -> None:
    """Its events are copied, each key into one partition and in order, also where partitions were added by hand before."""
    shop.sell(600)
    old = shop.mesh.registry.resolve(shop.orders)
    product = shop.totals(tmp_path)
    shop.build(product)
    with Readers(shop, shop.orders) as readers:
        wait_for(lambda: readers.least >= 600, "the first orders to be read")
        Admin(shop.mesh.kafka).add_partitions(old.topic, 4)
        shop.sell(600)  # a new publisher, which knows of the added partitions
        assert max(map(len, partitions_of_keys(shop, old.topic).values())) > 1
        with pytest.raises(PartitionsAdded, match="was planned for 2"):
            shop.build(product)
        with Publisher(shop.orders, shop.mesh.registry, kafka=CONNECTIONS) as late:
            report = PortCopy(shop.orders, shop.mesh.registry, 6, kafka=CONNECTIONS).run(switch=True)
            assert (report.copied, report.partitions) == (1200, 6)
            late.publish({"customer": "c1", "cents": 1, "at": 0}, id="refused")
            with pytest.raises(PublishError):
                late.flush()
        new = shop.mesh.registry.refresh(shop.orders)
        assert (new.partitions, new.topic, new.generation) == (6, report.topic, 2)
        found = partitions_of_keys(shop, new.topic)
        assert found == {key: {partition_of(key, 6)} for key in found}
        wait_for(lambda: readers.have_moved(new.topic), "the readers to move")
        shop.sell(300)
        wait_for(lambda: readers.least >= 1500, lambda: f"{readers.least} of 1500")
    for name, ids in readers.seen.items():
        assert len(ids) == len(set(ids)) == 1500, name
    assert _in_order(shop, new.topic)
    report_of_totals = Rebuild(product, shop.mesh.registry, kafka=CONNECTIONS).run(Swap.ALWAYS)
    assert report_of_totals.binding is not None
    shop.build(product)
    assert totals_of(shop, product) == expected(1500)


def _in_order(shop: Shop, topic: str) -> bool:
    """Whether the orders of each customer are in the order in which they were sold."""
    last: dict[bytes, int] = {}
    for messages in read_topic(shop.mesh.kafka, topic):
        for each in messages:
            number = int((dict(headers_of(each) or ())["ce_id"] or b"").removeprefix(b"o"))
            if number <= last.get(each.key() or b"", -1):
                return False
            last[each.key() or b""] = number
    return True


def test_a_copy_that_is_not_switched_to_changes_nothing(shop: Shop) -> None:
    """Without a switch the copy is there to be looked at; publishers go on, and a further call begins the copy again."""
    shop.sell(100)
    for sold in (100, 150):
        report = PortCopy(shop.orders, shop.mesh.registry, 3, kafka=CONNECTIONS).run(switch=False)
        assert (report.copied, report.binding) == (sold, None)
        assert shop.mesh.registry.refresh(shop.orders).generation == 1
        shop.sell(50)


def test_apply_names_the_way_out_of_a_topic_that_was_grown_by_hand(shop: Shop, tmp_path: Path) -> None:
    """A topic with more partitions than the product declares is an error whose hint grows the product."""
    product = shop.totals(tmp_path)
    binding = shop.mesh.registry.resolve(product.product.address)
    Admin(shop.mesh.kafka).add_partitions(binding.topic, 3)
    with pytest.raises(TopicError) as found:
        shop.mesh.apply(product)
    assert f"meshport rebuild {product.product.address.key} --partitions 3 --swap always" in str(found.value.hint)
