"""Restoring the state of one partition from its changelog, with an error that says which state is damaged and what to do."""

from __future__ import annotations

from collections.abc import Iterable

from meshport.errors import StateDamaged
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.state.changelog import ChangelogRecord, Checkpoint
from meshport.process.state.rows import StateRows
from meshport.process.wire.plan import Plan


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
