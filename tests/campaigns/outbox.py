"""kill -9 of the relays, the service and the broker of an outbox, again and again; and what a naive poller would have lost.

Sixteen writers of a service change aggregates under their locks, each change with an event, with commits that wait for
random times and some that are rolled back. Relays publish the outbox, and are killed while they work. In the end the
ledger compares the service's journal with the topic. On PostgreSQL, two readers follow the same table as one finds them
described, so that the ledger is seen to catch what they do: one that remembers the last number, and one that goes by
transaction ids below `pg_snapshot_xmin`.
"""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import platformdirs
import psycopg

from meshport.event import EventReader
from meshport.kafka.received import headers_of
from meshport.local.embedded import EmbeddedKafka
from meshport.outbox.databases import look_at
from meshport.ports.scan import read_topic
from tests.campaigns import outbox_child as child
from tests.campaigns.outbox_ledger import Change, judge
from tests.campaigns.outcome import Outcome, say
from tests.connections import connection
from tests.mesh_session import Mesh, open_test_mesh
from tests.outbox.shop import Shop
from tests.postgres_session import running_postgres

Database = Literal["sqlite", "postgres"]
DATABASES: Final[tuple[Database, ...]] = ("postgres", "sqlite")

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.campaigns.outbox_child"])

_SERVICES: Final = 4
_WRITERS: Final = 4
_RELAYS: Final = 2
_PARTITIONS: Final = 6
_DRAIN_S: Final = 600.0
_REPORT_EVERY: Final = 50
# Writers pause while so many rows wait: they are faster than relays that are killed every second.
_MOST_WAITING: Final = 10_000
_MOST_ROWS: Final = 2  # of those that were asked for, spread over the kills
_LEAD: Final = 20


@dataclass(frozen=True)
class OutboxCampaign:
    """What is asked for.

    Attributes:
        database: of the service.
        kills: of relays; a fifth as many more of the service, and a twentieth of the broker.
        rows: events that are committed at least.
        seed: of all that is drawn.
        shards: of the relays.
    """

    database: Database
    kills: int
    rows: int
    seed: int = 1
    shards: int = 2


def run(asked: OutboxCampaign) -> Outcome:
    """Run a campaign, print what became of it, and return that."""
    begun = time.monotonic()
    dice = random.Random(asked.seed)
    done = Counter[str]()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        kafka = opened.enter_context(EmbeddedKafka(cache_dir=platformdirs.user_cache_path("meshport"), brokers=1))
        mesh = opened.enter_context(open_test_mesh(folder, kafka.bootstrap_servers))
        binding = mesh.product(partitions=_PARTITIONS)
        shop = Shop.create(opened.enter_context(_database(asked.database, folder)))
        _prepare(shop)
        spec = child.ServiceSpec(
            shop.url,
            binding.model_dump_json(),
            mesh.url,
            kafka.bootstrap_servers,
            _WRITERS,
            asked.seed,
            asked.shards,
            folder / "pause",
        )
        pollers = [Poller(shop, each) for each in (BY_NUMBER, BY_TRANSACTION)] if asked.database == "postgres" else []
        services = [Kept(child.serve, replace(spec, seed=asked.seed * 100 + number)) for number in range(_SERVICES)]
        relays = [Kept(child.relay, spec) for _ in range(_RELAYS)]
        try:
            while done["relay"] < asked.kills or committed(shop) < asked.rows:
                time.sleep(dice.uniform(0.1, 2.0))
                wanted = _MOST_ROWS * asked.rows * (done["relay"] + _LEAD) / max(1, asked.kills)
                if shop.waiting > _MOST_WAITING or committed(shop) > wanted:
                    spec.pause.touch()
                else:
                    spec.pause.unlink(missing_ok=True)
                if done["relay"] < asked.kills:
                    _kill(dice, done, relays, services, kafka)
                if sum(done.values()) % _REPORT_EVERY == 0:
                    say(f"  {dict(done)}, {committed(shop)} rows, {shop.waiting} wait")
        finally:
            for each in services:
                each.end()
        _drain(shop, relays)
        for each in relays:
            each.end()
        journal = {id_: (aggregate, n) for id_, aggregate, n in shop.ask("SELECT id, aggregate, n FROM journal")}
        report = judge(journal, published(mesh, binding.topic))
        took_s = time.monotonic() - begun
        say(f"{asked.database}, seed {asked.seed}: {dict(done)} kills, {len(journal)} rows, {took_s:.0f} s")
        say(str(report))
        for poller in pollers:
            say(f"beside it, {poller.name}:")
            say(str(judge(journal, poller.close())))
    name = f"outbox, {asked.database}"
    return Outcome(name, f"{done['relay']} kills of relays, {len(journal)} rows", report, took_s, report.clean)


def committed(shop: Shop) -> int:
    """Return how many events were committed."""
    return int(shop.ask("SELECT count(*) FROM journal")[0][0])


class Kept:
    """A process that is started again whenever it was killed."""

    def __init__(self, target: Any, spec: child.ServiceSpec) -> None:
        self._target, self._spec = target, spec
        self._stop = _FORKS.Event()
        self._start()

    def _start(self) -> None:
        self._process = _FORKS.Process(target=self._target, args=(self._spec, self._stop), daemon=True)
        self._process.start()

    def kill(self) -> None:
        """End it by SIGKILL, and start another."""
        self._process.kill()
        self._process.join()
        self._spec = replace(self._spec, seed=self._spec.seed + 10_000)
        # What the killed one may have held of the event's lock is gone with it.
        self._stop = _FORKS.Event()
        self._start()

    def keep(self) -> int:
        """Start it again if it has ended by itself; return how often that was."""
        if self._process.is_alive():
            return 0
        self._start()
        return 1

    def end(self) -> None:
        """Have it end."""
        self._stop.set()
        self._process.join(60)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _kill(
    dice: random.Random, done: Counter[str], relays: list[Kept], services: list[Kept], kafka: EmbeddedKafka
) -> None:
    drawn = dice.random()
    if drawn < 0.04:
        kafka.kill(1)
        time.sleep(dice.uniform(0.0, 2.0))
        kafka.restart(1)
        done["broker"] += 1
    elif drawn < 0.2:
        dice.choice(services).kill()
        done["service"] += 1
    else:
        dice.choice(relays).kill()
        done["relay"] += 1
    done["ended by itself"] += sum(each.keep() for each in relays)
    if not done["ended by itself"]:
        del done["ended by itself"]


def _drain(shop: Shop, relays: list[Kept]) -> None:
    until = time.monotonic() + _DRAIN_S
    while shop.waiting and time.monotonic() < until:
        for each in relays:
            each.keep()
        time.sleep(0.5)
    if shop.waiting:
        say(f"  not drained: {look_at(shop.url, 3)}")


def published(mesh: Mesh, topic: str) -> Iterator[Change]:
    """Yield what is in a topic, partition by partition."""
    reader = EventReader(mesh.registry)
    for messages in read_topic(connection(mesh.bootstrap_servers), topic):
        for message in messages:
            event = reader.read(
                message.key(), message.value(), headers_of(message), topic, message.partition(), message.offset(), 0
            )
            yield Change(event.id, event.data["sensor"], int(event.data["celsius"]))


@contextmanager
def _database(kind: Database, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'shop.db'}"
        return
    with running_postgres() as (_, new):
        yield new()


def _prepare(shop: Shop) -> None:
    with shop.transaction() as opened:
        for each in child.CREATION:
            opened.execute(each)
        for number in range(child.AGGREGATES):
            opened.execute(f"INSERT INTO account VALUES ('a{number}', 0)")
        if not shop.url.startswith("sqlite"):  # for the reader that goes by it
            opened.execute(
                'ALTER TABLE meshport_outbox ADD COLUMN "transaction" xid8 NOT NULL DEFAULT pg_current_xact_id()'
            )
    if shop.url.startswith("sqlite"):
        with closing(shop.connected()) as opened:
            opened.execute("PRAGMA journal_mode = WAL")


BY_NUMBER: Final = (
    "a poller that remembers the last number",
    "SELECT number, number, id, aggregate, n FROM meshport_outbox JOIN journal USING (id)"
    " WHERE number > %s AND %s >= 0 ORDER BY number",
)
BY_TRANSACTION: Final = (
    "a reader by transaction id below pg_snapshot_xmin",
    'SELECT "transaction"::text::bigint, number, id, aggregate, n FROM meshport_outbox JOIN journal USING (id)'
    ' WHERE ("transaction", number) > (%s::text::xid8, %s) AND "transaction" < pg_snapshot_xmin(pg_current_snapshot())'
    ' ORDER BY "transaction", number',
)


class Poller:
    """Follows the table in a thread as others do, from what it has read last; it publishes nothing."""

    def __init__(self, shop: Shop, how: tuple[str, str]) -> None:
        self.name, self._query = how
        self._shop = shop
        self._seen: list[Change] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        last = (0, 0)
        with psycopg.connect(self._shop.url, autocommit=True) as opened:
            while True:
                stopping = self._stop.is_set()
                rows = opened.execute(self._query.encode(), last).fetchall()
                self._seen += [Change(*each[2:]) for each in rows]
                last = rows[-1][:2] if rows else last
                if stopping and not rows:
                    return
                time.sleep(0.01)

    def close(self) -> list[Change]:
        """Read to the end, and return what was seen."""
        self._stop.set()
        self._thread.join()
        return self._seen
