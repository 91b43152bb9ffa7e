"""Two streams joined within a window: however they are interleaved, the pairs are those of two nested loops."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import pytest

from meshport.codec import codec_for
from meshport.errors import ProcessError
from meshport.event import Event, EventReader, EventWriter
from meshport.kafka.producer import Message
from meshport.kafka.topic_partition import TopicPartition
from meshport.process import Aggregate, Derive, Filter, JoinStream, Operator, Pipeline, Select, make_plan
from meshport.process.columns import MANY, columns_for
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_log import Crash
from meshport.process.engines.memory_ports import Port, Ports
from meshport.process.runtime.worker import Worker
from meshport.process.wire.input import InputMessage
from tests.process.plays import INSTANT, at, field, record
from tests.process.streams import ORDERS, PAYMENTS, SETTLED, WITHIN, joined, order, payment, ports, recount

SAID = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]


class Interleaved(Harness):
    """A harness that processes random numbers of messages of random partitions, and is killed now and then.

    Args:
        dice: decide.
        by_columns: works on batches by columns, where it can.
    """

    def __init__(self, pipeline: Pipeline, dice: random.Random, *, by_columns: bool = False, **how: Any) -> None:
        self._dice = dice
        self._by_columns = by_columns
        super().__init__(pipeline, output="shop/settled", ports=ports(**how))

    def _new_worker(self) -> Worker:
        if not self._by_columns:
            return super()._new_worker()
        worker = Worker(self.plan, self.ports, self.log, columns_for(self.plan, self.ports), look_s=0)
        for stage in self.plan.stages:
            for partition in range(stage.partitions):
                worker.assign(TopicPartition(stage.topic, partition))
        return worker

    def _next_batches(self, sizes: Iterator[int]) -> dict[TopicPartition, Sequence[InputMessage]]:
        batches = super()._next_batches(sizes)
        some = {place: messages for place, messages in batches.items() if self._dice.random() < 0.5} or batches
        return {place: messages[: self._dice.choice([1, 3, 40, 400])] for place, messages in some.items()}

    def work(self, crashes: int) -> None:
        """Process all messages, through a number of kills."""
        for left in reversed(range(crashes + 1)):
            try:
                self.run(crash_after=self._dice.randrange(1, 150) if left else None)
            except Crash:
                self.restart()

    @property
    def said(self) -> set[SAID]:
        """Return every output with all of its bytes."""
        return {(each.key, each.value, tuple(each.headers)) for each in self.outputs()}


def fill(harness: Harness, seed: int, events: int) -> None:
    """Orders and payments: out of order, some late, some without the other, some without an order's number."""
    dice = random.Random(seed)
    for number in range(events):
        minutes = number / 4 - (dice.expovariate(0.08) if dice.random() < 0.4 else 0)
        name = f"o{dice.randrange(max(3, events // 6))}"
        if dice.random() < 0.5:
            harness.publish(ORDERS.key, order(name if dice.random() < 0.9 else None, minutes, number), id=f"e{number}")
        else:
            harness.publish(PAYMENTS.key, payment(name, minutes, number), id=f"e{number}")


def events(harness: Harness, topic: str) -> list[Event]:
    """Return the events of an input, each partition in its order."""
    reader = EventReader(harness.ports)
    return [reader.read(*each.parts) for each in harness.outputs(topic)]


def recounted(harness: Harness, missing: str) -> dict[str, tuple[datetime, Mapping[str, Any]]]:
    """Return the results that the join has to have, by id."""
    left, right = (events(harness, each.stage.topic) for each in harness.plan.sources)
    return recount(left, right, missing, len(harness.plan.numbers))


@pytest.mark.parametrize("missing", ["drop", "keep"])
@pytest.mark.parametrize("seed", range(6))
def test_pairs_are_those_of_two_nested_loops(seed: int, missing: Literal["drop", "keep"]) -> None:
    """Outputs equal a recount, byte for byte the same for each interleaving, through kills, by rows and by columns."""
    said: list[set[SAID]] = []
    for run in range(3):
        dice = random.Random(f"{seed} {run}")
        harness = Interleaved(joined(missing), dice, by_columns=run == 1, orders=1 + seed % 3, payments=1 + seed % 2)
        fill(harness, seed, 240)
        harness.work(crashes=run * 4)
        found = {event.id: (event.time, event.data) for event in harness.events()}
        assert found == recounted(harness, missing)
        assert len(found) == len(harness.said) > 20
        assert len({(each.partition, each.offset, each.topic) for each in harness.late()}) > 5
        gathered = harness.outputs(harness.plan.stages[-1].topic)
        assert any((each.value or b"")[:4] == MANY for each in gathered) == (run == 1)
        said.append(harness.said)
    assert said[0] == said[1] == said[2]


class Fault:
    """Fails for some orders and some pairs until it is fixed."""

    def __init__(self) -> None:
        self.mended = False

    def order(self, data: Any) -> int:
        """Return the number of an order."""
        return self._unless(data["cents"] % 7 == 0, data["cents"])

    def pair(self, data: Any) -> bool:
        """Return whether a pair is written."""
        return bool(self._unless((data["cents"] + data["paid_cents"]) % 5 == 0, 1))

    def _unless(self, broken: bool, value: int) -> int:
        if broken and not self.mended:
            raise RuntimeError("broken")
        return value


@pytest.mark.parametrize("seed", range(4))
def test_what_is_redriven_makes_its_pairs(seed: int) -> None:
    """Orders, payments and single pairs that failed are redriven, each on its own side; no pair is written twice."""
    said: list[set[SAID]] = []
    for run in range(2):
        fault, dice = Fault(), random.Random(f"{seed} {run}")
        fault.mended = not run
        logic = joined("drop", Derive({"cents": fault.order}), after=(Filter(fault.pair),))
        harness = Interleaved(Pipeline(ORDERS, logic.operators, timedelta(days=1)), dice, by_columns=seed % 2 == 1)
        publish_some_under_an_unknown_schema(harness, seed)
        harness.work(crashes=2 * run)
        if run:
            some = harness.redrive(lambda event: event.offset % 3 > 0)
            assert {event.topic for event in some} == {each.stage.topic for each in harness.plan.sources}
            harness.work(crashes=2)  # they fail again
        fault.mended = True
        assert isinstance(harness.ports, Ports)
        harness.ports._schemas[99] = harness.ports.by_id(harness.ports.resolve(PAYMENTS).schema_id)
        harness.restart()
        brought_back = harness.redrive()
        harness.work(crashes=3 * run)
        assert harness.redrive() == []
        assert any(event.record is not None for event in brought_back) == bool(run)
        assert len({event.id for event in harness.events()}) == len(harness.said) > 20
        said.append(harness.said)
    assert said[0] == said[1]


def publish_some_under_an_unknown_schema(harness: Harness, seed: int) -> None:
    """Fill a harness; every fifth payment names a schema that no registry knows yet."""
    fill(harness, seed, 150)
    binding = harness.ports.resolve(PAYMENTS)
    codec = codec_for(harness.ports.by_id(binding.schema_id))
    writer = EventWriter(source=str(binding.address), type=binding.type, codec=codec, schema_id=99)
    for number in range(20):
        data = payment(f"o{number % 9}", number, number)
        value, headers = writer.message(data, id=f"x{number}", time=data["paid_at"], recorded_time=data["paid_at"])
        by_id = [each for each in headers if each[0] != "ce_dataschema"]
        harness.store(Message(binding.topic, data["order_id"].encode(), value, by_id))


def test_a_pair_that_fails_does_not_take_others_with_it() -> None:
    """The event that came second is quarantined once, for the pairs that failed, and makes the others, then and later."""
    fault = Fault()
    harness = Harness(joined(after=(Filter(fault.pair),)), output=SETTLED.key, ports=ports(orders=1, payments=1))
    for cents in (1, 2, 3):
        harness.publish(ORDERS.key, order(cents=cents))
    harness.run()
    harness.publish(PAYMENTS.key, payment(cents=3))
    harness.run()
    harness.publish(ORDERS.key, order(cents=4))
    harness.run()
    assert sorted(each["cents"] for each in harness.records()) == [1, 3, 4]
    (event,) = harness.quarantine()
    assert (event.key, dict(event.headers)["mesh_topic"]) == (b"o1", harness.plan.stages[1].topic.encode())
    harness.redrive()
    harness.run()
    assert len(harness.quarantine()) == 2
    fault.mended = True
    harness.redrive()
    harness.run()
    assert sorted(each["cents"] for each in harness.records()) == [1, 2, 3, 4]


def test_what_waits_is_bounded_by_time() -> None:
    """Records are deleted once no partner can come, so that the state does not grow with the streams."""
    harness = Harness(joined("keep"), output=SETTLED.key, ports=ports(orders=1, payments=1, settled=1))
    longest = 0
    for number in range(1000):
        harness.publish(ORDERS.key, order(f"o{number}", number / 10, number))
        harness.publish(PAYMENTS.key, payment(f"o{number}", number / 10 + number % 9, number))
        if number % 50 == 49:
            harness.run()
            stage = harness.worker._stages[TopicPartition(harness.plan.stages[-1].topic, 0)]
            longest = max(longest, len(list(stage._rows)))
            assert len(stage._join._waiting) <= len(list(stage._rows))  # type: ignore[attr-defined]  # a stage of joins
    assert 300 < longest < 600
    closed = [row for row in harness.records() if row["paid_cents"] is None]
    assert all(row["cents"] % 9 in {7, 8} for row in closed)
    assert len(harness.records()) > 800


def test_the_join_of_before_goes_on_after_a_restart() -> None:
    """A waiting order is joined with a payment that the next process reads."""
    harness = Harness(joined(), output=SETTLED.key, ports=ports())
    harness.publish(ORDERS.key, order())
    harness.run()
    harness.restart()
    harness.publish(PAYMENTS.key, payment(cents=90))
    harness.run()
    assert harness.records() == [{"order_id": "o1", "cents": 100, "paid_cents": 90}]


@pytest.mark.parametrize(
    ("changed", "said", "hint"),
    [
        ({PAYMENTS: {"cleanup": "compact"}}, "payments.* is compacted", "leave out `within`"),
        ({ORDERS: {"cleanup": "compact"}}, "orders.* is compacted", "keeps events"),
        ({PAYMENTS: {"key": ()}}, "its key is none", "one field"),
        ({PAYMENTS: {"key": ("order_id", "cents")}}, "its key is order_id, cents", "one field"),
    ],
)
def test_ports_that_cannot_be_joined_are_refused(
    changed: Mapping[Any, Mapping[str, Any]], said: str, hint: str
) -> None:
    """Both inputs have to be event ports, and the other one keyed by one field."""
    known = ports()
    for address, how in changed.items():
        known[address.key] = replace(known[address.key], **how)
    with pytest.raises(ProcessError, match=said) as refused:
        make_plan(joined(), SETTLED, Ports(known))
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("operators", "said"),
    [
        ((JoinStream(ORDERS, "customer", WITHIN, {"other": "cents"}),), "with itself"),
        (
            (*joined().operators, Aggregate(("order_id",), {"n": "count()"})),
            "groups once; found JoinStream and Aggregate",
        ),
    ],
)
def test_pipelines_that_cannot_be_run_are_refused(operators: tuple[Operator, ...], said: str) -> None:
    """A stream cannot be joined with itself, and a joined stream is aggregated by a product of its own."""
    with pytest.raises(ProcessError, match=said):
        make_plan(Pipeline(ORDERS, operators), SETTLED, Ports(ports()))


@pytest.mark.parametrize("how", [{"missing": "quarantine"}, {"within": -WITHIN}, {"take": {}}])
def test_joins_that_cannot_be_are_refused(how: dict[str, Any]) -> None:
    """A join of streams needs a positive duration and at least one field to take."""
    given: dict[str, Any] = {"within": WITHIN, "take": {"paid": "cents"}}
    with pytest.raises(ProcessError, match="a join"):
        JoinStream(PAYMENTS, "order_id", **{**given, **how})


@pytest.mark.parametrize("by_columns", [False, True])
def test_equal_keys_of_other_scales_are_joined(by_columns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order of 1.5 and a payment of 1.50 have one key in the repartition topic, by rows and by columns."""
    tenths, cents = ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": scale} for scale in (1, 2))
    declared = ports() | {
        ORDERS.key: Port(record("Order", field("price", tenths), field("at", INSTANT)), key=("price",), time="at"),
        PAYMENTS.key: Port(record("Paid", field("price", cents), field("at", INSTANT)), key=("price",), time="at"),
        "shop/settled": Port(record("Both", field("price", tenths), field("paid", cents))),
    }
    monkeypatch.setattr("tests.process.test_stream_join.ports", lambda: declared)
    join = JoinStream(PAYMENTS, "price", WITHIN, {"paid": "price"}, "drop")
    pipeline = Pipeline(ORDERS, (join, Select(("price", "paid"))), timedelta(minutes=1))
    harness = Interleaved(pipeline, random.Random(1), by_columns=by_columns)
    for number in range(100):
        harness.publish(ORDERS.key, {"price": Decimal(f"{number}.5"), "at": at(0)})
        harness.publish(PAYMENTS.key, {"price": Decimal(f"{number}.50"), "at": at(1)})
        harness.publish(PAYMENTS.key, {"price": Decimal(f"{number}.51"), "at": at(1)})
    harness.run()
    found = [(str(each["price"]), str(each["paid"])) for each in harness.records()]
    assert sorted(found) == sorted((f"{number}.5", f"{number}.50") for number in range(100))
