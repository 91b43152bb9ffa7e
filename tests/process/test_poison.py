"""Thousands of events in a row that cannot be processed: all are quarantined, and redriven in order."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from meshport.event import Event, EventReader
from meshport.kafka.topic_partition import TopicPartition
from meshport.local.cluster import Cluster
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.quarantine import is_redriven, read_quarantine, read_redriven
from meshport.process.runtime.redrive import pending, redrive
from meshport.process.runtime.worker import Worker
from meshport.process.stages.partition import Counts
from meshport.process.wire.input import InputMessage
from meshport.process.wire.plan import Plan
from tests.connections import CONNECTIONS
from tests.process.poison import RUN, Faults, Given, mesh, publish, publish_rows
from tests.repeats import repeated, repeats
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
USERS = [f"u{number}" for number in range(20)]


def plays(good: int, poison: int) -> Given:
    """Return plays of which so many in a row, in the middle, cannot be processed."""
    dice = random.Random(7)
    fine = [(dice.choice(USERS), "a1", "") for _ in range(good)]
    bad = [(dice.choice(USERS), wrong if wrong == "row" else "a1", wrong) for wrong in
           (dice.choice(("schema", "row", "function")) for _ in range(poison))]  # fmt: skip
    return [*fine[: good // 2], *bad, *fine[good // 2 :]]


def outputs(plan: Plan, bound: Faults) -> list[Event]:
    """The events of the output, partition by partition."""
    log = KafkaLog(plan.kafka)
    reader = EventReader(bound)
    found = [
        reader.read(*each[3:6], *each[:3], each.timestamp_ms)
        for number, (begin, end) in sorted(log.bounds(plan.output.topic).items())
        for each in log.between(plan.output.topic, number, begin, end)
    ]
    log.close()
    return found


def check(plan: Plan, bound: Faults, given: Given) -> None:
    """Assert that each play counts once; by key first the good ones and then the redriven ones, both in order."""
    seen: dict[str, list[int]] = defaultdict(list)
    last = {}
    by_id: dict[str, Event] = {}
    for event in outputs(plan, bound):
        assert by_id.setdefault(event.id, event) == event
        if by_id[event.id] is event:
            seen[event.data["user"]].append(event.data["ms"])
            last[event.data["user"]] = event.data
    for user in USERS:
        mine = [(bool(wrong), number) for number, (by, _, wrong) in enumerate(given) if by == user]
        assert seen[user] == [number for _, number in sorted(mine)]
        assert (last[user]["n"], last[user]["sum"]) == (len(mine), sum(number for _, number in mine))


@contextmanager
def counted_messages() -> Iterator[list[int]]:
    """Count the messages of each batch that a worker is given."""
    counts: list[int] = []
    process = Worker.process

    def counting(worker: Worker, batches: Mapping[TopicPartition, Sequence[InputMessage]], *more: Any) -> Counts:
        counts.append(sum(map(len, batches.values())))
        return process(worker, batches, *more)

    with patch.object(Worker, "process", counting):
        yield counts


@pytest.fixture(params=["batch", "faust"])
def on(request: pytest.FixtureRequest) -> str:
    """An engine."""
    return str(request.param)


@pytest.fixture
def poisoned(kafka: Cluster, on: str) -> tuple[Plan, Faults, Given]:
    """The topics of a processor, with many events in a row that it cannot process."""
    plan, bound = mesh(kafka.bootstrap_servers, f"t{uuid4().hex[:8]}.")
    given = plays(1000, repeats(suite=4000, campaign=10_000) if on == "batch" else 2000)
    publish_rows(plan, bound, ["a1"])
    publish(plan, bound, given)
    return plan, bound, given


def test_killed_while_redriving(kafka: Cluster, on: str) -> None:
    """A processor that is killed while it processes redriven events counts each once, in order by key."""
    prefix = f"t{uuid4().hex[:8]}."
    plan, bound = mesh(kafka.bootstrap_servers, prefix)
    good, bad = [(user, "a1", "") for user in USERS], [(user, "row", "row") for user in USERS * 40]
    given = [*good, *bad]
    publish_rows(plan, bound, ["a1"])
    publish(plan, bound, given)
    RUN[on](plan, bound, until_end=True)
    publish_rows(plan, bound, ["row"])
    assert len(redrive(plan.output, kafka=CONNECTIONS)) == len(bad)
    log = KafkaLog(plan.kafka)
    command = [sys.executable, "-m", "tests.process.poison", kafka.bootstrap_servers, prefix, on]
    process = subprocess.Popen(command, cwd=ROOT)
    wait_for(lambda: sum(end for _, end in log.bounds(plan.output.topic).values()) > len(good) + 4, pause_s=0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    log.close()
    bound.mended = True
    progress = RUN[on](plan, bound, until_end=True)
    assert progress.redriven > 0
    check(plan, bound, given)


@repeated
def test_poison_in_a_row(poisoned: tuple[Plan, Faults, Given], on: str) -> None:
    """Each bad event is processed once and quarantined; after the fix all are redriven, in order by key, each once."""
    plan, bound, given = poisoned
    poison = sum(bool(wrong) for _, _, wrong in given)
    with counted_messages() as counts:
        progress = RUN[on](plan, bound, until_end=True)
    assert sum(counts) == len(given)  # nothing is tried again
    assert (progress.read, progress.quarantined) == (len(given), poison)
    quarantined = pending(plan.output, kafka=CONNECTIONS)
    assert len(quarantined) == poison
    assert {each.error for each in quarantined} == {"NoRow", "NotRegistered", "ValueError"}

    bound.mended = True
    publish_rows(plan, bound, ["row"])
    few = redrive(plan.output, lambda event: event.offset < 600, kafka=CONNECTIONS)
    assert [each.offset for each in few] == list(range(500, 600))
    assert len(redrive(plan.output, kafka=CONNECTIONS)) == poison - 100
    assert redrive(plan.output, kafka=CONNECTIONS) == []
    progress = RUN[on](plan, bound, until_end=True)
    assert (progress.read, progress.redriven, progress.quarantined) == (0, poison, 0)
    check(plan, bound, given)
    last = read_redriven(plan.output, CONNECTIONS)
    assert all(is_redriven(event, last) for event in read_quarantine(plan.output, kafka=CONNECTIONS))
