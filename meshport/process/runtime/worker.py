"""The protocol that keeps state, outputs and input offsets consistent through a kill, over an abstract Kafka.

For the current batches, of one or of many partitions, a worker computes; delivers outputs; delivers changed state rows;
delivers checkpoints; only then is the input processed. Each delivery is acknowledged before the next begins. The member that
is assigned a partition next restores the partition's state as of the last checkpoint and continues after it. An engine
supplies a worker with messages and with the assigned partitions.

The member that is assigned an input partition also reads the partition of the same number of the redrive topic. Only a clock
decides when it looks there, and yet the same input has to give the same outputs after a kill. So, where deliveries are not
part of a transaction, the log settles when redriven events are processed, before any of their outputs is written:

- A checkpoint declares that the redriven events up to some offset are `due` after the input offset that the state reflects.
  Once it is acknowledged, the engine confirms that this member still owns the partition, so that its next owner reads it.
- Due events are processed before anything else, also by a member that restores such a checkpoint.
- No events become due before the input has passed the end that it had when the partition was assigned. Up to there a
  predecessor may have written outputs that no checkpoint includes, and the worker is about to write them again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from meshport.errors import KafkaError, TopicRemade
from meshport.event import SchemaSource
from meshport.event.columns import ColumnReader
from meshport.kafka.producer import Message
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.runtime.lateness import LatenessNotice
from meshport.process.runtime.measures import RestoreMeasures
from meshport.process.runtime.restore import refuse_lost_state, restore
from meshport.process.stages.group import GroupStage
from meshport.process.stages.join import JoinStage
from meshport.process.stages.partition import BatchResult, Counts, PartitionStage
from meshport.process.stages.source import SourceStage
from meshport.process.state.changelog import ChangelogRecord
from meshport.process.wire.added_partitions import partitions_added
from meshport.process.wire.contracts import event_readers
from meshport.process.wire.input import InputMessage
from meshport.process.wire.logs import rebuild_hint, recorded_ids, refuse_other_logs, state_topics
from meshport.process.wire.messages import with_bytes
from meshport.process.wire.plan import Plan, StageTopics
from meshport.process.wire.tables import TableRows

_log: Final = logging.getLogger(__name__)
_T = TypeVar("_T")

_LOOK_S: Final = 1.0
_REDRIVE_BATCH: Final = 3000
"""The number of redriven events of one partition that are processed before its input continues."""


class Log(Protocol):
    """The operations of Kafka that a worker needs."""

    def deliver(self, messages: Iterable[Message]) -> Any:
        """Store messages; return once all of them are acknowledged.

        Raises:
            KafkaError: a message was not stored, or the outcome is not known.
        """
        ...

    def entries(self, topic: str, partition: int) -> Iterable[ChangelogRecord]:
        """Return all entries of one partition of a changelog, up to its present end."""
        ...

    def rows(self, topic: str) -> Iterable[InputMessage]:
        """Return the messages of a joined product's topic since the last call, up to its present end."""
        ...

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Return (first offset, end offset) of each partition."""
        ...

    def bounds_now(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Return the same; raise KafkaError rather than wait where a partition has no leader."""
        ...

    def onward(self, topic: str, partition: int, begin: int, *, limit: int) -> Sequence[InputMessage]:
        """Return about `limit` messages of one partition from an offset, or from the first that is retained."""
        ...

    def between(self, topic: str, partition: int, begin: int, end: int) -> Sequence[InputMessage]:
        """Return the messages of one partition from one offset up to, not including, another."""
        ...

    def topic_ids(self, topics: Sequence[str]) -> Mapping[str, str]:
        """Return Kafka's id of each topic that exists; nothing where the cluster gives none."""
        ...

    def committed(self, group: str, topic: str) -> Mapping[int, int]:
        """Return the offsets that a consumer group has committed in a topic, by partition, once they are decided."""
        ...


class Worker:
    """Runs a plan over the assigned partitions.

    Args:
        plan: the plan.
        schemas: where the schemas of events are found.
        log: Kafka.
        columns: reads each input as Arrow columns, by topic; None processes them event by event. See
            `meshport.process.columns.columns_for`.
        look_s: seconds between two looks for redriven events.

    Attributes:
        counts: what became of the events since the worker was made.
        computed_s: how long the stages took for the messages of the last `process`, seconds, without deliveries.
        recorded: when the last message of each assigned partition that was processed was recorded, milliseconds since 1970.
        loaded: the number of changelog entries and rows of joined tables read so far; many may take minutes.
    """

    def __init__(
        self,
        plan: Plan,
        schemas: SchemaSource,
        log: Log,
        columns: Mapping[str, ColumnReader] | None = None,
        *,
        look_s: float = _LOOK_S,
    ) -> None:
        self.plan = plan
        self.counts = Counts()
        self._notice = LatenessNotice(plan)
        self.computed_s = 0.0
        self.recorded: dict[TopicPartition, int] = {}
        self.loaded = 0
        self._log = log
        self._columns = columns or {}
        self._look_s = look_s
        self._next_look = 0.0
        self._redrive_ends: Mapping[int, tuple[int, int]] = {}
        self._ends_at_assignment: dict[TopicPartition, int] = {}
        self._ids: dict[str, str] | None = None
        self._readers = event_readers(plan, schemas)
        self._tables = {
            address: TableRows(binding, self._readers[binding.topic]) for address, binding in plan.tables.items()
        }
        self._restores = RestoreMeasures(plan.output.address)
        self._stages: dict[TopicPartition, PartitionStage] = {}
        self._skipped: set[TopicPartition] = set()

    def assign(self, partition: TopicPartition) -> int:
        """Restore the state of a partition that was assigned to this member.

        Returns:
            The offset from which the partition has to be read.

        Raises:
            StateDamaged: the changelog does not hold the state of its checkpoint.
            ProcessError: the state was made by another pipeline.
            TopicRemade: the state belongs to another log of a topic, or is gone.
            PartitionsAdded: the plan has no such partition.
        """
        began, loaded = time.monotonic(), self.loaded
        topic, number = partition
        own = self._stage_of(topic)
        if number >= own.partitions:
            raise partitions_added(self.plan, topic, number + 1)
        changelog = TopicPartition(own.changelog, number)
        self._log.committed(self.plan.group, topic)  # a paused owner's transaction may change the changelog until then
        state = restore(self.plan, changelog, self._counted(self._log.entries(*changelog)))
        refuse_other_logs(self.plan, own, number, state[1], self._recorded_ids)
        if own is not self.plan.repartition:
            refuse_lost_state(self.plan, own, number, state[1], self._log)
        source = next((each for each in self.plan.sources if each.stage.topic == topic), None)
        if source is None:
            second = GroupStage if self.plan.stream is None else JoinStage
            self._stages[partition] = second(self.plan, number, state, tables=self._tables)
        else:
            self._stages[partition] = SourceStage(
                self.plan,
                source,
                number,
                state,
                reader=self._readers[topic],
                tables=self._tables,
                columns=self._columns.get(topic),
            )
            self._ends_at_assignment[partition] = self._log.bounds(topic)[number][1]
        self._stages[partition].logs = self._recorded_ids
        self._restores.add(self.loaded - loaded, time.monotonic() - began)
        return self._stages[partition].next_offset

    def is_new(self, partition: TopicPartition) -> bool:
        """Return whether nothing of the state of an input's partition is stored yet."""
        stage = self._sources.get(partition)
        return stage is not None and stage.is_new

    def skip_to(self, partition: TopicPartition, offset: int) -> None:
        """Continue a partition from another offset than that of its state; the next `process` stores that offset.

        It is a later one, or that of an earlier line for a state that is new.
        """
        self._stages[partition].skip_to(offset)
        self._skipped.add(partition)

    @property
    def _recorded_ids(self) -> dict[str, str]:
        """What the checkpoints of this run record; asked for once, so that they name the logs that the run began with."""
        if self._ids is None:
            self._ids = recorded_ids(self.plan, self._log.topic_ids(state_topics(self.plan)))
        return self._ids

    def _counted(self, loaded: Iterable[_T]) -> Iterator[_T]:
        for each in loaded:
            self.loaded += 1
            yield each

    def _stage_of(self, topic: str) -> StageTopics:
        return next(stage for stage in self.plan.stages if stage.topic == topic)

    def revoke(self, partition: TopicPartition) -> None:
        """Drop a partition and its state."""
        self._stages.pop(partition, None)
        self.recorded.pop(partition, None)
        self._skipped.discard(partition)

    @property
    def next_offsets(self) -> dict[TopicPartition, int]:
        """The next offset of each assigned partition."""
        return {partition: stage.next_offset for partition, stage in self._stages.items()}

    @property
    def state_sizes(self) -> dict[TopicPartition, tuple[int, int]]:
        """The number of state rows of each assigned partition, and the bytes of their keys and values."""
        return {partition: stage.state_size for partition, stage in self._stages.items()}

    @property
    def redriven_offsets(self) -> dict[TopicPartition, int]:
        """The next offset of each partition of the redrive topic; of two inputs that share one, the lesser offset."""
        found: dict[TopicPartition, int] = {}
        for (_, number), stage in self._sources.items():
            partition = TopicPartition(self.plan.redrive_topic, number)
            found[partition] = min(stage.redriven, found.get(partition, stage.redriven))
        return found

    @property
    def _sources(self) -> dict[TopicPartition, SourceStage]:
        return {partition: stage for partition, stage in self._stages.items() if isinstance(stage, SourceStage)}

    @property
    def watermark(self) -> int | None:
        """The least watermark of the assigned input partitions, microseconds."""
        watermarks = [stage.watermark for stage in self._sources.values() if stage.watermark is not None]
        return min(watermarks) if watermarks else None

    def process(
        self,
        batches: Mapping[TopicPartition, Sequence[InputMessage]],
        confirm_ownership: Callable[[], None] | None = None,
    ) -> Counts:
        """Process messages that follow what each partition's state reflects, and redriven events.

        Args:
            batches: messages by partition.
            confirm_ownership: returns once the cluster has confirmed that the assigned partitions are still this
                member's; None where deliveries are part of a transaction, which the cluster refuses otherwise.

        Returns:
            What became of the events of these batches.

        Raises:
            KafkaError: a delivery failed. Do not use the worker any more: its state is ahead of the log.
        """
        counts = Counts()
        # The join of an event has to see each row that was stored before the event was fetched.
        for address, table in self._tables.items():
            table.add(self._counted(self._log.rows(self.plan.tables[address].topic)))
        self._store_first_checkpoints()
        counts.add(self._redrive({each: stage.due for each, stage in self._sources.items()}))
        skipped, self._skipped = self._skipped, set()
        given: dict[TopicPartition, Sequence[InputMessage]] = {**dict.fromkeys(skipped, ()), **batches}
        stages = [(self._stages[partition], messages) for partition, messages in given.items()]
        began = time.monotonic()
        results = [(stage, stage.process(messages)) for stage, messages in stages]
        self.computed_s = time.monotonic() - began
        counts.add(self._deliver_results(results))
        self.recorded.update({each: messages[-1].timestamp_ms for each, messages in batches.items() if messages})
        if self._redriven_events_wait:
            counts.add(self._redrive_more(confirm_ownership, probe=not batches))
        self.counts.add(counts)
        self._notice.look(self.counts)
        return counts

    def look(self) -> bool:
        """Return whether `process` has something to do even without messages: redriven events, or an offset to store.

        Asks Kafka about once a second. Call it while no transaction is open, since the answer may take long.

        Raises:
            TopicRemade: the redrive topic is not the one that the state was made with.
        """
        began = time.monotonic()
        if began >= self._next_look:
            topic = self.plan.redrive_topic
            try:
                self._redrive_ends = self._log.bounds_now(topic)
            except KafkaError as error:
                self._redrive_ends = {}
                _log.info("not looked for redriven events: %s", error.message, extra={"facts": error.facts})
            for (_, number), stage in self._sources.items():
                if number in self._redrive_ends and stage.redriven > self._redrive_ends[number][1]:
                    raise TopicRemade(
                        f"{topic} [{number}] ends at offset {self._redrive_ends[number][1]}, the state is at "
                        f"{stage.redriven}: the topic was deleted and made again",
                        topic=topic,
                        partition=number,
                        offset=stage.redriven,
                        group=self.plan.group,
                        hint=rebuild_hint(self.plan),
                    )
            # The end offsets of many partitions take long; the look is to cost a twentieth of the time at most.
            took = time.monotonic() - began
            self._next_look = began + took + max(self._look_s, 20 * took if self._look_s else 0)
        return bool(self._skipped) or self._redriven_events_wait

    @property
    def _redriven_events_wait(self) -> bool:
        return any(stage.due > stage.redriven or self._has_more(each, stage) for each, stage in self._sources.items())

    def _has_more(self, partition: TopicPartition, stage: SourceStage) -> bool:
        return stage.redriven < self._redrive_ends.get(partition[1], (0, 0))[1]

    def _store_first_checkpoints(self) -> None:
        """Store a checkpoint of each state that has none yet."""
        new = {each: stage for each, stage in self._sources.items() if stage.is_new}
        if new:
            ends = self._log.bounds(self.plan.redrive_topic)
            self._deliver([stage.begin(ends[number][1]) for (_, number), stage in new.items()])

    def _redrive_more(self, confirm_ownership: Callable[[], None] | None, *, probe: bool) -> Counts:
        """Make more redriven events due, and process them."""
        due: dict[TopicPartition, int] = {}
        for partition, stage in self._sources.items():
            if self._has_more(partition, stage) and self._is_caught_up(partition, stage, probe=probe):
                due[partition] = min(self._redrive_ends[partition[1]][1], stage.redriven + _REDRIVE_BATCH)
        if not due:
            self._redrive_ends = {}  # until the next look
            return Counts()
        self._deliver([self._sources[partition].intend(end) for partition, end in due.items()])
        if confirm_ownership is not None:
            confirm_ownership()
        return self._redrive(due)

    def _is_caught_up(self, partition: TopicPartition, stage: SourceStage, *, probe: bool) -> bool:
        """Return whether the input has passed the end that it had when the partition was assigned."""
        goal, offset = self._ends_at_assignment[partition], stage.next_offset
        # Compaction and transactions leave offsets at the end that no message has; an idle worker has time to ask.
        if offset < goal and probe:
            left = self._log.onward(*partition, offset, limit=1)
            if not left or left[0].offset >= goal:
                self._ends_at_assignment[partition] = offset
        return offset >= self._ends_at_assignment[partition]

    def _redrive(self, due: Mapping[TopicPartition, int]) -> Counts:
        """Process the redriven events of each input partition up to an offset of the redrive topic."""
        topic = self.plan.redrive_topic
        sources = self._sources
        results: list[tuple[PartitionStage, BatchResult]] = []
        for partition, end in due.items():
            if (begin := sources[partition].redriven) < end:
                redriven = self._log.between(topic, partition[1], begin, end)
                messages = [with_bytes(each, self._at) for each in redriven]
                results.append((sources[partition], sources[partition].redrive(messages)))
        return self._deliver_results(results)

    def _at(self, partition: TopicPartition, offset: int) -> InputMessage | None:
        """Return the message of an offset; None where it is not there any more."""
        begin, end = self._log.bounds(partition.topic).get(partition.partition, (0, 0))
        if not begin <= offset < end:
            return None
        return next(iter(self._log.between(*partition, offset, offset + 1)), None)

    def _deliver_results(self, results: Sequence[tuple[PartitionStage, BatchResult]]) -> Counts:
        self._deliver([message for _, result in results for message in result.outputs])
        self._deliver([message for _, result in results for message in result.rows])
        self._deliver([result.checkpoint for _, result in results if result.checkpoint is not None])
        counts = Counts()
        for stage, result in results:
            stage.mark_stored()
            counts.add(result.counts)
        return counts

    def _deliver(self, messages: list[Message]) -> None:
        if messages:
            self._log.deliver(messages)
