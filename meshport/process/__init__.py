"""Stream processors: the logic, and the engines that run it on Kafka.

Bottom up, each package using only those before it:

- `logic`: operators, expressions and aggregators. Pure: no Kafka, no state, no clock.
- `state`: the rows that a changelog restores, and what windows, joins and de-duplication keep in them.
- `wire`: the plan of a processor, and the messages that it reads and writes.
- `columns`: the same computation over Arrow columns, where it gives the same bytes.
- `stages`: what is done with one partition of an input or of the repartition topic.
- `runtime`: the worker that keeps state, changelog and outputs consistent through a crash; quarantine and redrive.
- `engines`: `batch` on Kafka transactions, `faust` event by event, `memory` for tests.
"""

from meshport.expression.expression import Expression
from meshport.process.logic.load import load_pipeline
from meshport.process.logic.operators import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Filter,
    Flatten,
    Hopping,
    Join,
    JoinStream,
    Occurrence,
    Operator,
    Rename,
    Select,
    Session,
    Tumbling,
)
from meshport.process.logic.pipeline import Pipeline
from meshport.process.logic.shape import check_pipeline, derive_schema
from meshport.process.wire.plan import Plan, make_plan

__all__ = [
    "Pipeline",
    "Operator",
    "Select",
    "Rename",
    "Filter",
    "Derive",
    "Flatten",
    "Join",
    "JoinStream",
    "Deduplicate",
    "Aggregate",
    "Apply",
    "Tumbling",
    "Hopping",
    "Session",
    "Occurrence",
    "Expression",
    "Plan",
    "load_pipeline",
    "make_plan",
    "check_pipeline",
    "derive_schema",
]
