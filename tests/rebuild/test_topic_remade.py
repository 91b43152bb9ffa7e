"""The way out of a topic that was deleted and made again: a new generation from the present topics, which readers read whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from meshport.errors import TopicRemade
from meshport.process.wire.plan import Plan
from meshport.rebuild import PortCopy, Rebuild, Swap
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.rebuild.shop import Readers, Shop, open_shop
from tests.remade import remake, topic_id
from tests.waiting import wait_for

TOPICS: dict[str, Callable[[Plan], str]] = {
    "input": lambda plan: plan.source.topic,
    "changelog": lambda plan: plan.stages[0].changelog,
}


@pytest.fixture
def shop(mesh: Mesh, tmp_path: Path) -> Shop:
    """A shop of the test's own."""
    return open_shop(mesh, tmp_path)


@pytest.mark.parametrize("which", TOPICS)
@pytest.mark.parametrize("sold", [100, 800], ids=["shorter", "longer"])
def test_a_rebuild_leads_out_of_a_topic_that_was_made_again(shop: Shop, tmp_path: Path, which: str, sold: int) -> None:
    """The error's advice works: rebuilt with `--swap always`, the product holds the present history, and runs on."""
    shop.sell(500)
    product = shop.totals(tmp_path)
    shop.build(product)
    with Readers(shop, product.product.address) as readers:
        wait_for(lambda: readers.least >= 500, "the first totals to be read")
        remake(shop.mesh.kafka, TOPICS[which](shop.plan(product)))
        shop.sell(sold)
        with pytest.raises(TopicRemade, match="made again") as found:
            shop.build(product)
        assert "--swap always" in str(found.value.hint)
        if which == "input":
            with pytest.raises(TopicRemade, match="is bound to the earlier one"):
                Rebuild(product, shop.mesh.registry, kafka=CONNECTIONS).run(Swap.ALWAYS)
            shop.mesh.apply_again(shop.orders)
        report = Rebuild(product, shop.mesh.registry, kafka=CONNECTIONS).run(Swap.ALWAYS)
        assert report.binding is not None
        assert report.binding.topic_id == topic_id(shop.mesh.kafka, report.topic)
        wait_for(lambda: readers.have_moved(report.topic), "the readers to move")
        shop.sell(100)
        shop.build(product)
        present = sold + 100 + (0 if which == "input" else 500)
        wait_for(lambda: readers.least >= 500 + present, lambda: f"{readers.least} of {500 + present}")
    totals = shop.latest(product.product.address).values()
    assert sum(each["orders"] for each in totals) == present


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_copy_of_a_topic_that_was_made_again_is_refused(shop: Shop, when: str) -> None:
    """Readers of the earlier topic would move to the copy without notice; after `apply` the present topic is copied."""
    shop.sell(50)
    topic = shop.mesh.registry.refresh(shop.orders).topic
    ids: list[tuple[str, str]] = []

    def say(line: str) -> None:
        if "is copied to" in line and not ids:
            ids.append(remake(shop.mesh.kafka, topic))

    if when == "before":
        say("is copied to")
    with pytest.raises(TopicRemade) as found:
        PortCopy(shop.orders, shop.mesh.registry, 3, say=say, kafka=CONNECTIONS).run(switch=True)
    assert [(found.value.expected_id, found.value.found_id)] == ids
    assert "`meshport apply`" in str(found.value.hint)
    assert shop.mesh.registry.refresh(shop.orders).generation == 1
    assert shop.mesh.apply_again(shop.orders).topic_id == ids[0][1]
    shop.sell(20)
    assert PortCopy(shop.orders, shop.mesh.registry, 3, kafka=CONNECTIONS).run(switch=False).copied == 20
