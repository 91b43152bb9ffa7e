"""A processor with events that it cannot process until three faults are fixed; also as a process of its own.

`python -m tests.process.poison HOST:PORT PREFIX ENGINE` runs it with all faults fixed; the joined rows are read from Kafka.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from meshport.codec import codec_for
from meshport.event import EventWriter
from meshport.kafka.admin import Admin
from meshport.kafka.producer import Message, Producer
from meshport.process.engines import batch
from meshport.process.engines import faust as engine
from meshport.process.engines.memory_ports import Ports
from meshport.process.logic.operators import Apply, Derive, Join, Occurrence
from meshport.process.runtime import worker
from meshport.process.runtime.watchdog import ProcessorProgress
from meshport.process.wire.plan import Plan, make_plan
from meshport.schema import Schema, parse_schema
from tests.connections import CONNECTIONS, connection
from tests.process.plays import ARTISTS, OUT, PLAY, at, field, pipeline, play, ports, record

# A named member gets its partitions back at once after a kill.
RUN: dict[str, Callable[..., ProcessorProgress]] = {
    "batch": partial(batch.run_processor, member="one"),
    "faust": engine.run_processor,
}
OTHER_ID = 99
CHAIN = record("Chain", field("user", "string"), field("ms", "long"), field("n", "long"), field("sum", "long"))
OTHER = parse_schema(json.dumps(PLAY | {"fields": [*PLAY["fields"], field("device", ["null", "string"])]}))
"""The schema of another writer."""

Given = list[tuple[str, str, str]]
"""(user, artist, what is wrong: `schema`, `row`, `function`, or nothing) of each play; its milliseconds are its index."""


class Faults(Ports):
    """Ports with an unregistered schema and a function that fails, until both are fixed."""

    mended = False

    def by_id(self, schema_id: int) -> Schema:
        """The schema of a numeric id."""
        return OTHER if self.mended and schema_id == OTHER_ID else super().by_id(schema_id)

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """The schema of a fingerprint."""
        return OTHER if self.mended and fingerprint == OTHER.fingerprint else super().by_fingerprint(fingerprint)

    def function(self, data: Any) -> int:
        """The milliseconds of a play."""
        if "bad" in data["tags"] and not self.mended:
            raise ValueError("no such tag is known")
        return int(data["ms"])


def chain(state: dict[str, int] | None, event: Occurrence) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Count and sum up the plays of a user, with an output for each."""
    state = state or {"n": 0, "sum": 0}
    state = {"n": state["n"] + 1, "sum": state["sum"] + event.data["ms"]}
    return state, [{"user": event.key[0], "ms": event.data["ms"], **state}]


def mesh(bootstrap_servers: str, prefix: str) -> tuple[Plan, Faults]:
    """The plan of the processor over topics with this prefix, of one partition each."""
    bound = Faults(
        ports(CHAIN, ("user",), cleanup="delete", plays=1), bootstrap_servers=bootstrap_servers, prefix=prefix
    )
    logic = pipeline(
        Join(ARTISTS, "artist", {"label": "label"}, "quarantine"),
        Derive({"ms": bound.function}),
        Apply(chain, by=("user",)),
    )
    plan = make_plan(logic, OUT, bound, kafka=CONNECTIONS)
    admin = Admin(connection(bootstrap_servers))
    for binding in (plan.source, plan.output, *plan.tables.values()):
        admin.ensure_topic(binding.topic, binding.partitions)
    return plan, bound


def publish(plan: Plan, bound: Faults, given: Given) -> None:
    """Store plays."""
    source = plan.source

    def writer(schema: Schema, schema_id: int) -> EventWriter:
        return EventWriter(source=str(source.address), type=source.type, codec=codec_for(schema), schema_id=schema_id)

    writers = {False: writer(bound.by_id(source.schema_id), source.schema_id), True: writer(OTHER, OTHER_ID)}

    def messages() -> Iterable[Message]:
        for number, (user, artist, wrong) in enumerate(given):
            data = play(user, artist, ms=number, tags=["bad"] if wrong == "function" else [])
            if wrong == "schema":
                data["device"] = None
            value, headers = writers[wrong == "schema"].message(data, id=f"p{number}", time=at(0))
            yield Message(source.topic, user.encode(), value, headers)

    with Producer(connection(source.bootstrap_servers)) as producer:
        producer.deliver(messages())


def publish_rows(plan: Plan, bound: Faults, artists: Iterable[str]) -> None:
    """Store rows that are valid from before all plays."""
    (table,) = plan.tables.values()
    writer = EventWriter(
        source=str(table.address),
        type=table.type,
        codec=codec_for(bound.by_id(table.schema_id)),
        schema_id=table.schema_id,
    )
    with Producer(connection(table.bootstrap_servers)) as producer:
        producer.deliver(
            Message(
                table.topic,
                artist.encode(),
                *writer.message({"artist": artist, "label": None, "since": at(-60)}, id=artist, time=at(-60)),
            )
            for artist in artists
        )


def main(bootstrap_servers: str, prefix: str, on: str) -> None:
    """Run the processor until it is stopped."""
    plan, bound = mesh(bootstrap_servers, prefix)
    bound.mended = True
    worker._REDRIVE_BATCH = 50  # type: ignore[misc]
    RUN[on](plan, bound)


if __name__ == "__main__":
    main(*sys.argv[1:])
