"""A plan over an input that got more partitions than its binding says: taken up where the logic allows it, else refused.

Kafka's default partitioner takes a key's hash modulo the number of partitions. After partitions were added, new events of a
key are in another partition than its earlier events. Logic that treats each event by itself, or writes it to the repartition
topic of the processor, reads the new partitions like the others. State by the input's own key or partition would be split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from meshport.binding import Binding
from meshport.errors import PartitionsAdded
from meshport.process.logic.operators import Deduplicate
from meshport.process.wire.plan import Plan


def with_added_partitions(plan: Plan, found: Mapping[str, int]) -> Plan:
    """Return the plan with as many partitions of its input as the topic has.

    Args:
        plan: the plan.
        found: how many partitions topics have now; topics that are left out are as planned.

    Raises:
        PartitionsAdded: the logic keeps state by the partitions of the input.
    """
    for each in plan.sources:
        count = found.get(each.stage.topic, 0)
        if count > each.stage.partitions:
            if not takes_up(plan):
                raise partitions_added(plan, each.stage.topic, count)
            plan = replace(plan, source=_with_partitions(plan.source, count))
    return plan


def takes_up(plan: Plan) -> bool:
    """Return whether the logic can read partitions that are added to its input."""
    deduplicates = any(isinstance(each, Deduplicate) for each in plan.pipeline.before)
    grouped_here = plan.pipeline.grouping is not None and not plan.rekeyed
    # The partitions of the second stream are numbered after those of the first; checkpoints hold these numbers.
    return not (deduplicates or grouped_here or plan.upserts or plan.stream is not None)


def partitions_added(plan: Plan, topic: str, found: int) -> PartitionsAdded:
    """Return the error of an input that got more partitions than were planned."""
    planned = next(each.partitions for each in plan.stages if each.topic == topic)
    source = next((each.binding for each in plan.sources if each.stage.topic == topic), None)
    owner = source.address if source is not None else plan.output.address
    return PartitionsAdded(
        f"{topic} has {found} partitions, {plan.output.address} was planned for {planned}: new events of a key are in another "
        "partition than the earlier ones, and the state of the processor is kept by partition",
        topic=topic,
        planned=planned,
        found=found,
        hint=f"`meshport rebuild {owner.of_product.key} --partitions {found}` gives the input a generation with every key in one "
        f"partition; then `meshport rebuild {plan.output.address.of_product.key} --swap always`",
    )


def _with_partitions(binding: Binding, count: int) -> Binding:
    return binding.model_copy(update={"partitions": count})
