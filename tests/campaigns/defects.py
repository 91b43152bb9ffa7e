"""Twenty-odd defects, each planted by replacing a part of the product, and the kinds of fault that show it.

The checksum of a state would refuse most of what a changelog can forget, before any harm is done; where a defect is about
what happens then, it is taken out (`_unchecked`), so that the ledger alone has to see it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest

from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from meshport.process.logic.records import Emission, EventRecord
from meshport.process.logic.watermark import Watermark
from meshport.process.runtime import kafka_log as kafkalog
from meshport.process.runtime.kafka_log import PRODUCER_SETTINGS, KafkaLog
from meshport.process.runtime.worker import Worker
from meshport.process.stages.group import GroupStage
from meshport.process.stages.partition import BatchResult
from meshport.process.stages.source import SourceStage
from meshport.process.state import changelog, rows
from meshport.process.state.changelog import ChangelogRecord, Checkpoint
from meshport.process.state.deduplication import Deduplication
from meshport.process.state.groups import WindowAggregate
from meshport.process.state.rows import StateRows
from meshport.process.wire import outputs
from meshport.process.wire.input import InputMessage
from tests.campaigns.memory import Scene, TransactionalLog, cut_off, killed, moved
from tests.campaigns.points import Engine

Plant = Callable[[pytest.MonkeyPatch, random.Random], None]


@dataclass(frozen=True)
class Defect:
    """A defect.

    Attributes:
        name: what the product does wrong.
        plant: makes it do so.
        scene: in which it shows, in memory.
        shows: the kinds of fault of which the ledger must name at least one.
        engines: on which it does harm; another engine's protocol makes up for it, or has no such part.
    """

    name: str
    plant: Plant
    scene: Scene
    shows: frozenset[str]
    engines: tuple[Engine, ...]


DEFECTS: dict[str, Defect] = {}


def _defect(
    name: str, scene: Scene, *shows: str, on: tuple[Engine, ...] = ("batch", "faust")
) -> Callable[[Plant], Plant]:
    def known(plant: Plant) -> Plant:
        DEFECTS[name] = Defect(name, plant, scene, frozenset(shows), on)
        return plant

    return known


@contextmanager
def planted(name: str, dice: random.Random) -> Iterator[None]:
    """Have a defect in this process for a while."""
    with pytest.MonkeyPatch.context() as patch:
        DEFECTS[name].plant(patch, dice)
        yield


# -- outputs ---------------------------------------------------------------------------------------------------------


def _batches(patch: pytest.MonkeyPatch, change: Callable[[BatchResult, Any], None]) -> None:
    """Change what a stage makes of its messages."""
    for stage in (SourceStage, GroupStage):
        real = stage.process

        def process(self: Any, messages: Any, real: Any = real) -> BatchResult:
            batch: BatchResult = real(self, messages)
            change(batch, self._plan)
            return batch

        patch.setattr(stage, "process", process)


def _to(batch: BatchResult, topic: str) -> list[int]:
    return [index for index, message in enumerate(batch.outputs) if message.topic == topic]


@_defect("drops an output", killed, "lost")
def _drops(patch: pytest.MonkeyPatch, dice: random.Random) -> None:
    def change(batch: BatchResult, plan: Any) -> None:
        if (there := _to(batch, plan.output.topic)) and dice.random() < 0.2:
            del batch.outputs[dice.choice(there)]

    _batches(patch, change)


@_defect("sends an output twice", cut_off, "doubled", on=("batch",))
def _doubles(patch: pytest.MonkeyPatch, dice: random.Random) -> None:
    def change(batch: BatchResult, plan: Any) -> None:
        if (there := _to(batch, plan.output.topic)) and dice.random() < 0.2:
            batch.outputs.append(batch.outputs[there[-1]])

    _batches(patch, change)


@_defect("sends an output twice, under another id", killed, "doubled")
def _doubles_anew(patch: pytest.MonkeyPatch, dice: random.Random) -> None:
    def change(batch: BatchResult, plan: Any) -> None:
        if (there := _to(batch, plan.output.topic)) and dice.random() < 0.2:
            again = batch.outputs[there[-1]]
            headers = [
                (name, b"another" + (value or b"") if name == "ce_id" else value) for name, value in again.headers
            ]
            batch.outputs.append(again._replace(headers=headers))

    _batches(patch, change)


@_defect("swaps two updates of a key", killed, "disordered", "misstated")
def _swaps(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    def change(batch: BatchResult, plan: Any) -> None:
        found: dict[bytes | None, int] = {}
        for index in _to(batch, plan.output.topic):
            if (other := found.setdefault(batch.outputs[index].key, index)) != index:
                batch.outputs[other], batch.outputs[index] = batch.outputs[index], batch.outputs[other]
                return

    _batches(patch, change)


@_defect("writes a key's updates to any partition", killed, "disordered")
def _scatters(patch: pytest.MonkeyPatch, dice: random.Random) -> None:
    def change(batch: BatchResult, plan: Any) -> None:
        for index in _to(batch, plan.output.topic):
            if dice.random() < 0.2:
                batch.outputs[index] = batch.outputs[index]._replace(partition=dice.randrange(plan.output.partitions))

    _batches(patch, change)


@_defect("gives other ids when it does a batch again", killed, "doubled", on=("faust",))
def _renames(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    patch.setattr(outputs, "output_id", lambda *_: str(uuid4()))


@_defect("drops what it cannot process", killed, "unaccounted")
def _hides_poison(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    def change(batch: BatchResult, plan: Any) -> None:
        batch.outputs = [each for each in batch.outputs if each.topic != plan.quarantine_topic]

    _batches(patch, change)


@_defect("drops what came too late", killed, "unaccounted")
def _hides_late(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    def change(batch: BatchResult, plan: Any) -> None:
        batch.outputs = [each for each in batch.outputs if each.topic != plan.late_topic]

    _batches(patch, change)


# -- logic -----------------------------------------------------------------------------------------------------------


@_defect("counts what came too late", killed, "unaccounted")
def _counts_late(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    patch.setattr(Watermark, "is_late", lambda *_: False)


@_defect("counts doubles", killed, "doubled", "misstated")
def _counts_doubles(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    real = Deduplication.admit

    def admit(self: Deduplication, item: EventRecord, rows_: StateRows) -> bool:
        return real(self, item, rows_) or True

    patch.setattr(Deduplication, "admit", admit)


@_defect("applies an event twice", killed, "misstated", "lost")
def _applies_twice(patch: pytest.MonkeyPatch, dice: random.Random) -> None:
    real = WindowAggregate.add

    def add(self: WindowAggregate, item: EventRecord, rows_: StateRows) -> list[Emission]:
        if dice.random() < 0.02:
            real(self, item, rows_)
        return real(self, item, rows_)

    patch.setattr(WindowAggregate, "add", add)


# -- order of deliveries, and offsets --------------------------------------------------------------------------------


@_defect("records its place before the outputs", killed, "lost", on=("faust",))
def _early(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    def change(batch: BatchResult, _plan: Any) -> None:
        if batch.checkpoint is not None:
            batch.outputs, batch.rows = [*batch.rows, batch.checkpoint], batch.outputs
            batch.checkpoint = None

    _batches(patch, change)


@_defect("records its place before the rows", killed, "misstated", on=("faust",))
def _place_before_rows(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    def change(batch: BatchResult, _plan: Any) -> None:
        if batch.checkpoint is not None:
            batch.outputs.append(batch.checkpoint)
            batch.checkpoint = None

    _batches(patch, change)
    _unchecked(patch)


@_defect("begins one event too far after a restart", killed, "lost")
def _skips(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    real = SourceStage.process

    def process(self: SourceStage, messages: Sequence[InputMessage]) -> BatchResult:
        after_restart = not hasattr(self, "goes_on")
        self.goes_on = True  # type: ignore[attr-defined]  # the defect's own mark
        return real(self, messages[1:] if after_restart and len(messages) > 1 else messages)

    patch.setattr(SourceStage, "process", process)
    _unchecked(patch)


@_defect("goes on with a partition that it had to let go", moved, "doubled", on=())
def _holds_on(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    patch.setattr(Worker, "revoke", lambda *_: None)


# -- state -----------------------------------------------------------------------------------------------------------


class _Anything(int):
    """Equal to every number."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def _checkpoints(patch: pytest.MonkeyPatch, change: Callable[[Checkpoint], Checkpoint]) -> None:
    real = Checkpoint.read
    patch.setattr(Checkpoint, "read", lambda value: change(real(value)))


def _unchecked(patch: pytest.MonkeyPatch) -> None:
    """Take what a changelog holds for whole."""
    _checkpoints(patch, lambda found: replace(found, rows=_Anything(), checksum=_Anything()))


def _entries(patch: pytest.MonkeyPatch, change: Callable[[Sequence[ChangelogRecord]], list[ChangelogRecord]]) -> None:
    real = StateRows.changes
    patch.setattr(StateRows, "changes", lambda self, stored: change(real(self, stored)))


@_defect("writes no changelog", killed, "miscounted")
def _forgets(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    _entries(patch, lambda _: [])
    _unchecked(patch)


@_defect("forgets a row now and then", killed, "miscounted")
def _forgets_one(patch: pytest.MonkeyPatch, dice: random.Random) -> None:
    _entries(patch, lambda found: [each for each in found if dice.random() > 0.05])
    _unchecked(patch)


@_defect("does not restore", killed, "miscounted")
def _starts_anew(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    real = StateRows.restore
    patch.setattr(StateRows, "restore", lambda entries: (StateRows(), real(entries)[1]))
    _unchecked(patch)


@_defect("restores an older version", killed, "miscounted")
def _goes_back(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    real = changelog.versions

    def versions(entry: ChangelogRecord) -> Iterable[tuple[int, str | None]]:
        found = list(real(entry))
        yield found[0][0], found[-1][1]

    patch.setattr(rows, "versions", versions)
    _unchecked(patch)


@_defect("loses tombstones", killed, "misstated")
def _keeps_the_dead(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    def change(found: Sequence[ChangelogRecord]) -> list[ChangelogRecord]:
        return [each for each in found if each.value is not None and b'"v":null' not in each.value]

    _entries(patch, change)
    _unchecked(patch)


@_defect("forgets how far time has come", killed, "unaccounted")
def _loses_time(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    real = SourceStage.process

    def process(self: SourceStage, messages: Sequence[InputMessage]) -> BatchResult:
        self._clock.at = None
        return real(self, messages)

    patch.setattr(SourceStage, "process", process)


# -- transactions ----------------------------------------------------------------------------------------------------


@_defect("sends outputs outside of the transaction", cut_off, "doubled", on=("batch",))
def _outside(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    real = TransactionalLog.deliver

    def deliver(self: TransactionalLog, messages: Iterable[Message]) -> None:
        listed = list(messages)
        real(self, listed)
        if not listed[0].topic.endswith("changelog"):
            self.commit()

    patch.setattr(TransactionalLog, "deliver", deliver)
    in_kafka = KafkaLog.deliver

    def deliver_to_kafka(self: KafkaLog, messages: Iterable[Message]) -> None:
        listed = list(messages)
        if listed[0].topic.endswith("changelog"):
            in_kafka(self, listed)
        else:
            with Producer(self._kafka, settings=PRODUCER_SETTINGS) as producer:
                producer.deliver(listed)

    patch.setattr(KafkaLog, "deliver", deliver_to_kafka)


@_defect("restores from what was aborted", cut_off, "lost", "misstated", on=("batch",))
def _reads_uncommitted(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    real = TransactionalLog.entries

    def entries(self: TransactionalLog, topic: str, partition: int) -> Iterator[ChangelogRecord]:
        yield from real(self, topic, partition)
        for each in self.undone:
            if (each.topic, each.partition) == (topic, partition):
                yield ChangelogRecord(each.key or b"", each.value)

    patch.setattr(TransactionalLog, "entries", entries)
    settings = {"enable.partition.eof": True, "isolation.level": "read_uncommitted"}
    patch.setattr(kafkalog, "history_reader", lambda kafka: Consumer(kafka, settings=settings))
    _unchecked(patch)


@_defect("does not abort", cut_off, "doubled", "misstated", on=())
def _commits_leftovers(patch: pytest.MonkeyPatch, _: random.Random) -> None:
    patch.setattr(TransactionalLog, "abort", lambda _: None)
