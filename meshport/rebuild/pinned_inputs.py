"""Plans pinned to the input generations that a processor's state was built from.

The state of a processor refers to its input by offsets of one generation, as do the ids of its outputs and its quarantined
events. After the input was rebuilt, the processor therefore reads the replaced generation to its end and then waits. It
continues by a rebuild of its own, over the generation that is bound now. The two generations of its output are compared, and
its readers switch, at the offsets where the one generation of the input continues the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import product

from meshport.binding import Binding, Continuation
from meshport.errors import ProcessError
from meshport.kafka.admin import Admin
from meshport.process.runtime.checkpoints import latest_checkpoints
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.wire.plan import Plan


@dataclass(frozen=True, slots=True)
class PinnedPlan:
    """A plan over the generations of its inputs that its state was built from.

    Attributes:
        plan: the plan; the one that was given where there is no state, or only a state of another logic.
        continues: by topic of the bound generation, where it continues the generation that the state was built from; empty
            where the state was built from the bound generations.
    """

    plan: Plan
    continues: Mapping[str, Continuation] = field(default_factory=dict)


def pin_inputs(plan: Plan) -> PinnedPlan:
    """Return the plan over the generations of its inputs that its state was built from.

    Args:
        plan: over the generations that are bound.

    Raises:
        ProcessError: an input was rebuilt more than once since, so that the end of the old generation has no offset in the
            bound one.
    """
    bound = [each.binding for each in plan.sources]
    if not any(each.continues for each in bound):
        return PinnedPlan(plan)
    changelogs = {stage.changelog for stage in plan.stages}
    if Admin(plan.kafka).partitions_of(*changelogs).keys() != changelogs:
        return PinnedPlan(plan)
    with closing(KafkaLog(plan.kafka)) as log:
        shapes = {each.shape for checkpoints in latest_checkpoints(plan, log) for each in checkpoints.values()} - {""}
    if not shapes or plan.shape in shapes:
        return PinnedPlan(plan)
    for candidate in product(*(_generations(each) for each in bound)):
        older = replace(plan, source=candidate[0], stream=candidate[1] if plan.stream is not None else None)
        if older.shape in shapes:
            continues = {
                now.topic: _continuation(now, then, plan)
                for now, then in zip(bound, candidate, strict=True)
                if then is not now
            }
            return PinnedPlan(older, continues)
    return PinnedPlan(plan)


def _generations(bound: Binding) -> list[Binding]:
    """Return the binding and those of the replaced generations, the newest first."""
    return [bound] + [
        bound.model_copy(
            update={
                "topic": each.topic,
                "topic_id": None,
                "generation": each.generation,
                "partitions": len(each.ends),
                "continues": (),
            }
        )
        for each in reversed(bound.continues)
    ]


def _continuation(bound: Binding, pinned: Binding, plan: Plan) -> Continuation:
    last = bound.continues[-1]
    if last.topic != pinned.topic:
        raise ProcessError(
            f"the state of {plan.output.address} expects generation {pinned.generation} of {bound.address}, which "
            f"is bound to generation {bound.generation}",
            hint="give the product a new major, and move its readers there",
        )
    return last
