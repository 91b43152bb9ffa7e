"""Restoring the state of one partition from its changelog, with an error that says which state is damaged or gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from meshport.errors import StateDamaged, TopicRemade
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.state.changelog import ChangelogRecord, Checkpoint
from meshport.process.state.rows import StateRows
from meshport.process.wire.logs import rebuild_hint
from meshport.process.wire.plan import Plan, StageTopics

if TYPE_CHECKING:
    from meshport.process.runtime.worker import Log


def restore(plan: Plan, changelog: TopicPartition, entries: Iterable[ChangelogRecord]) -> tuple[StateRows, Checkpoint]:
    """Return the rows that a partition of a changelog holds as of its checkpoint, and the checkpoint.

    Args:
        plan: of the processor.
        changelog: topic and partition.
        entries: of the partition, from its beginning to its end.

    Raises:
        StateDamaged: the rows are not those that the checkpoint counts, or a message is no record of a changelog.
    """
    try:
        return StateRows.restore(entries)
    except StateDamaged as error:
        address = plan.output.address
        raise StateDamaged(
            f"the state of {address} in {changelog} is damaged: {error.message}",
            address=str(address),
            topic=changelog.topic,
            partition=changelog.partition,
            offset=error.offset,
            hint=f"`meshport rebuild {address.of_product.key} --swap equal` builds the product again from its history; "
            "then start its processor again",
        ) from error


def refuse_lost_state(plan: Plan, stage: StageTopics, partition: int, checkpoint: Checkpoint, log: Log) -> None:
    """Refuse an empty state of an input that the processor's group has read already.

    Every input has a first checkpoint before any of its offsets is committed.

    Args:
        plan: the plan.
        stage: the topics of a stage that reads an input.
        partition: of the input.
        checkpoint: of the state.
        log: the cluster.

    Raises:
        TopicRemade: the changelog was deleted or made again.
    """
    if checkpoint.shape:
        return
    processed = log.committed(plan.group, stage.topic).get(partition, 0)
    if processed > log.bounds(stage.topic)[partition][0]:
        rekeyed = () if plan.repartition is None else (plan.repartition.topic, plan.repartition.changelog)
        also = ", ".join(("the group's offsets", *rekeyed))
        raise TopicRemade(
            f"{stage.changelog} [{partition}] holds no state, and {plan.group} has processed {stage.topic} [{partition}] up to "
            f"offset {processed}: the changelog was deleted or made again",
            topic=stage.changelog,
            partition=partition,
            offset=processed,
            group=plan.group,
            hint=f"{rebuild_hint(plan)}; or delete {also} as well, to count from the beginning into the same topic",
        )
