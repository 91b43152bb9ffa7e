"""The one place at which two generations hold the outputs of the same input, and how both get there.

It is the place where the old generation stands. The old one is moved only as far as it has to be: where the new one is
beyond it already, or where the old processor stopped with records between its stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from meshport.binding import Continuation
from meshport.errors import ProcessError
from meshport.event import SchemaSource
from meshport.kafka.admin import Admin
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.engines.bounded import BoundedProcessor, input_stages
from meshport.process.logic.pipeline import Apply
from meshport.process.runtime.checkpoints import latest_checkpoints, readable_ends
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.state.changelog import ChangelogRecord, Checkpoint
from meshport.process.state.function_state import states_for
from meshport.process.state.rows import StateRows
from meshport.process.wire.plan import Plan
from meshport.rebuild.changelog_cache import ChangelogCache


@dataclass(frozen=True, slots=True)
class Alignment:
    """What one place of the input is in both generations.

    Attributes:
        ends: by partition of the old topic, the offset behind the last event that can be read.
        begins: by partition of the new topic, the offset that the next event will have.
        written: the end of each partition that the old processor writes to, as it was then.
    """

    ends: Mapping[int, int]
    begins: Mapping[int, int]
    written: Mapping[TopicPartition, int]


class GenerationAligner:
    """Brings two generations to one place, again and again.

    Args:
        old: builds the old generation.
        new: builds the new one; nobody else does.
        schemas: where the schemas of events are found, a registry.
        continues: by topic of the new one's inputs, where it continues the old one's; none where they have the same.
        on_progress: called with (offsets read, offsets in all).
    """

    def __init__(
        self,
        old: Plan,
        new: BoundedProcessor,
        schemas: SchemaSource,
        continues: Mapping[str, Continuation] = MappingProxyType({}),
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._old = old
        self._new = new
        self._schemas = schemas
        self._continues = continues
        self._on_progress = on_progress
        self._warm: ChangelogCache | None = None

    def close(self) -> None:
        """Let go of the connections."""
        if self._warm is not None:
            self._warm.close()

    @property
    def new(self) -> Plan:
        """What builds the new generation."""
        return self._new.plan

    def follow(self) -> None:
        """Bring the new generation to where the old one is, which goes on meanwhile.

        Raises:
            KafkaError, ProcessError: as of `cut`.
        """
        if self._continues or not self._has_run:
            return
        log = KafkaLog(self._old.kafka)
        try:
            if self._old.repartition is not None and self._old.repartition.changelog in self._topics:
                if self._warm is None:
                    self._warm = ChangelogCache(self._old.kafka, self._old.repartition.changelog)
                self._warm.catch_up(log)
            place = self._place(latest_checkpoints(self._old, log))
        finally:
            log.close()
        self._new.advance_to(place)

    def cut(self) -> Alignment:
        """Bring both to one place; the old processor must not run.

        Where the state of the old one was made by another logic, so that this one cannot go on from it, the old one stays
        where it is.

        Raises:
            ProcessError: the old state was made by another logic, and the new one is beyond it already, or it has records
                that it has not grouped yet; the hint says what to do.
            KafkaError: the cluster did not answer or store; nothing is lost, call it again.
        """
        log = KafkaLog(self._old.kafka)
        try:
            if self._continues:
                self._between(log)
            else:
                self._new.advance_to(self._settled(log))
            topic = self._old.output.topic
            ends = readable_ends(self._old.kafka, topic, log.decided(topic))
            begins = {partition: end for partition, (_, end) in log.decided(self._new.plan.output.topic).items()}
            for each in self._written_to:
                log.decided(each)  # markers of what we have written ourselves come a moment later
            return Alignment(ends, begins, self._written(log))
        finally:
            log.close()

    def is_exact(self, made: Alignment) -> bool:
        """Whether the old processor has written nothing since: one that was just being started may have.

        One that was killed is a member of its group for some seconds more, so ask for members as well.
        """
        log = KafkaLog(self._old.kafka)
        try:
            return self._written(log) == made.written
        finally:
            log.close()

    def is_at_work(self, since: Alignment) -> bool:
        """Whether the old processor has written anything since, or has nothing to do."""
        log = KafkaLog(self._old.kafka)
        try:
            if self._written(log) != since.written:
                return True
            place = self._place(latest_checkpoints(self._old, log))
            return all(place[each] >= end for each, end in self._last_of_inputs(log).items() if each in place)
        finally:
            log.close()

    def _last_of_inputs(self, log: KafkaLog) -> dict[TopicPartition, int]:
        return {
            TopicPartition(stage.topic, partition): end
            for stage in input_stages(self._old)
            for partition, end in readable_ends(self._old.kafka, stage.topic, log.decided(stage.topic)).items()
        }

    def _written(self, log: KafkaLog) -> dict[TopicPartition, int]:
        return {
            TopicPartition(each, at): end for each in self._written_to for at, end in log.high_watermarks(each).items()
        }

    @property
    def _written_to(self) -> list[str]:
        """The topics that the old processor writes to."""
        topics = [self._old.output.topic, *(stage.changelog for stage in self._old.stages)]
        if self._old.repartition is not None:
            topics.append(self._old.repartition.topic)
        known = self._topics
        return [topic for topic in topics if topic in known]  # another logic may have had fewer

    @property
    def _topics(self) -> Mapping[str, int]:
        return Admin(self._old.kafka).partitions()

    @property
    def _has_run(self) -> bool:
        return self._old.stages[0].changelog in self._topics

    def _place(self, stands: list[dict[int, Checkpoint]]) -> dict[TopicPartition, int]:
        inputs = input_stages(self._old)
        return {
            TopicPartition(stage.topic, partition): each.offset + 1
            for stage, checkpoints in zip(inputs, stands, strict=False)
            for partition, each in checkpoints.items()
        }

    def _settled(self, log: KafkaLog) -> dict[TopicPartition, int]:
        """Where the old generation stands, with nothing between its stages, and the new one is not beyond it."""
        new = self._new.next_offsets
        if not self._has_run:
            self._advance_old(new)
            return new
        stands = latest_checkpoints(self._old, log)
        another = self._is_another_logic(stands)
        place = self._place(stands)
        if another:
            # An input that the other logic did not read stands nowhere in it.
            read = [
                stage.topic
                for stage, checkpoints in zip(input_stages(self._old), stands, strict=False)
                if any(each.shape for each in checkpoints.values())
            ]
            place |= {each: offset for each, offset in new.items() if each[0] not in read}
        beyond = [each for each, offset in new.items() if offset > place[each]]
        waits = self._waiting(stands, log)
        if not beyond and waits is None:
            return place
        if another or not _reads_states(self._old, log):
            self._refuse(place, new, waits)
        if beyond:
            place = {each: max(offset, new[each]) for each, offset in place.items()}
            self._advance_old(place)
        else:
            self._gather(log)
        return place

    def _gather(self, log: KafkaLog) -> None:
        if self._warm is not None:
            self._warm.catch_up(log)
        try:
            self._gather_old()
        except ProcessError:
            if self._warm is None:
                raise
            # Somebody wrote late who was replaced; the whole changelog tells what counts.
            self._warm.close()
            self._warm = None
            self._gather_old()

    def _gather_old(self) -> None:
        with BoundedProcessor(self._old, self._schemas, on_progress=self._on_progress, cached=self._cached) as old:
            old.drain_repartition_topic()

    def _cached(self, topic: str, partition: int) -> Iterable[ChangelogRecord] | None:
        warm = self._warm is not None and self._old.repartition is not None and topic == self._old.repartition.changelog
        return self._warm.entries(partition) if warm and self._warm is not None else None

    def _between(self, log: KafkaLog) -> None:
        ends = {
            TopicPartition(each.topic, at): end for each in self._continues.values() for at, end in each.ends.items()
        }
        begins = begins_of(self._continues)
        # An input that was not rebuilt is the same on both sides.
        stands = latest_checkpoints(self._old, log) if self._has_run else None
        known = {} if stands is None else self._place(stands)
        new = {each: offset for each, offset in self._new.next_offsets.items() if each not in begins}
        joined = {each: max(offset, known.get(each, 0)) for each, offset in new.items()}
        if stands is None or self._is_short_of(ends | joined, stands, log):
            self._advance_old(ends | joined)
        self._new.advance_to(begins | joined)
        for place, offset in self._new.next_offsets.items():
            if offset > begins.get(place, offset):
                raise self._beyond(place, begins[place], offset)

    def _is_short_of(
        self, ends: Mapping[TopicPartition, int], stands: list[dict[int, Checkpoint]], log: KafkaLog
    ) -> bool:
        last, place = self._last_of_inputs(log), self._place(stands)
        short = any(place[each] < min(end, last[each]) for each, end in ends.items())
        return short or self._waiting(stands, log) is not None

    def _advance_old(self, place: Mapping[TopicPartition, int]) -> None:
        with BoundedProcessor(self._old, self._schemas, on_progress=self._on_progress) as old:
            old.advance_to(place)

    def _is_another_logic(self, stands: list[dict[int, Checkpoint]]) -> bool:
        old = self._old
        if all(each.shape in {"", old.shape} for checkpoints in stands for each in checkpoints.values()):
            return False
        for at, each in enumerate(source.binding for source in old.sources):
            # The first one was read by any logic; of a second, only what was rebuilt has to be the generation that was read.
            asked = not at or each.generation > 1
            if asked and old.group not in Admin(old.kafka).places(each.topic):
                raise ProcessError(
                    f"the live state of {old.output.address} was not made of {each.topic}: its logic read another input, or a "
                    "generation that is gone",
                    hint="give the product a new major, and move its readers there",
                )
        return True

    def _waiting(self, stands: list[dict[int, Checkpoint]], log: KafkaLog) -> TopicPartition | None:
        """A partition between the stages that holds records which are not grouped; None where all are."""
        if (stage := self._old.repartition) is None or stage.topic not in self._topics:
            return None
        last = readable_ends(self._old.kafka, stage.topic, log.decided(stage.topic))
        short = (each for each, checkpoint in stands[-1].items() if checkpoint.offset + 1 < last[each])
        partition = next(short, None)
        return None if partition is None else TopicPartition(stage.topic, partition)

    def _refuse(
        self, place: Mapping[TopicPartition, int], new: Mapping[TopicPartition, int], waits: TopicPartition | None
    ) -> None:
        if waits is not None:
            raise ProcessError(
                f"{waits[0]} [{waits[1]}] holds records that the live processor has not grouped yet, and its state was made "
                "by another logic, so that nobody else can",
                hint="run it with the logic that it had until nothing waits, then call this again",
            )
        for each, offset in new.items():
            if offset > place[each]:
                raise self._beyond(each, place[each], offset)

    @staticmethod
    def _beyond(place: TopicPartition, old: int, new: int) -> ProcessError:
        return ProcessError(
            f"the live processor stands at offset {old} of {place[0]} [{place[1]}], the new generation at {new} already, and "
            "the live state was made by another logic",
            hint="run the live processor with the logic that it had until nothing waits, then call this again",
        )


def begins_of(continues: Mapping[str, Continuation]) -> dict[TopicPartition, int]:
    """The places in inputs that were rebuilt where they continue what they were before.

    Args:
        continues: by topic, as of `GenerationAligner`.
    """
    return {TopicPartition(topic, at): begin for topic, each in continues.items() for at, begin in each.begins.items()}


def _reads_states(old: Plan, log: KafkaLog) -> bool:
    """Whether the schema of a function's state can read what is stored."""
    grouping = old.pipeline.grouping
    if not isinstance(grouping, Apply) or grouping.schema is None:
        return True
    stage = old.stages[-1]
    stored = [StateRows.restore(log.entries(stage.changelog, partition))[0] for partition in range(stage.partitions)]
    try:
        for rows in stored:
            states_for(grouping.schema).watch(rows)
    except ProcessError:
        return False
    return True
