"""What a runner is told: one JSON argument, the same for ours, for Python peers and for Java."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.processors.schemas import CUSTOMER, ORDER, OUTPUTS, WINDOW_MS, Job


@dataclass(frozen=True)
class Spec:
    """One run of one runner.

    Attributes:
        job: what is to be done.
        bootstrap_servers: of the broker.
        prefix: of the session's topics.
        events: how many orders the input topic holds, which is part of its name.
        run: a name that no other run has; the group and the output topic are named by it.
        input: topic of the orders.
        customers: compacted topic of the customers.
        output: topic of the outputs.
        schema_id: numeric id of the output's schema.
        source: CloudEvents source of the outputs.
        type: CloudEvents type of the outputs.
        dataschema: CloudEvents dataschema of the outputs.
        folder: where the runner may keep state; deleted after the run.
        until_end: end by itself at the end of the input, for those that can.
    """

    job: Job
    bootstrap_servers: str
    prefix: str
    events: int
    run: str
    input: str
    customers: str
    output: str
    schema_id: int
    source: str
    type: str
    dataschema: str
    folder: str
    until_end: bool = False

    def to_json(self) -> str:
        """With the schemas, for runners that cannot import them."""
        schemas = {"order": ORDER, "customer": CUSTOMER, "out": OUTPUTS[self.job]}
        return json.dumps({**asdict(self), "window_ms": WINDOW_MS, "schemas": schemas})

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """What `to_json` gave."""
        told: dict[str, Any] = json.loads(text)
        return cls(**{name: told[name] for name in cls.__dataclass_fields__})
