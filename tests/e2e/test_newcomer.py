"""The mesh of a new user on real input, by the real commands: published, aggregated, replayed, started again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from itertools import islice
from pathlib import Path

import pytest

from meshport.address import Address
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.ports.subscriber import Subscriber
from tests.e2e import flights
from tests.e2e.flights import COUNT
from tests.e2e.newcomer import DELAYS, DEPARTURES, Newcomer, as_flight
from tests.running import environment, lines
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka

LONG_HAULS = """\
from meshport.process import Filter


def steps():
    return [Filter("distance > 1000")]
"""


def test_five_commands_and_no_line(newcomer: Newcomer) -> None:
    """From an empty directory to 20,000 flights stored takes five commands and not a line written by hand."""
    assert newcomer.commands[:5] == ["init", "new", "new", "up", "publish"]
    assert newcomer.written == 0
    assert newcomer.standing(DEPARTURES).stored == COUNT
    assert "Apache Kafka 4." in newcomer.up.facts["broker"]


def test_the_aggregate_equals_sqlite(newcomer: Newcomer) -> None:
    """Mean and maximum delay are equal to sqlite3's, airport by airport and hour by hour; no airport and no hour more."""
    assert newcomer.delays() == newcomer.truth()
    standing = newcomer.standing(DELAYS)
    assert (standing.quarantined, standing.late) == (0, 0)


def test_february_again_while_life_goes_on(newcomer: Newcomer, quarter: Path) -> None:
    """A replay gives February's flights by event time and no other, moves no live group, and events keep coming in."""
    with newcomer.registry() as registry:
        topic = registry.resolve(Address.parse(DEPARTURES)).topic
        with (
            Subscriber(DEPARTURES, registry, group="dashboard") as live,
            Consumer(KafkaConfig(newcomer.up.facts["bootstrap_servers"]), group="dashboard") as looking,
        ):
            seen = [event.id for event in islice(live, 500)]
            live.commit()
            before = looking.committed(topic)
            replay = subprocess.Popen(
                ["meshport", "replay", DEPARTURES, "--from", "2001-02-01", "--to", "2001-03-01", "--json"],
                cwd=newcomer.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            newcomer.publish_some(flights.later(flights.read(quarter)[10_000:12_000], 1))
            told, said = replay.communicate(timeout=PATIENCE_S)
            assert looking.committed(topic) == before
            assert sum(before.values()) == 499
            assert next(iter(live)).id == seen[-1]
    assert replay.returncode == 0, said
    again = lines(told)
    february = [each for each in flights.read(quarter) if each["date"].startswith("2001/02/")]
    assert len(february) > COUNT / 4
    assert sorted(map(as_flight, again), key=json.dumps) == sorted(february, key=json.dumps)
    assert len({event["id"] for event in again}) == len(again)
    assert len({event["replayid"] for event in again}) == 1
    assert said.splitlines()[-1].endswith(f": {len(february)} events")


def test_a_second_mesh_is_refused(newcomer: Newcomer) -> None:
    """`up` in a project whose mesh runs names the process that runs it and its registry, and changes nothing."""
    said = newcomer.type("up", expect=2).stderr
    assert said == (
        f"error: a mesh runs here already (process {newcomer.up.process.pid}), its registry at "
        f"{newcomer.up.facts['registry_url']}\nhint: Ctrl-C in its terminal ends it\n"
    )


def test_the_next_day(newcomer: Newcomer, quarter: Path) -> None:
    """After Ctrl-C and a new `up` everything is there, and the aggregate goes on from it without counting twice."""
    newcomer.settle(DELAYS)
    rows = newcomer.standing(DELAYS).stored
    newcomer.up.stop()
    newcomer.start()
    newcomer.publish_some(flights.later(flights.read(quarter)[-3000:], 2))
    assert newcomer.delays() == newcomer.truth()
    assert newcomer.standing(DELAYS).stored == rows + 3000


def test_a_broken_processor_is_told_and_tried_again(newcomer: Newcomer, quarter: Path) -> None:
    """`up` reports a processor that fails at import with its error, and restarts it at growing intervals until it is mended."""
    before = newcomer.up.pids
    newcomer.write_product("network/long-hauls", "6b3b1f0e-55ad-4d0c-9d3f-0f6f9a0c3f11", LONG_HAULS)
    newcomer.type("apply")  # which takes no processor that cannot be loaded
    wait_for(lambda: "network/long-hauls" in newcomer.up.pids, lambda: newcomer.up.said)
    newcomer.write("processors/network/long-hauls/logic.py", 'raise RuntimeError("no licence")\n')
    os.kill(newcomer.up.pids["network/long-hauls"], signal.SIGKILL)
    newcomer.up.wait_for_words("network/long-hauls ended with exit code 2; it starts again in 2 s")
    said = newcomer.up.said
    assert (
        said.count("logic.py, line 1, cannot be loaded: RuntimeError: no licence") == 1
    )  # and not again while it stays the same
    waits = re.findall(r"long-hauls (?:was killed by SIGKILL|ended with exit code 2); it starts again in (\S+) s", said)
    assert waits == ["0.5", "1", "2"]
    newcomer.write("processors/network/long-hauls/logic.py", LONG_HAULS)
    newcomer.publish_some(flights.later(flights.read(quarter)[:1000], 3))
    assert newcomer.delays() == newcomer.truth()
    long_hauls = [each for each in newcomer.published if each["distance"] > 1000]
    wait_for(lambda: newcomer.count("network.long-hauls.events.v1") == len(long_hauls), lambda: newcomer.up.said)
    assert newcomer.up.pids[DELAYS] == before[DELAYS]
