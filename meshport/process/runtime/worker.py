"""The protocol that makes a kill harmless, over whatever stands for Kafka.

For the batches in hand, of one or of many partitions: compute; deliver outputs; deliver changed rows; deliver
checkpoints; only then is the input done with. Each delivery is acknowledged before the next begins. Whoever takes a
partition up restores its rows as of the last checkpoint and goes on behind it.

An engine is a way of reading: it gives a worker messages, and tells it which partitions are its own.

Whoever holds a partition of an input also reads the same partition of the redrive topic. Nothing but a clock decides when
it looks there, and yet the same input has to give the same outputs after a kill. So, where the log is no transaction,
when redriven events are taken in is settled by the log before any of their outputs is there:

- A checkpoint says that the events up to some offset are `due` behind the input offset at which the state stands. It is
  acknowledged, and then the engine proves that this member still has the partition: whoever takes it up later reads it.
- Due events are taken in before anything else, by whoever restores such a checkpoint too.
- No events are made due before the input is behind the end that it had when the partition was taken up. A predecessor
  may have written outputs up to there that no checkpoint includes, and they are about to be made again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from meshport.errors import KafkaError, ProcessError
from meshport.event import EventReader, SchemaSource
from meshport.event.columns import ColumnReader
from meshport.kafka.producer import Message
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.stages.group import GroupStage
from meshport.process.stages.join import JoinStage
from meshport.process.stages.partition import BatchResult, Counts, PartitionStage
from meshport.process.stages.source import SourceStage
from meshport.process.state.changelog import ChangelogRecord
from meshport.process.state.rows import StateRows
from meshport.process.wire.input import InputMessage
from meshport.process.wire.plan import Plan, StageTopics
from meshport.process.wire.tables import Table

_log: Final = logging.getLogger(__name__)
_T = TypeVar("_T")

_LOOK_S: Final = 1.0
_AT_ONCE: Final = 3000
"""Redriven events that one partition takes in before its input goes on."""


class Log(Protocol):
    """What a worker asks of Kafka."""

    def deliver(self, messages: Iterable[Message]) -> Any:
        """Store messages; returns once all of them are acknowledged.

        Raises:
            KafkaError: one is not, or it is not known.
        """
        ...

    def entries(self, topic: str, partition: int) -> Iterable[ChangelogRecord]:
        """All of one partition of a changelog, up to the end that it has now."""
        ...

    def rows(self, topic: str) -> Iterable[InputMessage]:
        """What a joined product's topic holds beyond the last call, up to the end that it has now."""
        ...

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """(first offset, end offset) of each partition, as committed readers see it."""
        ...

    def onward(self, topic: str, partition: int, begin: int, *, limit: int) -> Sequence[InputMessage]:
        """The messages of one partition from an offset, or from the first that is left, up to about `limit` of them."""
        ...

    def between(self, topic: str, partition: int, begin: int, end: int) -> Sequence[InputMessage]:
        """The messages of one partition from an offset up to, not including, another, as they are now."""
        ...


class Worker:
    """Runs a plan over the partitions that it is given.

    Args:
        plan: the plan.
        schemas: where the schemas of events are found.
        log: Kafka.
        columns: reads the input by columns; None works on it event by event. See `meshport.process.columns.columns_for`.
        look_s: how often it looks for redriven events, seconds.
    """

    def __init__(
        self,
        plan: Plan,
        schemas: SchemaSource,
        log: Log,
        columns: ColumnReader | None = None,
        *,
        look_s: float = _LOOK_S,
    ) -> None:
        self.plan = plan
        self._look_s = look_s
        self._next_look = 0.0
        self._ends: Mapping[int, tuple[int, int]] = {}
        self._goals: dict[TopicPartition, int] = {}
        self._columns = columns
        self.counts = Counts()
        self.computed_s = 0.0
        """How long the stages took for the messages of the last call of `process`, seconds; deliveries do not count."""
        self.loaded = 0
        """Entries of changelogs and rows of joined tables that were read; many may take minutes."""
        self._log = log
        self._reader = EventReader(schemas)
        self._tables = {address: Table(binding, self._reader) for address, binding in plan.tables.items()}
        self._stages: dict[TopicPartition, PartitionStage] = {}

    def assign(self, place: TopicPartition) -> int:
        """Take a partition up.

        Returns:
            The offset from which it has to be read.

        Raises:
            ProcessError: its state is damaged, or was made by another pipeline.
        """
        topic, partition = place
        state = StateRows.restore(self._counted(self._log.entries(self.stage(place).changelog, partition)))
        source = next((each for each in self.plan.sources if each.stage.topic == topic), None)
        if source is None:
            second = GroupStage if self.plan.stream is None else JoinStage
            self._stages[place] = second(self.plan, partition, state, tables=self._tables)
        else:
            self._stages[place] = SourceStage(
                self.plan, source, partition, state, reader=self._reader, tables=self._tables, columns=self._columns
            )
            self._goals[place] = self._log.bounds(topic)[partition][1]
        return self._stages[place].next_offset

    def _counted(self, loaded: Iterable[_T]) -> Iterator[_T]:
        for each in loaded:
            self.loaded += 1
            yield each

    def revoke(self, place: TopicPartition) -> None:
        """Let a partition go, and its state with it; another may have it from now on."""
        self._stages.pop(place, None)

    @property
    def places(self) -> dict[TopicPartition, int]:
        """The next offset of each partition that is in hand."""
        return {place: stage.next_offset for place, stage in self._stages.items()}

    @property
    def redriven(self) -> dict[TopicPartition, int]:
        """The next offset of each partition of the redrive topic, by the input in hand that is furthest behind in it."""
        found: dict[TopicPartition, int] = {}
        for (_, partition), stage in self._sources.items():
            place = TopicPartition(self.plan.redrive_topic, partition)
            found[place] = min(stage.redriven, found.get(place, stage.redriven))
        return found

    @property
    def _sources(self) -> dict[TopicPartition, SourceStage]:
        return {place: stage for place, stage in self._stages.items() if isinstance(stage, SourceStage)}

    @property
    def watermark(self) -> int | None:
        """The least watermark of the input partitions in hand, microseconds."""
        told = [stage.watermark for stage in self._sources.values() if stage.watermark is not None]
        return min(told) if told else None

    def stage(self, place: TopicPartition) -> StageTopics:
        """The stage that reads a topic."""
        return next(stage for stage in self.plan.stages if stage.topic == place[0])

    def process(
        self, batches: Mapping[TopicPartition, Sequence[InputMessage]], prove: Callable[[], None] | None = None
    ) -> Counts:
        """Run the protocol over messages that follow what each partition has seen, and over redriven events.

        Args:
            batches: messages of each partition.
            prove: returns once the cluster has confirmed that the partitions in hand are this member's; None where what
                is delivered counts for nothing if they are not.

        Returns:
            The figures of these batches.

        Raises:
            KafkaError: a delivery failed; the worker is not to be used any more, its state is ahead of the log.
        """
        counts = Counts()
        # A row that was stored before an event was fetched has to be seen by that event's join.
        for address, table in self._tables.items():
            table.take(self._counted(self._log.rows(self.plan.tables[address].topic)))
        self._begin()
        counts.add(self._redrive({each: stage.due for each, stage in self._sources.items()}))
        stages = [(self._stages[place], messages) for place, messages in batches.items()]
        began = time.monotonic()
        made = [(stage, stage.process(messages)) for stage, messages in stages]
        self.computed_s = time.monotonic() - began
        counts.add(self._run(made))
        if self._waits:
            counts.add(self._redrive_more(prove, probe=not batches))
        self.counts.add(counts)
        return counts

    def look(self) -> bool:
        """Whether redriven events wait, so that `process` has something to do even without messages.

        It asks Kafka about once a second. To be called while no transaction is open, since an answer may take long.

        Raises:
            ProcessError: the redrive topic is not the one that the state was made with.
        """
        began = time.monotonic()
        if began >= self._next_look:
            topic = self.plan.redrive_topic
            try:
                self._ends = self._log.bounds(topic)
            except KafkaError as error:
                self._ends = {}
                _log.info("not looked for redriven events: %s", error.message)
            for (_, partition), stage in self._sources.items():
                if partition in self._ends and stage.redriven > self._ends[partition][1]:
                    raise ProcessError(
                        f"{topic} [{partition}] ends at offset {self._ends[partition][1]}, the state stands at "
                        f"{stage.redriven}: the topic was made anew",
                        hint="delete the processor's changelog topics as well, to count from the beginning",
                    )
            # Many partitions take long to ask after; it is to cost a twentieth of the time at most.
            took = time.monotonic() - began
            self._next_look = began + took + max(self._look_s, 20 * took if self._look_s else 0)
        return self._waits

    @property
    def _waits(self) -> bool:
        return any(stage.due > stage.redriven or self._more(place, stage) for place, stage in self._sources.items())

    def _more(self, place: TopicPartition, stage: SourceStage) -> bool:
        return stage.redriven < self._ends.get(place[1], (0, 0))[1]

    def _begin(self) -> None:
        """Store the first checkpoint of each state that has none."""
        new = {each: stage for each, stage in self._sources.items() if stage.is_new}
        if new:
            ends = self._log.bounds(self.plan.redrive_topic)
            self._deliver([stage.begin(ends[partition][1]) for (_, partition), stage in new.items()])

    def _redrive_more(self, prove: Callable[[], None] | None, *, probe: bool) -> Counts:
        """Make some more of what waits due, and take it in."""
        due: dict[TopicPartition, int] = {}
        for place, stage in self._sources.items():
            if self._more(place, stage) and self._is_caught_up(place, stage, probe=probe):
                due[place] = min(self._ends[place[1]][1], stage.redriven + _AT_ONCE)
        if not due:
            self._ends = {}  # until the next look
            return Counts()
        self._deliver([self._sources[place].intend(end) for place, end in due.items()])
        if prove is not None:
            prove()
        return self._redrive(due)

    def _is_caught_up(self, place: TopicPartition, stage: SourceStage, *, probe: bool) -> bool:
        """Whether the input is behind the end that it had when the partition was taken up."""
        goal, offset = self._goals[place], stage.next_offset
        # Compaction and transactions leave offsets at the end that no message has; whoever is idle has time to ask.
        if offset < goal and probe:
            left = self._log.onward(*place, offset, limit=1)
            if not left or left[0].offset >= goal:
                self._goals[place] = offset
        return offset >= self._goals[place]

    def _redrive(self, due: Mapping[TopicPartition, int]) -> Counts:
        """Take in what is due, by partition of the input."""
        topic = self.plan.redrive_topic
        sources = self._sources
        made: list[tuple[PartitionStage, BatchResult]] = []
        for place, end in due.items():
            if (begin := sources[place].redriven) < end:
                messages = self._log.between(topic, place[1], begin, end)
                made.append((sources[place], sources[place].redrive(messages)))
        return self._run(made)

    def _run(self, made: Sequence[tuple[PartitionStage, BatchResult]]) -> Counts:
        self._deliver([message for _, batch in made for message in batch.outputs])
        self._deliver([message for _, batch in made for message in batch.rows])
        self._deliver([batch.checkpoint for _, batch in made if batch.checkpoint is not None])
        counts = Counts()
        for stage, batch in made:
            stage.settle()
            counts.add(batch.counts)
        return counts

    def _deliver(self, messages: list[Message]) -> None:
        if messages:
            self._log.deliver(messages)
