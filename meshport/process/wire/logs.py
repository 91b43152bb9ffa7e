"""The logs that a processor's state belongs to: those of its inputs, its joined tables, its output and its own topics.

A checkpoint records Kafka's id of each of these topics. State restored beside a topic that was deleted and made again would
mix two logs: offsets of the one would skip events of the other, and totals would hold both. So it is refused. Where a checkpoint
names no id of an input or a table, as at a first start, the binding's counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshport.kafka.topic_log import topic_remade
from meshport.ports.bound_log import refuse_other_log
from meshport.process.state.changelog import Checkpoint
from meshport.process.wire.plan import Plan, StageTopics


def state_topics(plan: Plan) -> list[str]:
    """Return the topics that the state of a processor belongs to."""
    own = [plan.output.topic, plan.redrive_topic, *(each.changelog for each in plan.stages)]
    return list(dict.fromkeys([*(each.topic for each in plan.stages), *(each.topic for each in plan.reads), *own]))


def recorded_ids(plan: Plan, ids: Mapping[str, str]) -> dict[str, str]:
    """Return the ids of the topics that the state belongs to, as a checkpoint records them.

    Names of the processor's own topics, which begin with its output's, are recorded without that part.

    Args:
        plan: the plan.
        ids: Kafka's ids, by topic; those of other topics are left out.
    """
    return {_short(plan, topic): ids[topic] for topic in state_topics(plan) if topic in ids}


def refuse_other_logs(
    plan: Plan, stage: StageTopics, partition: int, checkpoint: Checkpoint, present: Mapping[str, str]
) -> None:
    """Refuse state that belongs to other logs than the present ones.

    Args:
        plan: the plan.
        stage: of the state.
        partition: of the stage's topic.
        checkpoint: of the state.
        present: as of `recorded_ids`.

    Raises:
        TopicRemade: a topic was deleted and made again.
    """
    for name, id in checkpoint.logs.items():
        if (found := present.get(name, id)) != id:
            topic = plan.output.topic + name if name.startswith(".") or not name else name
            raise topic_remade(
                topic,
                (id, found),
                f"the state of {plan.output.address} belongs to another log, up to offset {checkpoint.offset + 1} of "
                f"{stage.topic} [{partition}]",
                hint=rebuild_hint(plan),
                group=plan.group,
                partition=partition if topic == stage.topic else None,
                offset=checkpoint.offset + 1 if topic == stage.topic else None,
            )
    for binding in plan.reads:
        name = _short(plan, binding.topic)
        if name not in checkpoint.logs:
            refuse_other_log(binding, present.get(name), group=plan.group)


def rebuild_hint(plan: Plan) -> str:
    """Return the hint for a processor whose topics were made again."""
    return (
        f"`meshport rebuild {plan.output.address.of_product.key} --swap always` builds a new generation from the present "
        "topics; where one of a port was made again, `meshport apply` in its project comes first"
    )


def _short(plan: Plan, topic: str) -> str:
    """Return the name without that of the output, which begins the names of the processor's own topics."""
    own = plan.output.topic
    return topic.removeprefix(own) if topic == own or topic.startswith(f"{own}.") else topic
