"""The input offsets that a generation's outputs reflect, as its changelogs have them: no state is restored.

Where the state of the old generation is damaged, it cannot be advanced to other offsets any more. The new generation is then
built up to these, where both hold the outputs of the same input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from meshport.binding import Continuation
from meshport.errors import ProcessError, StateDamaged, TopicRemade
from meshport.kafka.admin import Admin
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.columns import MANY
from meshport.process.engines.bounded import input_stages
from meshport.process.runtime.checkpoints import latest_checkpoints
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.restore import refuse_lost_state
from meshport.process.state.changelog import Checkpoint
from meshport.process.wire.input import InputMessage
from meshport.process.wire.logs import recorded_ids, refuse_other_logs, state_topics
from meshport.process.wire.messages import read_rekeyed
from meshport.process.wire.plan import Plan


@dataclass(frozen=True, slots=True)
class FixedOffsets:
    """Input offsets up to which a new generation is built, where the old generation cannot be advanced.

    Attributes:
        offsets: by partition of the old generation's inputs.
        follows: whether the old generation's outputs end at these offsets. Otherwise readers read all of the new generation.
    """

    offsets: Mapping[TopicPartition, int]
    follows: bool = True


def offsets_of_remade(plan: Plan, log: KafkaLog) -> FixedOffsets | None:
    """Return the present ends of the inputs where a topic of a generation's state was made again; None where none was.

    The offsets of its state then mean nothing in the present topics, so that no offset follows its outputs.

    Raises:
        KafkaError: the cluster did not answer.
    """
    if not Admin(plan.kafka).partitions_of(plan.stages[0].changelog):
        return None
    present = recorded_ids(plan, log.topic_ids(state_topics(plan)))
    found = latest_checkpoints(plan, log)
    try:
        for stage, checkpoints in zip(plan.stages, found, strict=True):
            for partition, checkpoint in checkpoints.items():
                refuse_other_logs(plan, stage, partition, checkpoint, present)
                if stage is not plan.repartition:
                    refuse_lost_state(plan, stage, partition, checkpoint, log)
    except TopicRemade:
        ends = {
            TopicPartition(stage.topic, partition): end
            for stage in input_stages(plan)
            for partition, (_, end) in log.bounds(stage.topic).items()
        }
        return FixedOffsets(ends, follows=False)
    return None


def input_offsets(plan: Plan, checkpoints: Sequence[dict[int, Checkpoint]], log: KafkaLog) -> dict[TopicPartition, int]:
    """Return the next offset of each partition of a generation's inputs, of which checkpoints are known.

    Raises:
        StateDamaged: a checkpoint is beyond the end of its input.
    """
    offsets: dict[TopicPartition, int] = {}
    for stage, found in zip(input_stages(plan), checkpoints, strict=False):
        ends = log.high_watermarks(stage.topic)
        for partition, checkpoint in found.items():
            if checkpoint.offset >= ends[partition]:
                changelog = TopicPartition(stage.changelog, partition)
                raise StateDamaged(
                    f"the checkpoint in {changelog} is at offset {checkpoint.offset} of {stage.topic} [{partition}], which "
                    f"ends at {ends[partition]}",
                    address=str(plan.output.address),
                    topic=changelog.topic,
                    partition=partition,
                    offset=checkpoint.offset,
                )
            offsets[TopicPartition(stage.topic, partition)] = checkpoint.offset + 1
    return offsets


def output_offsets(plan: Plan, log: KafkaLog) -> dict[TopicPartition, int]:
    """Return the input offsets before which every event is in the generation's outputs.

    They are before those of the checkpoints where records in the repartition topic are not grouped. Of the events from there
    on, some are in the outputs as well: a reader that goes on in a generation of these offsets reads them again, most under
    the ids that they had.

    A checkpoint of a damaged state may be wrong itself. The group's offset is committed with the outputs, or after them, so
    that the lower of the two is taken.
    """
    known = Admin(plan.kafka).partitions_of(*(stage.topic for stage in plan.stages))
    committed = {
        TopicPartition(stage.topic, partition): offset
        for stage in plan.stages
        if stage.topic in known
        for partition, offset in log.committed(plan.group, stage.topic).items()
    }
    checkpoints = latest_checkpoints(plan, log)
    offsets = {}
    for each, found in zip(input_stages(plan), checkpoints, strict=False):
        ends = log.bounds(each.topic)
        for number, checkpoint in found.items():
            at, offset = TopicPartition(each.topic, number), checkpoint.offset + 1
            offsets[at] = min(offset, committed.get(at, offset), ends[number][1])
    stage = plan.repartition
    if stage is None or stage.topic not in known:
        return offsets
    bounds = log.decided(stage.topic)
    for partition, checkpoint in checkpoints[-1].items():
        begin, end = bounds[partition]
        grouped = min(checkpoint.offset + 1, committed.get(TopicPartition(stage.topic, partition), end))
        for message in log.between(stage.topic, partition, max(begin, grouped), end):
            with suppress(ProcessError):  # of a message that no source stage wrote; the processor quarantines it
                for source, offset in _events_of(message):
                    offsets[source] = min(offset, offsets.get(source, offset))
    return offsets


def _events_of(message: InputMessage) -> Iterator[tuple[TopicPartition, int]]:
    """Return the input offsets of the re-keyed events in a message; redriven events are left out."""
    if message.value is not None and message.value[:4] == MANY:
        from meshport.process.columns.rekeying import RekeyedBatch  # noqa: PLC0415 - needs numpy, which may be absent

        found = RekeyedBatch.of(message)
        yield TopicPartition(found.source_topic, found.partition), int(found.offsets[0])
        return
    one = read_rekeyed(message)
    if one.record is not None and one.redrive_offset is None:
        yield TopicPartition(one.original.topic, one.partition), one.record.offset


def begins_of(continues: Mapping[str, Continuation]) -> dict[TopicPartition, int]:
    """Return the offsets in rebuilt inputs at which they continue the topics that they replaced.

    Args:
        continues: see `meshport.rebuild.alignment.GenerationAligner`.
    """
    return {
        TopicPartition(topic, partition): begin
        for topic, each in continues.items()
        for partition, begin in each.begins.items()
    }


def switched(offsets: Mapping[TopicPartition, int], continues: Mapping[str, Continuation]) -> dict[TopicPartition, int]:
    """Return input offsets of the old generation as those of the new one; of a rebuilt input, where it continues.

    Args:
        offsets: by partition of the old generation's inputs.
        continues: see `begins_of`.
    """
    replaced = {each.topic for each in continues.values()}
    return {each: offset for each, offset in offsets.items() if each.topic not in replaced} | begins_of(continues)


def is_short_of(offsets: Mapping[TopicPartition, int], continues: Mapping[str, Continuation]) -> bool:
    """Return whether input offsets of the old generation are before the end of an input that was rebuilt since."""
    return any(
        offsets.get(TopicPartition(each.topic, partition), 0) < end
        for each in continues.values()
        for partition, end in each.ends.items()
    )
