"""A damaged state has a way out: the rebuild that its error names, whatever the live processor has not processed."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from meshport.errors import HistoryMissing, StateDamaged
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from meshport.ports.history import Missing
from meshport.ports.replay import Replay
from meshport.ports.subscriber import Subscriber
from meshport.process.engines import batch, faust
from meshport.process.engines.bounded import BoundedProcessor
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.watchdog import ProcessorProgress
from meshport.process.stages.partition import Counts
from meshport.process.state.changelog import Checkpoint
from meshport.process.state.keys import CHECKPOINT_KEY
from meshport.process.wire.plan import StageTopics
from meshport.project.project import ProjectProduct
from meshport.rebuild import Rebuild, Swap
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.readings import take
from tests.rebuild.shop import Shop, cut, open_shop, record

COUNTS = record("Count", cents="long", orders="long")
BY_CENTS = [{"aggregate": {"by": ["cents"], "values": {"orders": "count()"}}}]


@pytest.fixture
def shop(mesh: Mesh, tmp_path: Path) -> Shop:
    """A shop of the test's own."""
    return open_shop(mesh, tmp_path)


def alter(value: bytes) -> bytes:
    """Another row than the one that the checkpoint counts."""
    return re.sub(rb'"v":.*,"w":', b'"v":["altered"],"w":', value)


def garble(_value: bytes) -> bytes:
    """A value that is none of a changelog."""
    return b"nonsense"


def spoil(shop: Shop, stage: StageTopics, damage: Callable[[bytes], bytes]) -> None:
    """Damage a row of each partition of a changelog that has rows."""
    messages = []
    with closing(KafkaLog(shop.mesh.kafka)) as log:
        for number in range(stage.partitions):
            rows = {each.key: each.value for each in log.entries(stage.changelog, number)}
            rows.pop(CHECKPOINT_KEY, None)
            key = next((key for key, value in rows.items() if value is not None), None)
            if key is not None:
                messages.append(Message(stage.changelog, key, damage(rows[key] or b""), (), None, number))
    assert messages
    with Producer(shop.mesh.kafka) as producer:
        producer.deliver(messages)


def by_cents(shop: Shop, folder: Path) -> ProjectProduct:
    """Counts by another key than that of the orders, so that a repartition topic is between two stages."""
    return shop.derived(BY_CENTS, COUNTS, folder, key="cents", cleanup="compact")


def orders(shop: Shop, product: ProjectProduct) -> int:
    """How many orders the product counts."""
    return sum(row["orders"] for row in shop.latest(product.product.address).values() if row)


@pytest.mark.parametrize("damage", [alter, garble])
@pytest.mark.parametrize("run", [batch.run_processor, faust.run_processor], ids=["batch", "faust"])
def test_the_advice_of_the_error_works(
    shop: Shop, tmp_path: Path, run: Callable[..., ProcessorProgress], damage: Callable[[bytes], bytes]
) -> None:
    """A processor with a damaged state names it and the rebuild, which succeeds with events unread; it continues after them."""
    product, mesh = shop.totals(tmp_path), shop.mesh.registry
    shop.sell(300)
    shop.build(product)
    plan = shop.plan(product)
    spoil(shop, plan.stages[0], damage)
    shop.sell(200)
    with pytest.raises(StateDamaged, match=f"rebuild {product.product.address.key} --swap equal") as refused:
        run(plan, mesh, until_end=True)
    assert (refused.value.address, refused.value.topic) == (str(plan.output.address), plan.stages[0].changelog)
    assert refused.value.partition in {0, 1}
    lines: list[str] = []
    report = Rebuild(product, mesh, say=lines.append, kafka=CONNECTIONS).run(Swap.EQUAL)
    assert report.equal
    assert report.binding is not None
    assert any("is damaged" in line and "begun again" in line for line in lines)
    assert orders(shop, product) == 300
    run(shop.plan(product), mesh, until_end=True)
    assert orders(shop, product) == 500


def test_a_wrong_checkpoint_is_damage_too(shop: Shop, tmp_path: Path) -> None:
    """Of a checkpoint that is ahead of its outputs the group's offsets count, so that no event is passed over."""
    product, mesh = shop.totals(tmp_path), shop.mesh.registry
    shop.sell(100)
    shop.build(product)
    plan = shop.plan(product)
    wrong = Checkpoint(10_000, None, {}, 3, 7, plan.shape).to_record()
    with Producer(shop.mesh.kafka) as producer:
        producer.deliver([Message(plan.stages[0].changelog, wrong.key, wrong.value, (), None, 0)])
    shop.sell(50)
    with pytest.raises(StateDamaged):
        shop.build(product)
    assert Rebuild(product, mesh, kafka=CONNECTIONS).run(Swap.EQUAL).equal
    shop.build(product)
    assert orders(shop, product) == 150


def test_a_reader_passes_a_damaged_generation_without_a_gap(shop: Shop, tmp_path: Path) -> None:
    """A group that has read some of the damaged generation sees the rest of it, then each later event of the new one, once."""
    product, mesh = shop.larger(tmp_path), shop.mesh.registry
    shop.sell(300)
    shop.build(product)
    address = product.product.address
    with Subscriber(address, mesh, group="reader", look_s=0.1, kafka=CONNECTIONS) as subscriber:
        seen = [event.id for event in take(subscriber, 50)][:-1]
    with Producer(shop.mesh.kafka) as producer:
        changelog = shop.plan(product).stages[0].changelog
        producer.deliver([Message(changelog, b"foreign", b"nonsense", (), None, number) for number in range(2)])
    shop.sell(200)
    with pytest.raises(StateDamaged):
        shop.build(product)
    assert Rebuild(product, mesh, kafka=CONNECTIONS).run(Swap.EQUAL).equal
    shop.build(product)
    with Replay(address, mesh, kafka=CONNECTIONS) as replay:
        expected = {event.id for event in replay.history()}
    assert len(expected) == sum(number * 37 % 1000 >= 500 for number in range(500))
    with Subscriber(address, mesh, group="reader", look_s=0.1, kafka=CONNECTIONS) as subscriber:
        seen += [event.id for event in take(subscriber, len(expected) - len(seen))]
    assert sorted(seen) == sorted(expected)


def test_a_damaged_second_stage_with_ungrouped_records_is_rebuilt(shop: Shop, tmp_path: Path) -> None:
    """Where the damaged state lacks records of the repartition topic, the new generation begins before their events."""
    product, mesh = by_cents(shop, tmp_path), shop.mesh.registry
    shop.sell(300)
    shop.build(product)
    plan = shop.plan(product)
    shop.sell(200)
    with BoundedProcessor(plan, mesh) as first_stage_only, Consumer(shop.mesh.kafka) as looking:
        first_stage_only._process(plan.stages[0], looking.end_offsets(plan.source.topic), Counts())
        first_stage_only._transactional.commits.settle()
    spoil(shop, plan.stages[1], alter)
    shop.sell(100)
    with pytest.raises(StateDamaged):
        shop.build(product)
    assert Rebuild(product, mesh, kafka=CONNECTIONS).run(Swap.EQUAL).equal
    assert orders(shop, product) == 300
    shop.build(product)
    assert orders(shop, product) == 600


def test_a_damaged_new_generation_is_begun_again(shop: Shop, tmp_path: Path) -> None:
    """A rebuild that was interrupted, and whose own state was damaged meanwhile, begins again."""
    product, mesh = shop.totals(tmp_path), shop.mesh.registry
    shop.sell(200)
    shop.build(product)
    begun = Rebuild(product, mesh, kafka=CONNECTIONS).run()
    plan = shop.plan(product)
    new = replace(plan, output=plan.output.model_copy(update={"topic": begun.topic}))
    spoil(shop, new.stages[0], alter)
    report = Rebuild(product, mesh, kafka=CONNECTIONS).run(Swap.EQUAL)
    assert report.equal
    assert report.generation > begun.generation


def test_a_rebuild_names_the_history_that_is_removed(shop: Shop, tmp_path: Path) -> None:
    """A rebuild of a history whose beginning is removed ends with an error; allowed, it is of what is left."""
    product, mesh = shop.totals(tmp_path), shop.mesh.registry
    shop.sell(200)
    shop.build(product)
    first = cut(shop, shop.plan(product).source.topic)
    with pytest.raises(HistoryMissing, match="--allow-missing"):
        Rebuild(product, mesh, kafka=CONNECTIONS).run(Swap.ALWAYS)
    report = Rebuild(product, mesh, missing=Missing.ALLOW, kafka=CONNECTIONS).run(Swap.ALWAYS)
    assert not report.equal
    assert orders(shop, product) == 200 - sum(first.values())
    shop.sell(50)
    shop.build(product)
    assert orders(shop, product) == 250 - sum(first.values())
