"""A processor while the registry is away: it starts when the registry answers, and quarantines nothing meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from meshport.ports import registry_outage
from meshport.process.engines import batch
from meshport.process.engines import faust as engine
from meshport.process.runtime.watchdog import ProcessorProgress
from meshport.process.wire.plan import Plan
from meshport.project.project import ProjectProduct
from meshport.rebuild import live
from meshport.rebuild.live import LivePlan, RunProcessor, run_live
from meshport.registry import Registry
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.rebuild.shop import Shop, open_shop
from tests.registry.network import Switch
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry is asked again soon."""
    monkeypatch.setattr(registry_outage, "_ASK_S", 0.05)
    monkeypatch.setattr(live, "_PAUSE_S", 0.05)


@pytest.fixture
def shop(mesh: Mesh, tmp_path: Path) -> Shop:
    """A shop of the test's own."""
    return open_shop(mesh, tmp_path)


@pytest.fixture
def network() -> Switch:
    """The connection of the processor's client."""
    return Switch()


@contextmanager
def running(shop: Shop, product: ProjectProduct, network: Switch, run: RunProcessor) -> Iterator[threading.Thread]:
    """Run a processor as `meshport run` does, with a client of its own."""
    stop, failed = threading.Event(), list[BaseException]()
    with Registry(shop.mesh.url, transport=network) as client:

        def work() -> None:
            try:
                run_live(LivePlan(lambda: product, client, kafka=CONNECTIONS), client, run, stop=stop, look_s=0.2)
            except BaseException as error:  # noqa: BLE001 - asserted below
                failed.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield thread
        finally:
            stop.set()
            thread.join(PATIENCE_S)
    assert failed == []
    assert not thread.is_alive()


def counted(shop: Shop, product: ProjectProduct) -> int:
    """Return how many orders the totals hold."""
    return sum(row["orders"] for row in shop.latest(product.product.address).values())


@pytest.mark.parametrize("run", [batch.run_processor, engine.run_processor], ids=["batch", "faust"])
def test_a_processor_outlives_the_registry(
    shop: Shop, network: Switch, tmp_path: Path, run: RunProcessor, caplog: pytest.LogCaptureFixture
) -> None:
    """Started without a registry it waits; then it processes events of known schemas, whether the registry answers or not."""
    product = shop.totals(tmp_path)
    network.cut = True
    shop.sell(100)
    with caplog.at_level(logging.WARNING), running(shop, product, network, run) as processor:
        wait_for(lambda: "has waited 0 s for the registry" in caplog.text)
        assert processor.is_alive()
        network.cut = False
        wait_for(lambda: counted(shop, product) == 100, pause_s=0.2)
        network.cut = True
        shop.sell(100)
        wait_for(lambda: counted(shop, product) == 200, pause_s=0.2)


@pytest.mark.parametrize("run", [batch.run_processor, engine.run_processor], ids=["batch", "faust"])
def test_a_schema_that_is_new_is_waited_for(
    shop: Shop, network: Switch, tmp_path: Path, run: RunProcessor, caplog: pytest.LogCaptureFixture
) -> None:
    """Events of a schema that a processor has not met are not quarantined while the registry is away; all of them count then."""
    product = shop.totals(tmp_path)
    progress: list[ProcessorProgress] = []

    def noting(plan: Plan, schemas: Registry, **options: Any) -> ProcessorProgress:
        return run(plan, schemas, **options | {"on_progress": progress.append})

    with caplog.at_level(logging.WARNING), running(shop, product, network, noting):
        wait_for(lambda: progress)
        network.cut = True
        shop.sell(100)
        wait_for(lambda: "has stopped reading" in caplog.text and "has waited" in caplog.text)
        network.cut = False
        wait_for(lambda: counted(shop, product) == 100, pause_s=0.2)
    assert not any(each.quarantined for each in progress)


def test_a_processor_that_waits_ends_when_it_is_asked_to(
    shop: Shop, network: Switch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A processor that waits for the registry at its start ends in order."""
    network.cut = True
    with caplog.at_level(logging.WARNING), running(shop, shop.totals(tmp_path), network, batch.run_processor):
        wait_for(lambda: "has waited" in caplog.text)
