"""Processors whose input is removed before they have processed it, or hidden by an open transaction."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from meshport.errors import HistoryMissing
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message
from meshport.kafka.transaction import Transactions
from meshport.ports.history import Missing
from meshport.process.engines import batch, faust
from meshport.process.runtime import watchdog
from meshport.process.runtime.checkpoints import latest_checkpoints
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.watchdog import ProcessorProgress
from meshport.process.wire.plan import Plan
from meshport.project.project import ProjectProduct
from meshport.rebuild import Rebuild, Swap
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.rebuild.shop import TOTAL, TOTALS, Shop, cut, open_shop
from tests.waiting import wait_for

Run = Callable[..., ProcessorProgress]
ENGINES = pytest.mark.parametrize("run", [batch.run_processor, faust.run_processor], ids=["batch", "faust"])


@pytest.fixture
def shop(mesh: Mesh, tmp_path: Path) -> Shop:
    """A shop of the test's own."""
    return open_shop(mesh, tmp_path)


@pytest.fixture
def writer(shop: Shop) -> Iterator[Transactions]:
    """Somebody else's transactional producer."""
    made = Transactions(shop.mesh.kafka, f"t{uuid4().hex[:8]}", settings={"transaction.timeout.ms": 600_000})
    made.start()
    yield made
    made.close()


def totals(shop: Shop, folder: Path) -> ProjectProduct:
    """Totals by customer."""
    return shop.derived(TOTALS, TOTAL, folder, cleanup="compact", key=["customer", "window_start"], time="window_start")


def counted(shop: Shop, product: ProjectProduct) -> int:
    """How many orders the totals count."""
    return sum(row["orders"] for row in shop.latest(product.product.address).values())


def run_to_end(run: Run, shop: Shop, plan: Plan) -> ProcessorProgress:
    """Process everything that the input holds."""
    return run(plan, shop.mesh.registry, until_end=True)


@ENGINES
def test_a_first_start_names_what_is_removed(shop: Shop, tmp_path: Path, run: Run) -> None:
    """A processor that would begin in the middle of a history ends with an error; allowed once, it goes on for good."""
    product = totals(shop, tmp_path)
    plan = shop.plan(product)
    shop.sell(200)
    first = cut(shop, plan.source.topic)
    with pytest.raises(HistoryMissing, match="--allow-missing") as refused:
        run_to_end(run, shop, plan)
    assert refused.value.topic == plan.source.topic
    assert refused.value.partition is not None
    assert (refused.value.offset, refused.value.asked) == (first[refused.value.partition], 0)
    assert refused.value.recorded is not None
    run_to_end(run, shop, replace(plan, missing=Missing.ALLOW))
    assert counted(shop, product) == 200 - sum(first.values())
    shop.sell(50)
    run_to_end(run, shop, plan)
    assert counted(shop, product) == 250 - sum(first.values())


@ENGINES
def test_a_processor_stopped_for_longer_than_the_retention_says_so(shop: Shop, tmp_path: Path, run: Run) -> None:
    """Where input was removed after the state's offset, a processor ends with an error, or goes on with its state."""
    product = totals(shop, tmp_path)
    plan = shop.plan(product)
    shop.sell(40)
    run_to_end(run, shop, plan)
    shop.sell(160)
    with Consumer(shop.mesh.kafka, group=plan.group) as group:
        done = group.committed(plan.source.topic)
    first = cut(shop, plan.source.topic)
    lost = sum(offset - done.get(number, 0) for number, offset in first.items())
    with pytest.raises(HistoryMissing) as refused:
        run_to_end(run, shop, plan)
    assert refused.value.partition is not None
    assert refused.value.offset == first[refused.value.partition]
    run_to_end(run, shop, replace(plan, missing=Missing.ALLOW))
    assert counted(shop, product) == 200 - lost
    run_to_end(run, shop, plan)


def test_an_allowed_beginning_is_kept_without_events(shop: Shop, tmp_path: Path) -> None:
    """Where nothing is left to process, the first offset is stored all the same, and the next start needs no leave."""
    plan = shop.plan(totals(shop, tmp_path))
    shop.sell(20)
    cut(shop, plan.source.topic, 1)
    stop = threading.Event()
    allowed = replace(plan, missing=Missing.ALLOW)

    def end(_: ProcessorProgress) -> None:
        with closing(KafkaLog(plan.kafka)) as log:
            if all(each.offset >= 0 for each in latest_checkpoints(plan, log)[0].values()):
                stop.set()

    batch.run_processor(allowed, shop.mesh.registry, stop=stop, on_progress=end)
    assert batch.run_processor(plan, shop.mesh.registry, until_end=True).read == 0


def test_markers_that_are_removed_are_no_missing_input(shop: Shop, tmp_path: Path, writer: Transactions) -> None:
    """Where only markers of transactions were removed after the state's offset, as the group's offset shows, none is missing."""
    plan = shop.plan(totals(shop, tmp_path))
    topic = plan.source.topic
    shop.sell(20)
    writer.begin()
    writer.deliver([Message(topic, b"k", b"v", (), None, number) for number in range(2)])
    writer.commit({}, b"")
    stop = threading.Event()

    def end(_: ProcessorProgress) -> None:
        with Consumer(plan.kafka, group=plan.group) as group:
            if group.committed(topic) == group.end_offsets(topic):
                stop.set()

    batch.run_processor(plan, shop.mesh.registry, stop=stop, on_progress=end)
    cut(shop, topic, 1)
    assert batch.run_processor(plan, shop.mesh.registry, until_end=True).read == 0


def test_an_open_transaction_on_an_input_stops_no_processor_and_no_rebuild(
    shop: Shop,
    tmp_path: Path,
    writer: Transactions,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an open transaction hides is reported and waits; a processor starts, and a rebuild ends, before it."""
    product = totals(shop, tmp_path)
    plan = shop.plan(product)
    shop.sell(30)
    batch.run_processor(plan, shop.mesh.registry, until_end=True)
    writer.begin()
    writer.deliver([Message(plan.source.topic, b"k", None, (), None, number) for number in range(2)])
    # A transaction's messages are sent later: one behind the orders would hide none of them.
    with Consumer(shop.mesh.kafka, settings={"isolation.level": "read_uncommitted"}) as looking:
        wait_for(lambda: sum(looking.end_offsets(plan.source.topic).values()) == 32, "both messages")
    shop.sell(40)
    seen: list[int] = []
    stop = threading.Event()

    def note(progress: ProcessorProgress) -> None:
        seen.append(progress.undecided)
        if progress.undecided >= 42:
            stop.set()

    monkeypatch.setattr(watchdog, "_LOOK_S", 0.5)
    with caplog.at_level(logging.WARNING):
        batch.run_processor(plan, shop.mesh.registry, stop=stop, on_progress=note)
    assert seen[-1] == 42
    assert "undecided: a transaction is open at offset" in caplog.text
    assert Rebuild(product, shop.mesh.registry, kafka=CONNECTIONS).run(Swap.EQUAL).equal
    assert counted(shop, product) == 30
    writer.abort()
    shop.build(product)
    assert counted(shop, product) == 70
