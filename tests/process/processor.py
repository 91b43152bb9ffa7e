"""A processor as a process of its own, to be killed: `python -m tests.process.processor HOST:PORT PREFIX [ENGINE [MEMBER]]`."""

from __future__ import annotations

import sys
from datetime import timedelta

from meshport.process.engines import batch
from meshport.process.engines import faust as engine
from meshport.process.engines.memory_ports import Ports
from meshport.process.logic.operators import Aggregate, Deduplicate, Tumbling
from meshport.process.logic.pipeline import Pipeline
from meshport.process.wire.plan import Plan, make_plan
from tests.connections import CONNECTIONS
from tests.process.plays import OUT, WINDOW, pipeline, ports, record
from tests.process.plays import field as avro

LATENESS = timedelta(minutes=30)
WITHIN = timedelta(hours=2)
LOGIC: Pipeline = pipeline(
    Deduplicate(WITHIN),
    Aggregate(("artist",), {"plays": "count()", "ms": "sum(ms)"}, Tumbling(timedelta(hours=1))),
    lateness=LATENESS,
)
HOUR = record("Hour", avro("artist", "string"), *WINDOW, avro("plays", "long"), avro("ms", "long"))


def mesh(bootstrap_servers: str, prefix: str) -> tuple[Plan, Ports]:
    """Return the plan of the processor over topics with this prefix."""
    bound = Ports(ports(HOUR, ("artist", "window_start"), plays=3), bootstrap_servers=bootstrap_servers, prefix=prefix)
    return make_plan(LOGIC, OUT, bound, kafka=CONNECTIONS), bound


def main(bootstrap_servers: str, prefix: str, on: str = "faust", member: str = "") -> None:
    """Run the processor until it is stopped."""
    plan, bound = mesh(bootstrap_servers, prefix)
    if on == "batch":
        batch.run_processor(plan, bound, member=member or None)
    else:
        engine.run_processor(plan, bound)


if __name__ == "__main__":
    main(*sys.argv[1:])
