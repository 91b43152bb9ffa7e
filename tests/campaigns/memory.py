"""Scenes in memory in which a planted defect has to show, a tenth of a second each, and in which nothing else may.

`killed` is the protocol of the faust engine: a kill leaves what was delivered, and repeats follow under the same ids;
`by_columns` the same for what is computed by columns.
`cut_off` is the batch engine's: what a kill cut off was never there. `moved` is the latter where partitions go to another
member all the time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from meshport.kafka.producer import Message
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.columns import columns_for
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_log import Crash, MemoryLog
from meshport.process.runtime.worker import Worker
from meshport.process.state.changelog import ChangelogRecord
from tests.campaigns.evidence import Evidence, of_harness
from tests.campaigns.feed import Feed
from tests.campaigns.logic import COLUMNS, declared, logic

_ROUNDS = 14
_BURST = 60

Scene = Callable[[random.Random], Evidence]


@dataclass
class TransactionalLog(MemoryLog):
    """Topics in memory of which nothing is there before it is committed.

    Attributes:
        open: what was sent and is not committed.
        undone: what was sent and never will be.
    """

    open: list[Message] = field(default_factory=list)
    undone: list[Message] = field(default_factory=list)

    def deliver(self, messages: Iterable[Message]) -> None:
        """Send messages as part of the transaction.

        Raises:
            Crash: as of `MemoryLog`.
        """
        for message in messages:
            if self.crash_after is not None:
                if self.crash_after == 0:
                    raise Crash("killed")
                self.crash_after -= 1
            self.open.append(message)

    def commit(self) -> None:
        """Have it all there."""
        for message in self.open:
            self.store(message)
        self.open.clear()

    def abort(self) -> None:
        """Have none of it there."""
        self.undone += self.open
        self.open.clear()

    def entries(self, topic: str, partition: int) -> Iterator[ChangelogRecord]:
        """As of `MemoryLog`; what was undone is passed over."""
        return super().entries(topic, partition)


def killed(dice: random.Random) -> Evidence:
    """Killed in every round, in the middle of a delivery or between two."""
    harness = Harness(logic("windows"), output="listening/out", ports=declared("windows"))

    def turn(last: bool) -> None:
        with suppress(Crash):
            harness.run(_sizes(dice), crash_after=None if last else dice.randrange(200))
        harness.restart()

    return of_harness(harness, _fed(harness, dice, turn), "repeats")


class ColumnarHarness(Harness):
    """A harness whose processor works by columns, where those are installed."""

    def _new_worker(self) -> Worker:
        worker = Worker(self.plan, self.ports, self.log, columns_for(self.plan, self.ports))
        for stage in self.plan.stages:
            for partition in range(stage.partitions):
                worker.assign(TopicPartition(stage.topic, partition))
        return worker


def by_columns(dice: random.Random) -> Evidence:
    """As `killed`, by columns, in batches that are worth them."""
    harness = ColumnarHarness(logic(COLUMNS), output="listening/out", ports=declared(COLUMNS))

    def turn(last: bool) -> None:
        with suppress(Crash):
            harness.run(crash_after=None if last else dice.randrange(500))
        harness.restart()

    return of_harness(harness, _fed(harness, dice, turn, plan=COLUMNS, count=3 * _BURST), "repeats")


def cut_off(dice: random.Random) -> Evidence:
    """As `killed`, in transactions."""
    harness, log = _transactional()

    def turn(last: bool) -> None:
        at_commit = not last and dice.random() < 0.5
        log.crash_after = None if last or at_commit else dice.randrange(200)
        try:
            _work(harness, log, _sizes(dice), lambda: at_commit and dice.random() < 0.5)
        except Crash:
            log.abort()
        harness.restart()

    return of_harness(harness, _fed(harness, dice, turn), "once")


def moved(dice: random.Random) -> Evidence:
    """All partitions go to another member in every round; the one that let them go lives on, and works if it still can."""
    harness, log = _transactional()

    def turn(_: bool) -> None:
        for place in list(harness.worker.next_offsets):
            harness.worker.revoke(place)
        successor = harness._new_worker()
        for worker in (harness.worker, successor):
            harness.worker = worker
            _work(harness, log, _sizes(dice))

    return of_harness(harness, _fed(harness, dice, turn), "once")


def _transactional() -> tuple[Harness, TransactionalLog]:
    harness = Harness(logic("windows"), output="listening/out", ports=declared("windows"))
    harness.log = log = TransactionalLog(harness.log.partitions)
    harness.restart()
    return harness, log


def _sizes(dice: random.Random) -> Iterator[int]:
    while True:
        yield dice.randrange(1, 30)


def _work(
    harness: Harness, log: TransactionalLog, sizes: Iterator[int], killed_at_commit: Callable[[], bool] = bool
) -> None:
    while batches := harness._next_batches(sizes):
        harness.worker.process(batches)
        if killed_at_commit():
            raise Crash("killed")
        log.commit()


def _fed(
    harness: Harness,
    dice: random.Random,
    turn: Callable[[bool], None],
    *,
    plan: str = "windows",
    count: int = _BURST,
) -> list[Message]:
    """Publish, and take a turn, over and over; the last turns are left alone. Returns what was published."""
    feed = Feed(harness.plan.source, harness.ports, dice.randrange(1 << 30), plan)
    published: list[Message] = []
    for number in range(_ROUNDS + 2):
        burst = feed.burst(count)
        published += burst
        for message in burst:
            harness.store(message)
        turn(number >= _ROUNDS)
    return published
