"""Rebuilds on a real Kafka: equal to the live generation or shown not to be, whatever is killed on the way."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from meshport.rebuild import Rebuild, Swap
from tests.mesh_session import Mesh
from tests.rebuild.shop import Readers, Shop, open_shop
from tests.running import wait_for


@pytest.fixture
def shop(mesh: Mesh, tmp_path: Path) -> Shop:
    """A shop of its own."""
    return open_shop(mesh, tmp_path)


def test_a_rebuild_equals_the_live_generation(shop: Shop, tmp_path: Path) -> None:
    """A compacted product by its keys, a stream by its events; and nothing is bound that nobody asked for."""
    shop.sell(3000)
    for product in (shop.totals(tmp_path), shop.larger(tmp_path)):
        shop.build(product)
        report = Rebuild(product, shop.mesh.registry).run()
        assert report.equal
        assert report.processed.read == 3000
        assert shop.mesh.registry.refresh(product.product.address).generation == 1


def test_a_live_reader_sees_no_gap_and_no_double(shop: Shop, tmp_path: Path) -> None:
    """Orders keep coming, the processor is live, two members of a group and one without read: all see each event once."""
    shop.sell(1500)
    product, said = shop.larger(tmp_path), list[str]()
    address = product.product.address
    stop = threading.Event()

    def feed() -> None:
        while not stop.wait(0.05):
            shop.sell(20)

    with Readers(shop, address) as readers, shop.live(product, said):
        feeding = threading.Thread(target=feed)
        feeding.start()
        try:
            wait_for(lambda: readers.least > 200, "the first events")
            report = Rebuild(product, shop.mesh.registry).run(Swap.EQUAL)
            print(report.as_dict(), said)
            assert report.equal
            binding = report.binding
            assert binding is not None
            wait_for(lambda: readers.have_moved(binding.topic), "the readers to move")
        finally:
            stop.set()
            feeding.join()
        large = sum(number * 37 % 1000 >= 500 for number in range(shop.sold))
        wait_for(lambda: readers.least >= large, lambda: f"{readers.least} of {large}, {said}")
    for name, ids in readers.seen.items():
        assert len(ids) == len(set(ids)) == large, name
