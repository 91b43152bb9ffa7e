"""Stream processors: pure logic, and the engines that run it.

The logic (`pipeline`, `expression`, `aggregators`, `groups`, the stages) knows no Kafka and no clock. `worker` is the
protocol that makes a kill harmless. An engine is a way of reading: `batch` on Kafka transactions, `engine` on faust,
`harness` in memory for tests. `columns` does over whole batches what the stages do event by event.
Only `meshport.process.engine` and `meshport.process.commits` import faust.
"""

from meshport.process.expression import Expression
from meshport.process.load import load_pipeline
from meshport.process.pipeline import (
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
    Pipeline,
    Rename,
    Select,
    Session,
    Tumbling,
)
from meshport.process.plan import Plan, make_plan
from meshport.process.shape import check_pipeline, derive_schema

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
