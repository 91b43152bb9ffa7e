"""The protocol that makes a kill harmless, over whatever stands for Kafka.

For the batches in hand, of one or of many partitions: compute; deliver outputs; deliver changed rows; deliver
checkpoints; only then is the input done with. Each delivery is acknowledged before the next begins. Whoever takes a
partition up restores its rows as of the last checkpoint and goes on behind it.

An engine is a way of reading: it gives a worker messages, and tells it which partitions are its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from meshport.event import EventReader, SchemaSource
from meshport.event.columns import ColumnReader
from meshport.kafka.producer import Message
from meshport.process.messages import Inbound
from meshport.process.plan import Plan, Stage
from meshport.process.rows import Entry, Rows
from meshport.process.stages import Batch, Counts, GroupStage, PartitionStage, SourceStage
from meshport.process.tables import Table

Place = tuple[str, int]
"""(topic, partition)."""


class Log(Protocol):
    """What a worker asks of Kafka."""

    def deliver(self, messages: Iterable[Message]) -> Any:
        """Store messages; returns once all of them are acknowledged.

        Raises:
            KafkaError: one is not, or it is not known.
        """
        ...

    def entries(self, topic: str, partition: int) -> Iterable[Entry]:
        """All of one partition of a changelog, up to the end that it has now."""
        ...

    def rows(self, topic: str) -> Iterable[Inbound]:
        """What a joined product's topic holds beyond the last call, up to the end that it has now."""
        ...


class Worker:
    """Runs a plan over the partitions that it is given.

    Args:
        plan: the plan.
        schemas: where the schemas of events are found.
        log: Kafka.
        columns: reads the input by columns; None works on it event by event. See `meshport.process.columns.columns_for`.
    """

    def __init__(self, plan: Plan, schemas: SchemaSource, log: Log, columns: ColumnReader | None = None) -> None:
        self.plan = plan
        self._columns = columns
        self.counts = Counts()
        self._log = log
        self._reader = EventReader(schemas)
        self._tables = {address: Table(binding, self._reader) for address, binding in plan.tables.items()}
        self._stages: dict[Place, PartitionStage] = {}

    def assign(self, place: Place) -> int:
        """Take a partition up.

        Returns:
            The offset from which it has to be read.

        Raises:
            ProcessError: its state is damaged, or was made by another pipeline.
        """
        topic, partition = place
        index = [stage.topic for stage in self.plan.stages].index(topic)
        stage = self.plan.stages[index]
        state = Rows.restore(self._log.entries(stage.changelog, partition))
        self._stages[place] = (
            GroupStage(self.plan, partition, state, tables=self._tables)
            if index
            else SourceStage(
                self.plan, partition, state, reader=self._reader, tables=self._tables, columns=self._columns
            )
        )
        return self._stages[place].next_offset

    def revoke(self, place: Place) -> None:
        """Let a partition go, and its state with it; another may have it from now on."""
        self._stages.pop(place, None)

    @property
    def places(self) -> dict[Place, int]:
        """The next offset of each partition that is in hand."""
        return {place: stage.next_offset for place, stage in self._stages.items()}

    @property
    def watermark(self) -> int | None:
        """The least watermark of the input partitions in hand, microseconds."""
        known = [stage.watermark for (topic, _), stage in self._stages.items() if topic == self.plan.source.topic]
        told = [each for each in known if each is not None]
        return min(told) if told else None

    def stage(self, place: Place) -> Stage:
        """The stage that reads a topic."""
        return next(stage for stage in self.plan.stages if stage.topic == place[0])

    def process(self, batches: Mapping[Place, Sequence[Inbound]]) -> Counts:
        """Run the protocol over messages that follow what each partition has seen.

        Returns:
            The figures of these batches.

        Raises:
            KafkaError: a delivery failed; the worker is not to be used any more, its state is ahead of the log.
        """
        # A row that was stored before an event was fetched has to be seen by that event's join.
        for address, table in self._tables.items():
            table.take(self._log.rows(self.plan.tables[address].topic))
        made: list[tuple[PartitionStage, Batch]] = []
        counts = Counts()
        for place, messages in batches.items():
            stage = self._stages[place]
            batch = stage.process(messages)
            made.append((stage, batch))
            counts.add(batch.counts)
        self._deliver([message for _, batch in made for message in batch.outputs])
        self._deliver([message for _, batch in made for message in batch.rows])
        self._deliver([batch.checkpoint for _, batch in made if batch.checkpoint is not None])
        for stage, _ in made:
            stage.settle()
        self.counts.add(counts)
        return counts

    def _deliver(self, messages: list[Message]) -> None:
        if messages:
            self._log.deliver(messages)
