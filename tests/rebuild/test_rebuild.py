"""Rebuilds on a real Kafka: equal to the live generation or shown not to be, whatever is killed on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshport.rebuild import Rebuild
from tests.mesh_session import Mesh
from tests.rebuild.shop import Shop, open_shop


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
