"""The processes of a campaign of the outbox: a service with several writers, and a relay."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshport.binding import Binding
from meshport.kafka.config import KafkaConfig
from meshport.outbox.databases import database_kind
from meshport.outbox.relay import Relay
from meshport.registry import Registry
from tests.outbox.shop import Shop, event, values

AGGREGATES: Final = 400
ROLLED_BACK: Final = 0.02
# Commits wait for some milliseconds, and a few for much longer.
_DELAY_S: Final = 0.002
_LONG: Final = 0.02
_LONG_S: Final = 0.25
_EVENTS: Final = 10
_PAUSE_S: Final = 0.02

CREATION: Final = (
    "CREATE TABLE account (id text PRIMARY KEY, changes integer NOT NULL)",
    "CREATE TABLE journal (id text PRIMARY KEY, aggregate text NOT NULL, n integer NOT NULL)",
    "CREATE TABLE other (n integer)",
)


@dataclass(frozen=True)
class ServiceSpec:
    """What the processes of a campaign are given.

    Attributes:
        database: the URL.
        binding: of the port, as JSON.
        registry: the URL.
        kafka: bootstrap servers.
        writers: threads of a service process.
        seed: of what they draw.
        shards: of the relay.
        pause: a file; while it is there, writers begin no transaction.
    """

    database: str
    binding: str
    registry: str
    kafka: str
    writers: int
    seed: int
    shards: int
    pause: Path


def serve(spec: ServiceSpec, stop: Any) -> None:
    """Change aggregates and emit events until `stop` is set."""
    threads = [threading.Thread(target=_write, args=(spec, number, stop)) for number in range(spec.writers)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def relay(spec: ServiceSpec, stop: Any) -> None:
    """Run a relay until `stop` is set; it keeps published rows for half a minute."""
    logging.basicConfig(level=logging.ERROR)
    with Registry(spec.registry) as registry:
        work = Relay(spec.database, registry, kafka=KafkaConfig(spec.kafka), shards=spec.shards, keep_s=30)
        threading.Thread(target=_stop, args=(work, stop), daemon=True).start()
        work.run()


def _stop(work: Relay, stop: Any) -> None:
    stop.wait()
    work.stop()


def _write(spec: ServiceSpec, number: int, stop: Any) -> None:
    dice = random.Random(f"{spec.seed}-{number}")
    binding = Binding.model_validate_json(spec.binding)
    shop = Shop(spec.database)
    sqlite = database_kind(spec.database) == "sqlite"
    with closing(shop.connected()) as connection:
        if sqlite:
            connection.isolation_level = None
        while not stop.is_set():
            if spec.pause.exists():  # a lock of a process that is killed would be held for ever
                time.sleep(_PAUSE_S)
                continue
            with suppress(sqlite3.OperationalError):
                _transact(shop, connection, binding, dice, sqlite=sqlite)


def _transact(shop: Shop, connection: Any, binding: Binding, dice: random.Random, *, sqlite: bool) -> None:
    """Change some aggregates, each under its lock, with an event of each change; commit or roll back after a while."""
    if sqlite:
        connection.execute("BEGIN IMMEDIATE")
    elif dice.random() < 0.5:  # a transaction id that is older than those of the changes that it will wait for
        connection.execute("INSERT INTO other VALUES (1)")
        time.sleep(dice.expovariate(1 / _DELAY_S))
    mark = "?" if sqlite else "%s"
    for aggregate in sorted({f"a{dice.randrange(AGGREGATES)}" for _ in range(dice.randint(1, _EVENTS))}):
        found = connection.execute(
            f"UPDATE account SET changes = changes + 1 WHERE id = {mark} RETURNING changes", (aggregate,)
        ).fetchall()
        n = found[0][0]
        row = event(binding, aggregate, n)
        connection.execute(shop.statement, values(row))
        connection.execute(f"INSERT INTO journal VALUES ({mark}, {mark}, {mark})", (row.id, aggregate, n))
    time.sleep(_LONG_S * dice.random() if dice.random() < _LONG and not sqlite else dice.expovariate(1 / _DELAY_S))
    if dice.random() < ROLLED_BACK:
        connection.execute("ROLLBACK")
    else:
        connection.execute("COMMIT")
