"""The one place at which two generations hold the outputs of the same input, and how both get there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from meshport.binding import Continuation
from meshport.errors import ProcessError
from meshport.event import SchemaSource
from meshport.kafka.admin import Admin
from meshport.process.advance import advance, standing
from meshport.process.applied import states_for
from meshport.process.kafkalog import KafkaLog
from meshport.process.pipeline import Apply
from meshport.process.plan import Plan
from meshport.process.rows import Rows


@dataclass(frozen=True, slots=True)
class Cut:
    """A place in the input, and what it is in both generations.

    Attributes:
        old_input: by partition of the old generation's input, the first offset that it has not processed.
        input: by partition of the new generation's input, the first offset that it has not processed.
        ends: by partition of the old topic, the offset behind the last event that can be read.
        begins: by partition of the new topic, the offset that the next event will have.
    """

    old_input: Mapping[int, int]
    input: Mapping[int, int]
    ends: Mapping[int, int]
    begins: Mapping[int, int]


def cut(
    old: Plan, new: Plan, schemas: SchemaSource, log: KafkaLog, *, on_progress: Callable[[int, int], None] | None = None
) -> Cut:
    """Bring both generations to one place: the end of the input as it is now.

    Where the state of the old one was made by another logic, so that this one cannot go on from it, the old one stays
    where it is, and the new one is brought there.

    Args:
        old: builds the old generation; it must not run.
        new: builds the new one; as `old`.
        schemas: where the schemas of events are found, a registry.
        log: the cluster.
        on_progress: called with (offsets read, offsets in all).

    Raises:
        ProcessError: the old state was made by another logic, and the new one is beyond it already, or it has records
            that it has not grouped yet; the hint says what to do.
        KafkaError: the cluster did not answer or store; nothing is lost, call it again.
    """
    place = {partition: end for partition, (_, end) in log.decided(old.source.topic).items()}
    stands = _of_another_logic(old, log)
    if stands is None:
        advance(old, schemas, place, on_progress=on_progress)
    else:
        place = stands
        _refuse_beyond(new, place, log)
    advance(new, schemas, place, on_progress=on_progress)
    return _made(place, place, old, new, log)


def cut_between(
    old: Plan,
    new: Plan,
    schemas: SchemaSource,
    log: KafkaLog,
    continues: Continuation,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Cut:
    """Bring two generations, over two generations of their input, to the place where the one continues the other.

    Args:
        old: builds the old generation, over the input's old one; it must not run.
        new: builds the new one, over the input's new one; as `old`.
        schemas: where the schemas of events are found, a registry.
        log: the cluster.
        continues: that place.
        on_progress: called with (offsets read, offsets in all).

    Raises:
        ProcessError: the new generation is beyond that place.
        KafkaError: the cluster did not answer or store; nothing is lost, call it again.
    """
    advance(old, schemas, continues.ends, on_progress=on_progress)
    advance(new, schemas, continues.begins, on_progress=on_progress)
    _refuse_beyond(new, continues.begins, log)
    return _made(continues.ends, continues.begins, old, new, log)


def is_exact(made: Cut, old: Plan) -> bool:
    """Whether the old generation is still at the place: a processor that was just being started may have gone beyond.

    With the batch engine outputs and state become visible together. With the faust engine outputs come a moment before;
    whoever was killed in that moment is a member of the group for some seconds more, so ask for members as well.
    """
    log = KafkaLog(old.output.bootstrap_servers)
    try:
        return all(each.offset < made.old_input[partition] for partition, each in standing(old, log)[0].items())
    finally:
        log.close()


def _made(old_place: Mapping[int, int], place: Mapping[int, int], old: Plan, new: Plan, log: KafkaLog) -> Cut:
    ends = {partition: _last(log, old.output.topic, partition) for partition in range(old.output.partitions)}
    begins = {partition: end for partition, (_, end) in log.decided(new.output.topic).items()}
    return Cut(old_place, place, ends, begins)


def _of_another_logic(old: Plan, log: KafkaLog) -> dict[int, int] | None:
    """Where the old state stands, if this logic cannot go on from it; else None."""
    known = Admin(old.output.bootstrap_servers).partitions()
    if any(stage.changelog not in known for stage in old.stages):
        return None
    first, *further = standing(old, log)
    if all(each.shape in {"", old.shape} for each in first.values()) and _reads_states(old, log):
        return None
    if old.source.generation > 1 and old.group not in Admin(old.output.bootstrap_servers).places(old.source.topic):
        raise ProcessError(
            f"the state of {old.output.address} counts on a generation of {old.source.address} that is gone, or was made by "
            "another logic before that was rebuilt",
            hint="give the product a new major, and move its readers there",
        )
    for stage, checkpoints in zip(old.stages[1:], further, strict=True):
        for partition, (_, end) in log.decided(stage.topic).items():
            if log.between(stage.topic, partition, checkpoints[partition].offset + 1, end):
                raise ProcessError(
                    f"{stage.topic} [{partition}] holds records that the live processor has not grouped yet, and its "
                    "state was made by another logic, so that nobody else can",
                    hint="run it with the logic that it had until nothing waits, then call this again",
                )
    return {partition: each.offset + 1 for partition, each in first.items()}


def _reads_states(old: Plan, log: KafkaLog) -> bool:
    """Whether the schema of a function's state can read what is stored."""
    grouping = old.pipeline.grouping
    if not isinstance(grouping, Apply) or grouping.schema is None:
        return True
    stage = old.stages[-1]
    stored = [Rows.restore(log.entries(stage.changelog, partition))[0] for partition in range(stage.partitions)]
    try:
        for rows in stored:
            states_for(grouping.schema).watch(rows)
    except ProcessError:
        return False
    return True


def _refuse_beyond(new: Plan, place: Mapping[int, int], log: KafkaLog) -> None:
    for partition, each in standing(new, log)[0].items():
        if each.offset + 1 > place[partition]:
            raise ProcessError(
                f"the live processor stands at offset {place[partition]} of {new.source.topic} [{partition}], the new "
                f"generation at {each.offset + 1} already, and the live state was made by another logic",
                hint="run the live processor with the logic that it had until nothing waits, then call this again",
            )


def _last(log: KafkaLog, topic: str, partition: int) -> int:
    """The offset behind the last message that can be read: markers of transactions take offsets that no reader sees."""
    begin, end = log.decided(topic, partition)[partition]
    stretch = 1
    while begin < end:
        first = max(begin, end - stretch)
        if found := log.between(topic, partition, first, end):
            return found[-1].offset + 1
        if first == begin:
            break
        stretch *= 8
    return begin
