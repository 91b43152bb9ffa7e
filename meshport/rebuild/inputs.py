"""A processor whose input was rebuilt: its state counts on the generation that was bound before.

What it has taken in is told by offsets of that generation, and so are the ids of its outputs and what its quarantine holds.
It reads that generation to its end and then waits; the way on is its own rebuild, over the generation that is bound now. The
two are compared, and its readers go on, at the place where the one generation of the input continues the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from meshport.binding import Continuation
from meshport.errors import ProcessError
from meshport.kafka.admin import Admin
from meshport.process.kafkalog import KafkaLog
from meshport.process.plan import Plan
from meshport.process.standing import standing


@dataclass(frozen=True, slots=True)
class Counted:
    """A plan over the generation of its input that its state counts on.

    Attributes:
        plan: the plan; the one that was given where there is no state, or one of another logic.
        continues: where its input goes on in the generation that is bound; None where that is the one it counts on.
    """

    plan: Plan
    continues: Continuation | None = None


def counted_on(plan: Plan) -> Counted:
    """The same plan over the generation of its input that its state counts on.

    Args:
        plan: over the generation that is bound.

    Raises:
        ProcessError: that generation is more than one behind, so that its end is no place in the one that is bound.
    """
    source = plan.source
    if not source.continues or plan.stages[0].changelog not in Admin(plan.output.bootstrap_servers).partitions():
        return Counted(plan)
    log = KafkaLog(plan.output.bootstrap_servers)
    try:
        shapes = {each.shape for each in standing(plan, log)[0].values()} - {""}
    finally:
        log.close()
    if not shapes or plan.shape in shapes:
        return Counted(plan)
    for each in reversed(source.continues):
        before = source.model_copy(update={"topic": each.topic, "generation": each.generation, "continues": ()})
        older = replace(plan, source=before)
        if older.shape in shapes:
            if each is not source.continues[-1]:
                raise ProcessError(
                    f"the state of {plan.output.address} counts on generation {each.generation} of {source.address}, which "
                    f"is bound to generation {source.generation}",
                    hint="give the product a new major, and move its readers there",
                )
            return Counted(older, each)
    return Counted(plan)
