"""A join of two streams on a real Kafka: killed with SIGKILL, with poison on both sides that is brought back."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from meshport.codec import codec_for
from meshport.event import Event, EventReader, EventWriter
from meshport.event.record import record_key
from meshport.kafka.admin import Admin
from meshport.kafka.producer import Message, Producer
from meshport.local.cluster import Cluster
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.own_topics import ensure_topics
from meshport.process.runtime.redrive import redrive
from meshport.process.wire.plan import Plan
from tests.connections import CONNECTIONS
from tests.process.streams import DAY, ENGINES, ORDERS, UNKNOWN, Untold, mesh, order, payment, recount
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


def publish(plan: Plan, bound: Untold, count: int) -> None:
    """Store orders and payments over most of a day, out of order; one in twenty names a schema that is not known."""
    dice = random.Random(count)
    admin = Admin(plan.kafka)
    for binding in (*(each.binding for each in plan.sources), plan.output):
        admin.ensure_topic(binding.topic, binding.partitions)
    ensure_topics(plan, admin)
    messages = []
    for number in range(count):
        minutes = 1200 * number / count - dice.random() * 8
        name = f"o{dice.randrange(number // 10, number // 10 + 12)}"
        for source in plan.sources:
            binding, is_order = source.binding, source.binding.address.of_product == ORDERS
            unknown = next(id for id, port in UNKNOWN.items() if port == binding.address.of_product)
            schema_id = unknown if dice.random() < 0.05 else binding.schema_id
            data = order(name, minutes, number) if is_order else payment(name, minutes, number)
            writer = EventWriter(
                source=str(binding.address), type=binding.type, codec=codec_for(bound.by_id(binding.schema_id)),
                schema_id=schema_id,
            )  # fmt: skip
            value, headers = writer.message(data, id=f"e{number}", time=data["at" if is_order else "paid_at"])
            told = [each for each in headers if each[0] != "ce_dataschema"]
            messages.append(Message(binding.topic, record_key(binding.key)(data), value, told))
    with Producer(plan.kafka) as producer:
        producer.deliver(messages)


def events(topic: str, bound: Untold, log: KafkaLog) -> list[Event]:
    """All events of a topic, partition by partition."""
    reader = EventReader(bound)
    bounds = sorted(log.bounds(topic).items())
    return [reader.read(*each.parts) for at, (begin, end) in bounds for each in log.between(topic, at, begin, end)]


@dataclass
class Outcome:
    """What one engine left.

    Attributes:
        found: the outputs.
        expected: by id, what two nested loops give.
    """

    found: list[Event]
    expected: dict[str, Any]


def killed_and_redriven(kafka: Cluster, on: str) -> Outcome:
    """Kill an engine while it writes, let it finish, bring back what was set aside."""
    prefix = f"t{uuid4().hex[:8]}."
    plan, bound = mesh(kafka.bootstrap_servers, prefix)
    publish(plan, bound, 1200)
    log = KafkaLog(kafka.config)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.process.streams", kafka.bootstrap_servers, prefix, on], cwd=ROOT
    )
    try:
        wait_for(lambda: sum(end for _, end in log.bounds(plan.output.topic).values()) > 50, pause_s=0.01)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    progress = ENGINES[on](plan, bound, until_end=True)
    assert progress.lag == 0
    bound.mended = True
    brought_back = redrive(plan.output, kafka=CONNECTIONS)
    assert {each.topic for each in brought_back} == {each.stage.topic for each in plan.sources}
    progress = ENGINES[on](plan, bound, until_end=True)
    assert (progress.redriven, progress.quarantined, redrive(plan.output, kafka=CONNECTIONS)) == (
        len(brought_back),
        0,
        [],
    )
    left, right = (events(each.stage.topic, bound, log) for each in plan.sources)
    found = events(plan.output.topic, bound, log)
    log.close()
    return Outcome(found, recount(left, right, "keep", len(plan.numbers), DAY))


@pytest.fixture(scope="module")
def outcomes(kafka: Cluster) -> dict[str, Outcome]:
    """Of both engines at a time, since most of it is waiting for groups to form."""
    with ThreadPoolExecutor(len(ENGINES)) as pool:
        return dict(zip(ENGINES, pool.map(partial(killed_and_redriven, kafka), ENGINES), strict=True))


@pytest.mark.parametrize("on", ENGINES)
def test_pairs_survive_a_kill_and_a_redrive(on: str, outcomes: dict[str, Outcome]) -> None:
    """The pairs are those of two nested loops; with the batch engine none is on the wire twice."""
    found = outcomes[on].found
    assert {event.id: (event.time, event.data) for event in found} == outcomes[on].expected
    assert on == "faust" or len({event.id for event in found}) == len(found)
