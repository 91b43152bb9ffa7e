"""The processors of a campaign: hourly totals in which every update identifies the event that made it.

Each event weighs what no other does (`ms`), and totals are a count and a sum: so two updates of a key that follow each
other differ by one event, which the ledger names. Events tagged `unlucky` make the product's own function raise.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from meshport.process.engines.memory_ports import Port, Ports
from meshport.process.logic.operators import Aggregate, Deduplicate, Filter, Operator, Record, Tumbling
from meshport.process.logic.pipeline import Pipeline
from meshport.process.wire.plan import Plan, make_plan
from tests.process.plays import OUT, WINDOW, pipeline, ports, record
from tests.process.plays import field as avro

LATENESS: Final = timedelta(minutes=30)
WITHIN: Final = timedelta(hours=2)
UNLUCKY: Final = "unlucky"
KEYS: Final = {"windows": "user", "rekeyed": "artist", "columns": "user"}
"""By plan: the field that is grouped by. Events are keyed by `user`, so that only `rekeyed` needs a new key. The third is
declared throughout, so that the batch engine computes it by columns, and remembers no ids; it is fed no doubles."""
COLUMNS: Final = "columns"
PARTITIONS: Final = 4

Function = Callable[[Record], bool]


def sound(play: Record) -> bool:
    """A product's own function.

    Raises:
        ValueError: the play is unlucky.
    """
    if UNLUCKY in play["tags"]:
        raise ValueError(UNLUCKY)
    return True


def logic(plan: str, function: Function = sound) -> Pipeline:
    """The pipeline of a plan, a name of `KEYS`."""
    values = {"plays": "count()", "ms": "sum(ms)"}
    before: list[Operator] = [Filter("ms > 0")] if plan == COLUMNS else [Deduplicate(WITHIN), Filter(function)]
    aggregate = Aggregate((KEYS[plan],), values, Tumbling(timedelta(hours=1)))
    return pipeline(*before, aggregate, lateness=LATENESS)


def declared(plan: str) -> dict[str, Port]:
    """The ports of a plan."""
    by = KEYS[plan]
    hour: dict[str, Any] = record("Hour", avro(by, "string"), *WINDOW, avro("plays", "long"), avro("ms", "long"))
    return ports(hour, (by, "window_start"), plays=PARTITIONS, outputs=3)


def mesh(bootstrap_servers: str, prefix: str, plan: str, function: Function = sound) -> tuple[Plan, Ports]:
    """The processor over topics with this prefix."""
    bound = Ports(declared(plan), bootstrap_servers=bootstrap_servers, prefix=prefix)
    return make_plan(logic(plan, function), OUT, bound), bound
