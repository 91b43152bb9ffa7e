"""Every scenario on every engine: in memory, and on each with a real Kafka, with the same outputs to the byte."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest

from meshport.kafka.admin import Admin
from meshport.kafka.producer import Message, Producer
from meshport.local.cluster import Cluster
from meshport.process.engines import batch
from meshport.process.engines import faust as engine
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import Ports
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.watchdog import ProcessorProgress
from meshport.process.wire.input import InputMessage
from tests.connections import connection
from tests.process.scenarios import SCENARIOS, Outcome, Scenario

ENGINES = {"faust": engine.run_processor, "batch": batch.run_processor}
Ran = dict[tuple[str, str], tuple[Outcome, Outcome, ProcessorProgress]]


def in_memory(scenario: Scenario, ports: Ports) -> tuple[Outcome, Harness]:
    """A scenario on the harness."""
    harness = Harness(scenario.pipeline, output="listening/out", ports=ports)
    scenario.fill(harness)
    harness.run()
    return Outcome(harness.ports, harness.outputs(), harness.late(), harness.quarantine()), harness


def on_kafka(name: str, harness: Harness, bootstrap_servers: str) -> tuple[Outcome, ProcessorProgress]:
    """The input of a harness, byte by byte on a real Kafka, through an engine."""
    kafka = connection(bootstrap_servers)
    plan, admin = replace(harness.plan, kafka=kafka), Admin(kafka)
    inputs = [*(each.binding for each in plan.sources), *plan.tables.values()]
    for binding in (*inputs, plan.output):
        # Scenarios have their times in the past, so that retention would delete their events.
        settings = {"message.timestamp.after.max.ms": str(2**62), "retention.ms": "-1"}
        admin.ensure_topic(binding.topic, binding.partitions, settings)
    with Producer(kafka) as producer:
        for binding in inputs:
            producer.deliver(
                Message(
                    each.topic, each.key, each.value, each.headers, max(each.timestamp_ms, 0) or None, each.partition
                )
                for each in harness.outputs(binding.topic)
            )
    progress = ENGINES[name](plan, harness.ports, until_end=True)
    log = KafkaLog(kafka)

    def read(topic: str) -> list[InputMessage]:
        found = admin.partitions().get(topic, 0)
        bounds = log.bounds(topic) if found else {}
        return [
            each for number, (begin, end) in sorted(bounds.items()) for each in log.between(topic, number, begin, end)
        ]

    outcome = Outcome(harness.ports, read(plan.output.topic), read(plan.late_topic), read(plan.quarantine_topic))
    log.close()
    return outcome, progress


@pytest.fixture(scope="module")
def ran(kafka: Cluster) -> Ran:
    """Every scenario, run on every engine."""
    return run_all(RUNS, kafka.bootstrap_servers)


def run_all(runs: list[tuple[str, str]], bootstrap_servers: str) -> Ran:
    """Run scenarios on engines, several at a time, since most of a run is waiting for the group to form."""

    def both(run: tuple[str, str]) -> tuple[Outcome, Outcome, ProcessorProgress]:
        name, on = run
        prefix = f"{name.lower()}-{uuid4().hex[:8]}."
        scenario = SCENARIOS[name]
        ports = Ports(scenario.ports, bootstrap_servers=bootstrap_servers, prefix=prefix)
        expected, harness = in_memory(scenario, ports)
        return expected, *on_kafka(on, harness, bootstrap_servers)

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(runs, pool.map(both, runs), strict=True))


@pytest.mark.parametrize("name", SCENARIOS)
def test_in_memory(name: str) -> None:
    """The harness fulfils the scenario."""
    outcome, _ = in_memory(SCENARIOS[name], Ports(SCENARIOS[name].ports))
    SCENARIOS[name].check(outcome)


RUNS = [(name, on) for on in ENGINES for name in SCENARIOS]


@pytest.mark.parametrize(("name", "on"), RUNS)
def test_on_kafka(name: str, on: str, ran: Ran) -> None:
    """Each engine with a real Kafka fulfils it too, and says the same, byte for byte where interleaving cannot show."""
    check(name, on, ran)


def check(name: str, on: str, ran: Ran) -> None:
    """A scenario that ran on an engine is fulfilled as in memory."""
    expected, outcome, progress = ran[name, on]
    SCENARIOS[name].check(outcome)
    assert outcome.table == expected.table
    if SCENARIOS[name].same_bytes:
        assert outcome.said == expected.said
    assert progress.lag == 0
    assert progress.quarantined == len(outcome.quarantine)
    assert progress.late == len(outcome.late)
