"""A processor that is advanced to exact input offsets, alone: without a consumer group, and never beyond the offsets.

The engines run for as long as there is input, and stop at whatever offsets they have reached. A rebuild replaces one
generation by another at input offsets that both have reached, so both are advanced to them: their topics then hold the
outputs of the same events. Each step is a transaction as in the batch engine, under a transactional id of its own, so that an
earlier run that comes back is fenced off. No engine may run the plan meanwhile.

The state is kept from one call to the next: restoring it takes as long as its changelog is, while the last few hundred
events before an offset take a tenth of a second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Self

from meshport.errors import TransactionAborted
from meshport.event import SchemaSource
from meshport.kafka.admin import Admin
from meshport.kafka.consumer import Consumer
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports.earlier_lines import EarlierLine
from meshport.ports.scan import history_reader
from meshport.process.runtime.gc_tuning import infrequent_gc
from meshport.process.runtime.input_reader import InputReader
from meshport.process.runtime.kafka_log import CachedEntries
from meshport.process.runtime.line_log import LineLog
from meshport.process.runtime.log_watch import present_plan
from meshport.process.runtime.own_topics import ensure_topics
from meshport.process.runtime.transactional import TransactionalWorker
from meshport.process.stages.partition import Counts
from meshport.process.wire.input import PartitionMessages
from meshport.process.wire.plan import Plan, StageTopics

_log: Final = logging.getLogger(__name__)

_NONE: Final[Mapping[str, Sequence[EarlierLine]]] = MappingProxyType({})
_ID_SUFFIX: Final = "rebuild"
_TRIES: Final = 5
# The larger a batch, the fewer rows go to the changelog; it takes far less than a transaction's timeout of 10 s.
_MOST: Final = 10_000
# The cost of a product's own functions is not known at first. A repartition message holds up to a few thousand records.
_FIRST: Final = 100
_FIRST_REKEYED: Final = 2
_AIM_S: Final = 1.0

OnRead = Callable[[int, int], None]
"""Called with (offsets read, offsets in all)."""


class BoundedProcessor:
    """A processor that is advanced to given input offsets, again and again. Use it as a context manager.

    Args:
        plan: what to run; nothing else may run it meanwhile.
        schemas: where the schemas of events are found, such as a registry.
        on_progress: called with (offsets read, offsets in all) of the stage that is being read.
        cached: entries of changelogs that were read already; see `KafkaLog`.
        earlier: by topic of an input, the earlier lines of its port, oldest first. A state that is new begins with them.

    Raises:
        PartitionsAdded: an input has more partitions than its binding, and the logic cannot take them up.
        KafkaError: the cluster did not answer.
    """

    def __init__(
        self,
        plan: Plan,
        schemas: SchemaSource,
        *,
        on_progress: OnRead | None = None,
        cached: CachedEntries | None = None,
        earlier: Mapping[str, Sequence[EarlierLine]] = _NONE,
    ) -> None:
        self._earlier = earlier
        self.plan = plan = present_plan(plan)
        self._on_progress = on_progress
        ensure_topics(plan, Admin(plan.kafka))
        self._transactional = TransactionalWorker(
            plan, schemas, f"{plan.group}.{_ID_SUFFIX}", plan.reads, cached=cached
        )
        self._transactional.transactions.start()
        self._readers: dict[str, InputReader] = {}
        self._limit = 0

    @property
    def next_offsets(self) -> dict[TopicPartition, int]:
        """The next offset of each partition of the inputs; restores the state where that has not been done yet.

        Raises:
            ProcessError: as `advance_to`.
        """
        for stage in input_stages(self.plan):
            self._reader_of(stage)
        topics = {stage.topic for stage in input_stages(self.plan)}
        offsets = self._transactional.worker.next_offsets
        return {partition: offset for partition, offset in offsets.items() if partition[0] in topics}

    def advance_to(self, ends: Mapping[TopicPartition, int]) -> Counts:
        """Process the inputs up to given offsets, through all stages.

        Args:
            ends: by partition of the inputs, the first offset that is not to be processed. A partition that is beyond it
                stays where it is.

        Returns:
            What became of the events.

        Raises:
            ProcessError: the state is damaged, or was made by another pipeline.
            HistoryMissing: input that was not processed is removed from the log, and the plan does not allow it.
            KafkaError: the cluster did not store what was sent. Nothing is lost; make a new processor.
        """
        return self._retried(lambda counts: self._run(input_stages(self.plan), ends, counts))

    def drain_repartition_topic(self) -> Counts:
        """Process what waits in the repartition topic, and no input; the state of the first stage is not restored.

        Raises:
            ProcessError, KafkaError: as `advance_to`.
        """
        return self._retried(lambda counts: self._run((), {}, counts))

    def _retried(self, run: Callable[[Counts], None]) -> Counts:
        counts = Counts()
        for left in reversed(range(_TRIES)):
            try:
                with infrequent_gc():
                    run(counts)
                break
            except TransactionAborted as error:
                if not left:
                    self._transactional.commits.abort()
                    raise
                _log.warning("%s; it is done again", error.message, extra={"facts": error.facts})
                self._close_readers()
                self._transactional.recover(error)
        return counts

    def _run(self, inputs: Sequence[StageTopics], ends: Mapping[TopicPartition, int], counts: Counts) -> None:
        for stage in inputs:
            self._process(
                stage, {partition: end for (topic, partition), end in ends.items() if topic == stage.topic}, counts
            )
        while inputs and self._transactional.worker.look():
            self._step({}, counts)  # redriven events
        self._transactional.commits.settle()
        if (second := self.plan.repartition) is not None:
            # What the first stage has committed can be read once the markers are written.
            rekeyed = {number: end for number, (_, end) in self._transactional.log.decided(second.topic).items()}
            self._process(second, rekeyed, counts)
            self._transactional.commits.settle()

    def _process(self, stage: StageTopics, ends: Mapping[int, int], counts: Counts) -> None:
        self._limit = _FIRST_REKEYED if stage is self.plan.repartition else _FIRST
        for messages in self._reader_of(stage).read_until(ends, lambda: self._limit, self._on_progress):
            self._step(PartitionMessages.by_partition(messages), counts)
            took = max(self._transactional.worker.computed_s, 0.001)
            self._limit = max(1, min(_MOST, 4 * self._limit, int(len(messages) * _AIM_S / took)))
        self._leave_earlier_lines(stage, ends)

    def _leave_earlier_lines(self, stage: StageTopics, ends: Mapping[int, int]) -> None:
        """Store that earlier lines are read whose last offsets have no event that counts."""
        offsets = self._transactional.worker.next_offsets
        behind = [each for each in (TopicPartition(stage.topic, number) for number in ends) if offsets.get(each, 0) < 0]
        for each in behind:
            self._transactional.worker.skip_to(each, 0)
        if behind:
            self._step({}, Counts())

    def _reader_of(self, stage: StageTopics) -> InputReader:
        """Return the reader of a stage's topic; the first call restores the state of the stage."""
        if stage.topic not in self._readers:
            log, plan = None, self.plan
            source = next((each.binding for each in plan.sources if each.stage is stage), None)
            if source is not None and stage.topic in self._earlier:
                log = LineLog(plan.kafka, source, plan.reads, self._earlier[stage.topic], plan.missing)
            begins = {
                number: self._begin(TopicPartition(stage.topic, number), log) for number in range(stage.partitions)
            }
            read = log or history_reader(plan.kafka, plan.reads)
            self._readers[stage.topic] = InputReader(read, stage.topic, begins)
        return self._readers[stage.topic]

    def _begin(self, partition: TopicPartition, log: LineLog | None) -> int:
        """Restore the state of a partition, and return the offset to read from; a new state begins with earlier lines."""
        begin = self._transactional.assign(partition)
        if log is not None and self._transactional.worker.is_new(partition):
            begin = log.first(partition.partition)
            self._transactional.worker.skip_to(partition, begin)
        return begin

    def _step(self, batches: Mapping[TopicPartition, PartitionMessages], counts: Counts) -> None:
        made = self._transactional.worker.process(batches)
        self._transactional.commits.commit({}, b"", lambda: counts.add(made))

    def commit_offsets(self) -> None:
        """Commit the input offsets to the processor's consumer group, which has no members, for tools that report lag.

        Raises:
            KafkaError: they were not committed.
        """
        for stage in input_stages(self.plan):
            offsets = {number: offset for (topic, number), offset in self.next_offsets.items() if topic == stage.topic}
            with Consumer(self.plan.kafka, group=self.plan.group) as group:
                group.commit(stage.topic, offsets)

    def _close_readers(self) -> None:
        for each in self._readers.values():
            each.close()
        self._readers.clear()

    def close(self) -> None:
        """Abort an open transaction, and close the connections."""
        self._transactional.commits.close()
        self._close_readers()
        self._transactional.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def input_stages(plan: Plan) -> tuple[StageTopics, ...]:
    """Return the stages that read the plan's inputs, as opposed to the repartition topic."""
    return tuple(each.stage for each in plan.sources)
