"""A processor whose input was rebuilt: its state counts on the generation that was bound before.

What it has taken in is told by offsets of that generation, and so are the ids of its outputs and what its quarantine holds.
It reads that generation to its end and then waits; the way on is its own rebuild, over the generation that is bound now. The
two are compared, and its readers go on, at the place where the one generation of the input continues the other.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """A plan over the generations of its inputs that its state counts on.

    Attributes:
        plan: the plan; the one that was given where there is no state, or one of another logic.
        continues: where inputs go on in the generation that is bound, by the topic of that; none where it counts on those.
    """

    plan: Plan
    continues: Mapping[str, Continuation] = field(default_factory=dict)


def pin_inputs(plan: Plan) -> PinnedPlan:
    """The same plan over the generations of its inputs that its state counts on.

    Args:
        plan: over the generations that are bound.

    Raises:
        ProcessError: one of them is more than one behind, so that its end is no place in the one that is bound.
    """
    bound = [each.binding for each in plan.sources]
    known = Admin(plan.kafka).partitions() if any(each.continues for each in bound) else {}
    if any(stage.changelog not in known for stage in plan.stages):
        return PinnedPlan(plan)
    log = KafkaLog(plan.kafka)
    try:
        shapes = {each.shape for checkpoints in latest_checkpoints(plan, log) for each in checkpoints.values()} - {""}
    finally:
        log.close()
    if not shapes or plan.shape in shapes:
        return PinnedPlan(plan)
    for before in product(*(_generations(each) for each in bound)):
        older = replace(plan, source=before[0], stream=before[1] if plan.stream is not None else None)
        if older.shape in shapes:
            continues = {}
            for each, counted in zip(bound, before, strict=True):
                if counted is not each:
                    continues[each.topic] = _continuation(each, counted, plan)
            return PinnedPlan(older, continues)
    return PinnedPlan(plan)


def _generations(bound: Binding) -> list[Binding]:
    """What an address was bound to, newest first."""
    return [bound] + [
        bound.model_copy(update={"topic": each.topic, "generation": each.generation, "continues": ()})
        for each in reversed(bound.continues)
    ]


def _continuation(bound: Binding, counted: Binding, plan: Plan) -> Continuation:
    last = bound.continues[-1]
    if last.topic != counted.topic:
        raise ProcessError(
            f"the state of {plan.output.address} counts on generation {counted.generation} of {bound.address}, which "
            f"is bound to generation {bound.generation}",
            hint="give the product a new major, and move its readers there",
        )
    return last
