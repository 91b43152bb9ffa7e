"""Bringing a processor to exactly one place of its input after another, alone: no group, no member, nothing beyond the place.

The engines run on as long as there is input; where they are when they are told to stop is nobody's choice. A generation
is replaced by another at one place that both have reached, so both are brought there: what their topics hold then are
the outputs of the same events. Each step is a transaction like the batch engine's, under a name of its own, so that one
who was here before and comes back is fenced off. No engine may run the plan meanwhile.

The state is kept from place to place: to restore it takes as long as its changelog is, while the last few hundred events
before a place take a tenth of a second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Self

from meshport.errors import TransactionAborted
from meshport.event import SchemaSource
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import Transactions
from meshport.process.columns import columns_for
from meshport.process.runtime.commit_pipeline import CommitPipeline
from meshport.process.runtime.gc_tuning import infrequent_gc
from meshport.process.runtime.input_reader import InputReader
from meshport.process.runtime.kafka_log import PRODUCER_SETTINGS, KafkaLog, Sink, ensure_topics, starting_offset
from meshport.process.runtime.worker import Worker
from meshport.process.stages.partition import Counts
from meshport.process.state.changelog import ChangelogRecord
from meshport.process.wire.input import PartitionMessages
from meshport.process.wire.plan import Plan, StageTopics

_log: Final = logging.getLogger(__name__)

_NAME: Final = "rebuild"
_TRIES: Final = 5
# The larger a batch, the fewer rows go to the changelog; a transaction has ten seconds, of which this is far from.
_MOST: Final = 10_000
# Nothing is known of a product's functions at first. A message between the stages holds up to some thousand records.
_FIRST: Final = 100
_FIRST_GATHERED: Final = 2
_AIM_S: Final = 1.0

Told = Callable[[int, int], None]
Known = Callable[[str, int], Iterable[ChangelogRecord] | None]


class BoundedProcessor:
    """A processor that is brought from place to place; to be used as a context.

    Args:
        plan: the processor; nobody else may run it meanwhile.
        schemas: where the schemas of events are found, a registry.
        on_progress: called with (offsets read, offsets in all) of the stage at work.
        known: gives the entries of a partition, (topic, partition), of a changelog that was read already; None of others.

    Raises:
        KafkaError: the cluster did not answer.
    """

    def __init__(
        self, plan: Plan, schemas: SchemaSource, *, on_progress: Told | None = None, known: Known | None = None
    ) -> None:
        self.plan = plan
        self._schemas = schemas
        self._on_progress = on_progress
        ensure_topics(plan, Admin(plan.kafka))
        self._columns = columns_for(plan, schemas)
        transactions = Transactions(plan.kafka, f"{plan.group}.{_NAME}", settings=PRODUCER_SETTINGS)
        transactions.start()
        self._committing = CommitPipeline(transactions)
        self._log = _Log(plan.kafka, self._committing, known)
        self._worker = Worker(plan, schemas, self._log, self._columns)
        self._inflows: dict[str, InputReader] = {}
        self._limit = 0

    @property
    def places(self) -> dict[TopicPartition, int]:
        """The first offset of each partition of the input that was not processed; its state is restored for it.

        Raises:
            ProcessError: as of `to`.
        """
        for stage in inputs_of(self.plan):
            self._taken_up(stage)
        topics = {stage.topic for stage in inputs_of(self.plan)}
        return {place: offset for place, offset in self._worker.places.items() if place[0] in topics}

    def to(self, until: Mapping[TopicPartition, int]) -> Counts:
        """Process the input up to given offsets, through all stages, from where the state stands.

        Args:
            until: by partition of the input, the first offset that is not to be processed. Partitions beyond it stay there.

        Returns:
            What became of the events.

        Raises:
            ProcessError: the state is damaged, or was made by another pipeline, or events were lost to retention.
            KafkaError: the cluster did not store what was to be stored; nothing is lost, begin again.
        """
        return self._tried(lambda counts: self._run(inputs_of(self.plan), until, counts))

    def gather(self) -> Counts:
        """Process what waits between the stages, and no input; the state of the stages before is not looked at.

        Raises:
            ProcessError, KafkaError: as of `to`.
        """
        return self._tried(lambda counts: self._run((), {}, counts))

    def _tried(self, run: Callable[[Counts], None]) -> Counts:
        counts = Counts()
        for left in reversed(range(_TRIES)):
            try:
                with infrequent_gc():
                    run(counts)
                break
            except TransactionAborted as error:
                self._committing.abort()
                if not left:
                    raise
                _log.warning("%s; it is done again", error.message)
                self._renew()
        return counts

    def _renew(self) -> None:
        """Give up the state, which is ahead of the log."""
        self._release()
        self._log = _Log(self.plan.kafka, self._committing)
        self._worker = Worker(self.plan, self._schemas, self._log, self._columns)

    def _run(self, inputs: Sequence[StageTopics], until: Mapping[TopicPartition, int], counts: Counts) -> None:
        for stage in inputs:
            self._process(
                stage, {partition: end for (topic, partition), end in until.items() if topic == stage.topic}, counts
            )
        while inputs and self._worker.look():
            self._step({}, counts)  # quarantined events that are brought back
        self._committing.settle()
        if (behind := self.plan.repartition) is not None:
            # What the stage before has committed can be read once its markers are written.
            ends = {partition: end for partition, (_, end) in self._log.decided(behind.topic).items()}
            self._process(behind, ends, counts)
            self._committing.settle()

    def _process(self, stage: StageTopics, ends: Mapping[int, int], counts: Counts) -> None:
        self._limit = _FIRST_GATHERED if stage is self.plan.repartition else _FIRST
        for messages in self._taken_up(stage).up_to(ends, lambda: self._limit, self._on_progress):
            self._step(PartitionMessages.by_partition(messages), counts)
            took = max(self._worker.computed_s, 0.001)
            self._limit = max(1, min(_MOST, 4 * self._limit, int(len(messages) * _AIM_S / took)))

    def _taken_up(self, stage: StageTopics) -> InputReader:
        if stage.topic not in self._inflows:
            begins = {}
            for partition in range(stage.partitions):
                place = TopicPartition(stage.topic, partition)
                begins[partition] = starting_offset(place, self._worker.assign(place), self._log)
            self._inflows[stage.topic] = InputReader(self.plan.kafka, stage.topic, begins)
        return self._inflows[stage.topic]

    def _step(self, batches: Mapping[TopicPartition, PartitionMessages], counts: Counts) -> None:
        made = self._worker.process(batches)
        self._committing.commit({}, b"", lambda: counts.add(made))

    def commit_offsets(self) -> None:
        """Record the places as those of the processor's group, which nobody is in: for who asks how far it has come.

        Raises:
            KafkaError: they were not recorded.
        """
        for stage in inputs_of(self.plan):
            places = {partition: offset for (topic, partition), offset in self.places.items() if topic == stage.topic}
            with Consumer(self.plan.kafka, group=self.plan.group) as group:
                group.commit(stage.topic, places)

    def _release(self) -> None:
        for each in self._inflows.values():
            each.close()
        self._inflows.clear()
        self._log.close()

    def close(self) -> None:
        """Undo what is open, let go of the state and of the connections."""
        self._committing.close()
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Log(KafkaLog):
    """A log of which some changelogs are known."""

    def __init__(self, kafka: KafkaConfig, sink: Sink, known: Known | None = None) -> None:
        super().__init__(kafka, sink)
        self._known = known

    def entries(self, topic: str, partition: int) -> Iterator[ChangelogRecord]:
        """As of `KafkaLog`."""
        known = None if self._known is None else self._known(topic, partition)
        return super().entries(topic, partition) if known is None else iter(known)


def inputs_of(plan: Plan) -> tuple[StageTopics, ...]:
    """The stages that read the inputs, as opposed to what the stage before has written."""
    return tuple(each.stage for each in plan.sources)
