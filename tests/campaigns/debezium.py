"""Debezium's own outbox event router in place of a relay: what its readers get of our outbox table.

A service adds events by `Outbox`, some of them in transactions that are rolled back. Debezium's connector for PostgreSQL reads
the table from the write-ahead log, in a worker of Kafka Connect, configured by the block of docs/services.md as it is there. The
worker is killed in the middle and started again. A `Subscriber` then reads the port: every committed event with its data, its
attributes and its key, those of a key in their order, repeats only of an event as a whole.

Kafka Connect and Debezium come from Maven Central, by the hashes in `debezium.lock.json`.
"""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import platformdirs
import psycopg

from meshport import Outbox, Subscriber
from meshport.binding import Binding
from meshport.event import Event
from meshport.local.embedded import EmbeddedKafka
from meshport.local.guardian import GuardedProcess, guard
from meshport.local.jars import ensure_jars, read_lock
from meshport.local.java import find_java
from meshport.local.kraft import free_ports
from meshport.outbox.table import TABLE, creation
from tests.campaigns.outcome import Outcome, say
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh, open_test_mesh
from tests.ports.readings import reading
from tests.postgres_session import logical_postgres
from tests.repository import ROOT

_LOCK: Final = Path(__file__).with_name("debezium.lock.json")
_EVENTS: Final = 2000
_ROLLED_BACK: Final = 0.1
_PARTITIONS: Final = 4
_READ_S: Final = 180.0
_WORKER: Final = {
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    "offset.flush.interval.ms": "500",
    "plugin.discovery": "service_load",
}
_CONNECTOR: Final = {
    "name": "outbox",
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "tasks.max": "1",
    "plugin.name": "pgoutput",
    "topic.prefix": "shop",
    "table.include.list": f"public.{TABLE}",
    "publication.autocreate.mode": "filtered",
    "tombstones.on.delete": "false",
}


@dataclass(frozen=True)
class DebeziumCampaign:
    """What is asked for.

    Attributes:
        seed: of all that is drawn.
        events: that are committed.
    """

    seed: int = 1
    events: int = _EVENTS


def run(asked: DebeziumCampaign) -> Outcome:
    """Run the campaign, print what became of it, and return that."""
    begun = time.monotonic()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        cache = platformdirs.user_cache_path("meshport")
        kafka = opened.enter_context(EmbeddedKafka(cache_dir=cache, brokers=1))
        mesh = opened.enter_context(open_test_mesh(folder, kafka.bootstrap_servers))
        port, rest = free_ports(2, ())
        url = opened.enter_context(logical_postgres(port))
        binding = mesh.product(partitions=_PARTITIONS)
        # What the worker logs is written by the broker's own log4j: its errors, when it ends by one.
        logging = [each for each in ensure_jars(cache, read_lock()) if each.name.startswith("log4j")]
        jars = [*ensure_jars(cache, read_lock(_LOCK)), *logging]
        with psycopg.connect(url, autocommit=True) as connection:
            for each in creation("postgresql"):
                connection.execute(each.encode())
        files = write_properties(folder, kafka.bootstrap_servers, port, rest)
        dice = random.Random(asked.seed)
        added = dict(add(url, mesh, binding, dice, range(asked.events // 2)))
        with worker(jars, files, folder) as first:
            added |= add(url, mesh, binding, dice, range(asked.events // 2, asked.events))
            found = read(mesh, binding, len(added) // 2, folder, first)
            first.kill()
        say(f"  the worker was killed after {len(found)} events")
        with worker(jars, files, folder) as second:
            found = read(mesh, binding, len(added), folder, second)
        faults = judge(binding, added, found)
    took_s = time.monotonic() - begun
    distinct = len({each.id for each in found})
    done = f"{distinct} of {len(added)} events read, {len(found)} readings in all"
    say(f"debezium, seed {asked.seed}: {done}, {took_s:.0f} s")
    for each in faults[:10]:
        say(f"  {each}")
    say(f"  one of them: {found[0].as_dict() if found else None}")
    return Outcome("debezium", done, None, took_s, not faults)


def router() -> dict[str, str]:
    """Return the block of docs/services.md, as a connector has it."""
    text = (ROOT / "docs" / "services.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```properties\n(transforms\.outbox.*?)^```", text, re.MULTILINE | re.DOTALL)
    return dict(line.split("=", 1) for line in block.splitlines())


def write_properties(folder: Path, servers: str, port: int, rest: int) -> tuple[Path, Path]:
    """Write the files of the worker and of the connector."""
    worker_file, connector_file = folder / "worker.properties", folder / "connector.properties"
    given = {
        "bootstrap.servers": servers,
        "offset.storage.file.filename": str(folder / "connect.offsets"),
        "listeners": f"HTTP://127.0.0.1:{rest}",
    }
    database = {
        "database.hostname": "127.0.0.1",
        "database.port": str(port),
        "database.user": "postgres",
        "database.password": "none",
        "database.dbname": "postgres",
    }
    _write(worker_file, _WORKER | given)
    _write(connector_file, _CONNECTOR | database | router())
    return worker_file, connector_file


def _write(file: Path, properties: Mapping[str, str]) -> None:
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()), encoding="utf-8")


@contextmanager
def worker(jars: Sequence[Path], files: Sequence[Path], folder: Path) -> Iterator[GuardedProcess]:
    """Run Kafka Connect with one connector."""
    java = find_java().executable
    command = [str(java), "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", ":".join(map(str, jars))]
    command += ["org.apache.kafka.connect.cli.ConnectStandalone", *map(str, files)]
    process = guard(command, output=folder / "connect.log")
    try:
        yield process
    finally:
        process.stop()


def add(
    url: str, mesh: Mesh, binding: Binding, dice: random.Random, which: range
) -> Iterator[tuple[str, tuple[int, dict[str, Any]]]]:
    """Add events by an outbox, each in a transaction of its own; yield id, number and record of those that are committed."""
    outbox = Outbox(binding.address, mesh.registry)
    with psycopg.connect(url) as connection:
        for number in which:
            record = reading(number)
            if dice.random() < _ROLLED_BACK:
                outbox.add(connection, record)
                connection.rollback()
            id_ = outbox.add(connection, record, id=f"reading {number}: ü")
            connection.commit()
            yield id_, (number, record)


def read(mesh: Mesh, binding: Binding, count: int, folder: Path, process: GuardedProcess) -> list[Event]:
    """Read the port from its beginning, until so many different events are there, or the time is up."""
    found: list[Event] = []
    until = time.monotonic() + _READ_S
    seen: set[str] = set()
    with Subscriber(binding.address, mesh.registry, kafka=CONNECTIONS) as subscriber:
        for batch in subscriber.batches(wait_s=0.5):
            found += batch
            seen |= {each.id for each in batch}
            if len(seen) >= count:
                return found
            if time.monotonic() > until or not process.running:
                say((folder / "connect.log").read_text(errors="replace")[-4000:])
                return found
    return found


def judge(binding: Binding, added: Mapping[str, tuple[int, dict[str, Any]]], found: Sequence[Event]) -> list[str]:
    """Return what is wrong with the events that were read."""
    faults = [f"lost: {each}" for each in added.keys() - {each.id for each in found}]
    first: dict[str, Event] = {}
    order: dict[bytes | None, list[int]] = defaultdict(list)
    for event in sorted(found, key=lambda each: (each.partition, each.offset)):
        if event.id not in added:
            faults.append(f"never committed: {event.id}")
            continue
        number, record = added[event.id]
        expected = (record | {"note": None}, record["at"], str(binding.address), record["sensor"].encode())
        got = ({"note": None} | dict(event.data or {}), event.time, event.source, event.key)
        if got != expected:
            faults.append(f"changed: {event.id}: {got} in place of {expected}")
        same = first.setdefault(event.id, event)
        if same is event:
            order[event.key].append(number)
    faults += [f"out of order: {key!r}" for key, numbers in order.items() if numbers != sorted(numbers)]
    partitions = {(each.key, each.partition) for each in found}
    faults += [] if len(partitions) == len(order) else ["a key is in two partitions"]
    return faults
