"""The offset at which a processor begins to read a partition: that of its state, checked against what the log still holds."""

from __future__ import annotations

from meshport.errors import TopicRemade
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports.history import insist, removed_history
from meshport.process.runtime.kafka_log import GO_ON, KafkaLog
from meshport.process.runtime.worker import Worker
from meshport.process.wire.logs import rebuild_hint
from meshport.process.wire.plan import Plan


def assign(worker: Worker, partition: TopicPartition, log: KafkaLog) -> int:
    """Restore the state of a partition that was assigned to a worker, and return the offset from which to read it.

    Raises:
        ProcessError, TopicRemade: as `Worker.assign`; or the partition ends before the offset of its state.
        HistoryMissing: as `starting_offset`.
    """
    offset = worker.assign(partition)
    begin = starting_offset(worker.plan, partition, offset, log)
    if begin > offset:
        worker.skip_to(partition, begin)
    return begin


def starting_offset(plan: Plan, partition: TopicPartition, offset: int, log: KafkaLog) -> int:
    """Return the offset from which to read a partition.

    It is that of the state, or the first that is left in the log where the plan allows input to be missing.

    Args:
        plan: of the processor.
        partition: topic and partition.
        offset: the next offset after what the state reflects; 0 before the first message, and negative in earlier lines.
        log: the cluster.

    Raises:
        TopicRemade: the partition ends before the offset.
        HistoryMissing: what is left of the partition begins after the offset, and the plan does not allow it.
    """
    begin, end = log.bounds(partition.topic)[partition.partition]
    if offset > end:
        raise TopicRemade(
            f"{partition} ends at offset {end}, the state is at {offset}: the topic was deleted and made again",
            topic=partition.topic,
            partition=partition.partition,
            offset=offset,
            group=plan.group,
            hint=rebuild_hint(plan),
        )
    if offset >= begin or offset < 0:
        return offset
    # The group's offset is beyond the state's where only markers of transactions follow: no event was removed with them.
    if log.committed(plan.group, partition.topic).get(partition.partition, 0) < begin:
        bounds = {partition.partition: (begin, end)}
        asked = {partition.partition: offset}
        insist(removed_history(plan.kafka, partition.topic, bounds, asked, ports=plan.reads), plan.missing, GO_ON)
    return begin
