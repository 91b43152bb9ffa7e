"""Two streams joined within a window: whichever way they are interleaved, the pairs are those of two nested loops."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest

from meshport.event import Event, EventReader
from meshport.process import Pipeline
from meshport.process.columns import columns_for
from meshport.process.harness import Crash, Harness
from meshport.process.messages import Inbound
from meshport.process.worker import Place, Worker
from tests.process.recount import on_time
from tests.process.streams import LATENESS, ORDERS, PAYMENTS, WITHIN, joined, order, payment, ports

SAID = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]


class Interleaved(Harness):
    """A harness that takes some messages of some partitions at a time, as the dice fall, and is killed now and then.

    Args:
        dice: decide.
        by_columns: works on batches by columns, where it can.
    """

    def __init__(self, pipeline: Pipeline, dice: random.Random, *, by_columns: bool = False, **how: Any) -> None:
        self._dice = dice
        self._by_columns = by_columns
        super().__init__(pipeline, output="shop/settled", ports=ports(**how))

    def _taken_up(self) -> Worker:
        if not self._by_columns:
            return super()._taken_up()
        worker = Worker(self.plan, self.ports, self.log, columns_for(self.plan, self.ports), look_s=0)
        for stage in self.plan.stages:
            for partition in range(stage.partitions):
                worker.assign((stage.topic, partition))
        return worker

    def _next(self, sizes: Iterator[int]) -> dict[Place, Sequence[Inbound]]:
        batches = super()._next(sizes)
        some = {place: messages for place, messages in batches.items() if self._dice.random() < 0.5} or batches
        return {place: messages[: self._dice.choice([1, 3, 40, 400])] for place, messages in some.items()}

    def work(self, crashes: int) -> None:
        """Process all that is there, through a number of kills."""
        for left in reversed(range(crashes + 1)):
            try:
                self.run(crash_after=self._dice.randrange(1, 150) if left else None)
            except Crash:
                self.restart()

    @property
    def said(self) -> set[SAID]:
        """Every output with all of its bytes."""
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
    """The events of an input, each partition in its order."""
    reader = EventReader(harness.ports)
    return [reader.read(*each.parts) for each in harness.outputs(topic)]


def recounted(harness: Harness, missing: str) -> dict[str, tuple[datetime, Mapping[str, Any]]]:
    """What the join has to give, by id: two nested loops over the events that were not late."""
    left_topic, right_topic = harness.plan.source.topic, f"{harness.plan.stages[1].topic}"
    orders, payments = (list(on_time(events(harness, topic), LATENESS)) for topic in (left_topic, right_topic))
    made: dict[str, tuple[datetime, Mapping[str, Any]]] = {}
    newest: dict[tuple[str, int], datetime] = {}
    for event in (*orders, *payments):
        place = (event.topic, event.partition)
        newest[place] = max(event.time, newest.get(place, event.time))
    told = len(newest) == len(harness.plan.numbers)
    horizon = min(newest.values()) - LATENESS
    for one in orders:
        data, alone = one.data, True
        for other in payments:
            if data["order_id"] == other.data["order_id"] and abs(one.time - other.time) <= WITHIN:
                alone = False
                places = "+".join(f"{each.topic}-{each.partition}-{each.offset}-0" for each in (one, other))
                paid = {"order_id": data["order_id"], "cents": data["cents"], "paid_cents": other.data["cents"]}
                made[f"{places}-0"] = max(one.time, other.time), paid
        over = data["order_id"] is None or (told and one.time + WITHIN < horizon)
        if missing == "keep" and alone and over:
            unpaid = {"order_id": data["order_id"], "cents": data["cents"], "paid_cents": None}
            made[f"{one.topic}-{one.partition}-{one.offset}-0-0"] = one.time, unpaid
    return made


@pytest.mark.parametrize("missing", ["drop", "keep"])
@pytest.mark.parametrize("seed", range(12))
def test_pairs_are_those_of_two_nested_loops(seed: int, missing: str) -> None:
    """Outputs equal a recount, and are the same to the byte for each interleaving, through kills, by rows and by columns."""
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
        said.append(harness.said)
    assert said[0] == said[1] == said[2]
