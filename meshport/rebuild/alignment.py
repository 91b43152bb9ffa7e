"""Alignment of two generations: both are brought to the same input offsets, where they hold outputs of the same events.

The offsets are those of the old generation. The old generation is advanced only as far as it has to be: where the new one is
beyond it already, or where the old processor stopped with records in its repartition topic. Where its state is damaged it
cannot be advanced at all, and the new one is brought to the offsets that its outputs reflect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType

from meshport.binding import Continuation
from meshport.errors import ProcessError, StateDamaged
from meshport.event import SchemaSource
from meshport.kafka.admin import Admin
from meshport.kafka.groups import ClusterGroups
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.engines.bounded import BoundedProcessor, input_stages
from meshport.process.logic.operators import Apply
from meshport.process.runtime.checkpoints import latest_checkpoints, readable_ends
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.restore import restore
from meshport.process.state.changelog import ChangelogRecord, Checkpoint
from meshport.process.state.function_state import states_for
from meshport.process.wire.plan import Plan
from meshport.rebuild.changelog_cache import ChangelogCache
from meshport.rebuild.input_offsets import FixedOffsets, begins_of, input_offsets, is_short_of, switched


@dataclass(frozen=True, slots=True)
class Alignment:
    """The output offsets of both generations at one set of input offsets.

    Attributes:
        ends: by partition of the old topic, the offset after the last event that can be read.
        begins: by partition of the new topic, the offset that the next event will have.
        written: the end of each partition that the old processor writes to, at the time of the alignment.
    """

    ends: Mapping[int, int]
    begins: Mapping[int, int]
    written: Mapping[TopicPartition, int]


class GenerationAligner:
    """Brings two generations to the same input offsets, again and again.

    Args:
        old: builds the old generation.
        new: builds the new generation; nothing else does.
        schemas: where the schemas of events are found, such as a registry.
        continues: by topic of the new generation's inputs, where it continues the topic that the old one reads; empty where
            both read the same topics.
        fixed: the input offsets that the old generation's outputs reflect, where it cannot be advanced; see
            `meshport.rebuild.input_offsets`.
        on_progress: called with (offsets read, offsets in all).
    """

    def __init__(
        self,
        old: Plan,
        new: BoundedProcessor,
        schemas: SchemaSource,
        continues: Mapping[str, Continuation] = MappingProxyType({}),
        *,
        fixed: FixedOffsets | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._old = old
        self._new = new
        self._schemas = schemas
        self._continues = continues
        self._fixed = fixed
        self._on_progress = on_progress
        self._cache: ChangelogCache | None = None

    def close(self) -> None:
        """Close the connections."""
        if self._cache is not None:
            self._cache.close()

    @property
    def new(self) -> Plan:
        """The plan of the new generation."""
        return self._new.plan

    def follow(self) -> None:
        """Advance the new generation to the old generation's offsets, while the old processor continues.

        Raises:
            KafkaError, ProcessError: as `align`.
        """
        if self._fixed is not None or self._continues or not self._has_run:
            return
        with closing(KafkaLog(self._old.kafka)) as log:
            if self._old.repartition is not None and self._exists(self._old.repartition.changelog):
                if self._cache is None:
                    self._cache = ChangelogCache(self._old.kafka, self._old.repartition.changelog)
                self._cache.catch_up(log)
            offsets = input_offsets(self._old, latest_checkpoints(self._old, log), log)
        self._new.advance_to(offsets)

    def align(self) -> Alignment:
        """Bring both generations to the same input offsets. The old processor must not run.

        The old generation is not advanced where its state was made by another logic, which this one cannot continue.

        Raises:
            StateDamaged: the old generation has to be advanced, and its state is damaged; or a checkpoint is wrong.
            ProcessError: the old state was made by another logic, and the new generation is beyond it already, or records in
                the repartition topic are not grouped yet. The hint says what to do.
            KafkaError: the cluster did not answer or store. Nothing is lost; call it again.
        """
        with closing(KafkaLog(self._old.kafka)) as log:
            if self._fixed is not None:
                self._new.advance_to(switched(self._fixed.offsets, self._continues))
            elif self._continues:
                self._align_at_continuation(log)
            else:
                self._new.advance_to(self._settle_old(log))
            topic = self._old.output.topic
            ends = readable_ends(self._old.kafka, topic, log.decided(topic))
            begins = {partition: end for partition, (_, end) in log.decided(self._new.plan.output.topic).items()}
            fixed = self._fixed
            if fixed is not None and (not fixed.follows or is_short_of(fixed.offsets, self._continues)):
                begins = dict.fromkeys(begins, 0)  # readers find the events between only where they read all of it
            for each in self._written_topics:
                log.decided(each)  # the markers of our own transactions are written a moment after the commit's answer
            return Alignment(ends, begins, self._written_ends(log))

    def is_exact(self, made: Alignment) -> bool:
        """Return whether the old processor has written nothing since; one that was just being started may have.

        A processor that was killed remains a member of its group for some seconds, so check the group's members as well.
        """
        with closing(KafkaLog(self._old.kafka)) as log:
            return self._written_ends(log) == made.written

    def is_at_work(self, since: Alignment) -> bool:
        """Return whether the old processor has written anything since, or has no input left."""
        with closing(KafkaLog(self._old.kafka)) as log:
            if self._written_ends(log) != since.written:
                return True
            offsets = input_offsets(self._old, latest_checkpoints(self._old, log), log)
            return all(offsets[each] >= end for each, end in self._input_ends(log).items() if each in offsets)

    def _input_ends(self, log: KafkaLog) -> dict[TopicPartition, int]:
        return {
            TopicPartition(stage.topic, partition): end
            for stage in input_stages(self._old)
            for partition, end in readable_ends(self._old.kafka, stage.topic, log.bounds(stage.topic)).items()
        }

    def _written_ends(self, log: KafkaLog) -> dict[TopicPartition, int]:
        return {
            TopicPartition(topic, partition): end
            for topic in self._written_topics
            for partition, end in log.high_watermarks(topic).items()
        }

    @property
    def _written_topics(self) -> list[str]:
        """The topics that the old processor writes to."""
        topics = [self._old.output.topic, *(stage.changelog for stage in self._old.stages)]
        if self._old.repartition is not None:
            topics.append(self._old.repartition.topic)
        return [*Admin(self._old.kafka).partitions_of(*topics)]  # another logic may have had fewer

    @property
    def _has_run(self) -> bool:
        return self._exists(self._old.stages[0].changelog)

    def _exists(self, topic: str) -> bool:
        return bool(Admin(self._old.kafka).partitions_of(topic))

    def _settle_old(self, log: KafkaLog) -> dict[TopicPartition, int]:
        """Return the old generation's input offsets, after its repartition topic is drained and none is before the new one's."""
        new = self._new.next_offsets
        if not self._has_run:
            self._advance_old(new)
            return new
        checkpoints = latest_checkpoints(self._old, log)
        another = self._is_another_logic(checkpoints)
        offsets = input_offsets(self._old, checkpoints, log)
        if another:
            # The state of the other logic has no offsets of an input that this logic did not read.
            read = [
                stage.topic
                for stage, found in zip(input_stages(self._old), checkpoints, strict=False)
                if any(each.shape for each in found.values())
            ]
            offsets |= {each: offset for each, offset in new.items() if each.topic not in read}
        beyond = [each for each, offset in new.items() if offset > offsets[each]]
        ungrouped = self._ungrouped_partition(checkpoints, log)
        if not beyond and ungrouped is None:
            return offsets
        if another or not _can_read_states(self._old, log):
            self._raise_unreachable(offsets, new, ungrouped)
        if beyond:
            offsets = {each: max(offset, new[each]) for each, offset in offsets.items()}
            self._advance_old(offsets)
        else:
            self._drain_repartition_topic(log)
        return offsets

    def _drain_repartition_topic(self, log: KafkaLog) -> None:
        if self._cache is not None:
            self._cache.catch_up(log)
        try:
            self._drain_with_cache()
        except StateDamaged:
            if self._cache is None:
                raise
            # A zombie's late write has replaced a newer row in the cache; the whole changelog holds both.
            self._cache.close()
            self._cache = None
            self._drain_with_cache()

    def _drain_with_cache(self) -> None:
        with BoundedProcessor(self._old, self._schemas, on_progress=self._on_progress, cached=self._cached) as old:
            old.drain_repartition_topic()

    def _cached(self, topic: str, partition: int) -> Iterable[ChangelogRecord] | None:
        stage = self._old.repartition
        if self._cache is None or stage is None or topic != stage.changelog:
            return None
        return self._cache.entries(partition)

    def _align_at_continuation(self, log: KafkaLog) -> None:
        """Bring both generations to the offsets where the rebuilt inputs continue the topics that the old one reads."""
        ends = {
            TopicPartition(each.topic, partition): end
            for each in self._continues.values()
            for partition, end in each.ends.items()
        }
        begins = begins_of(self._continues)
        # An input that was not rebuilt is the same topic for both generations.
        checkpoints = latest_checkpoints(self._old, log) if self._has_run else None
        known = {} if checkpoints is None else input_offsets(self._old, checkpoints, log)
        new = {each: offset for each, offset in self._new.next_offsets.items() if each not in begins}
        shared = {each: max(offset, known.get(each, 0)) for each, offset in new.items()}
        if checkpoints is None or self._is_short_of(ends | shared, checkpoints, log):
            self._advance_old(ends | shared)
        self._new.advance_to(begins | shared)
        for partition, offset in self._new.next_offsets.items():
            if offset > begins.get(partition, offset):
                raise self._beyond(partition, begins[partition], offset)

    def _is_short_of(
        self, ends: Mapping[TopicPartition, int], checkpoints: list[dict[int, Checkpoint]], log: KafkaLog
    ) -> bool:
        last, offsets = self._input_ends(log), input_offsets(self._old, checkpoints, log)
        short = any(offsets[each] < min(end, last[each]) for each, end in ends.items())
        return short or self._ungrouped_partition(checkpoints, log) is not None

    def _advance_old(self, offsets: Mapping[TopicPartition, int]) -> None:
        with BoundedProcessor(self._old, self._schemas, on_progress=self._on_progress) as old:
            old.advance_to(offsets)

    def _is_another_logic(self, checkpoints: list[dict[int, Checkpoint]]) -> bool:
        """Return whether the old state was made by another logic, of the same inputs.

        Raises:
            ProcessError: it was made of other inputs.
        """
        old = self._old
        if all(each.shape in {"", old.shape} for found in checkpoints for each in found.values()):
            return False
        groups = ClusterGroups(old.kafka).describe([old.group])
        for number, binding in enumerate(source.binding for source in old.sources):
            # Every logic has read the first input. Of the second, only a rebuilt generation has to be the one that was read.
            checked = number == 0 or binding.generation > 1
            if checked and not any(each.committed_in(binding.topic) for each in groups):
                raise ProcessError(
                    f"the live state of {old.output.address} was not made of {binding.topic}: its logic read another input, or "
                    "a generation that is gone",
                    hint="give the product a new major, and move its readers there",
                )
        return True

    def _ungrouped_partition(self, checkpoints: list[dict[int, Checkpoint]], log: KafkaLog) -> TopicPartition | None:
        """Return a partition of the repartition topic with records that are not grouped yet; None where all are."""
        if (stage := self._old.repartition) is None or not self._exists(stage.topic):
            return None
        ends = readable_ends(self._old.kafka, stage.topic, log.decided(stage.topic))
        short = (each for each, checkpoint in checkpoints[-1].items() if checkpoint.offset + 1 < ends[each])
        partition = next(short, None)
        return None if partition is None else TopicPartition(stage.topic, partition)

    def _raise_unreachable(
        self,
        offsets: Mapping[TopicPartition, int],
        new: Mapping[TopicPartition, int],
        ungrouped: TopicPartition | None,
    ) -> None:
        if ungrouped is not None:
            raise ProcessError(
                f"{ungrouped} holds records that the live processor has not grouped yet, and its state was made by another "
                "logic, so that no other processor can",
                hint="run it with the logic that it had until nothing waits, then call this again",
            )
        for each, offset in new.items():
            if offset > offsets[each]:
                raise self._beyond(each, offsets[each], offset)

    @staticmethod
    def _beyond(partition: TopicPartition, old: int, new: int) -> ProcessError:
        return ProcessError(
            f"the live processor is at offset {old} of {partition}, the new generation at {new} already, and the live state "
            "was made by another logic",
            hint="run the live processor with the logic that it had until nothing waits, then call this again",
        )


def _can_read_states(old: Plan, log: KafkaLog) -> bool:
    """Return whether the schema of a function's state can read the stored states."""
    grouping = old.pipeline.grouping
    if not isinstance(grouping, Apply) or grouping.schema is None:
        return True
    stage = old.stages[-1]
    changelogs = [TopicPartition(stage.changelog, partition) for partition in range(stage.partitions)]
    stored = [restore(old, each, log.entries(*each))[0] for each in changelogs]
    try:
        for rows in stored:
            states_for(grouping.schema).watch(rows)
    except ProcessError:
        return False
    return True
