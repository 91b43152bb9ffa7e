"""The relay of an outbox beside a naive one: rows a second from a full table to the topic, and marked.

The naive relay is what one writes from the pattern's description: it selects a hundred rows, produces each, flushes, marks them
and commits. It gets the same table, rows, broker and client settings. It is not safe: it has no lock and no fence, and goes
on after an error.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import platformdirs
from confluent_kafka import Producer

from meshport.binding import Binding
from meshport.local.cluster import open_cluster
from meshport.outbox import Relay
from meshport.outbox.row import OutboxRow
from meshport.outbox.table import COLUMNS
from tests.bench.figures import Figure
from tests.bench.ports import PRODUCER
from tests.mesh_session import Mesh, open_test_mesh
from tests.outbox.shop import Shop, event, values
from tests.postgres_session import running_postgres

ROWS: Final = 10_000
ROUNDS: Final = 3
_KEYS: Final = 1_000
_NAIVE: Final = 100


def figures() -> Iterator[Figure]:
    """The figures `relay` on both databases, each beside the naive relay on the same."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        cluster = opened.enter_context(open_cluster(None, cache_dir=platformdirs.user_cache_path("meshport")))
        mesh = opened.enter_context(open_test_mesh(folder, cluster.bootstrap_servers))
        _, new = opened.enter_context(running_postgres())
        binding = mesh.product(partitions=6)
        for name, url in (("postgresql", new()), ("sqlite", f"sqlite:///{folder / 'shop.db'}")):
            shop = Shop.create(url)
            ours = _rows_a_second(shop, binding, partial(_relay, shop, mesh, binding))
            naive = _rows_a_second(shop, binding, partial(_naive, shop, binding))
            yield Figure(f"relay, {name}", ours, "rows/s", "naive relay", naive)


def _rows_a_second(
    shop: Shop, binding: Binding, opened: Callable[[], AbstractContextManager[Callable[[], None]]]
) -> float:
    """Commit rows beside a relay that has its connections, and wait until all are marked."""
    rates = []
    for _ in range(ROUNDS):
        shop.ask("DELETE FROM outbox")
        rows = [values(event(binding, f"s{n % _KEYS}", n)) for n in range(ROWS)]
        with opened() as publish, closing(shop.connected()) as connection:
            connection.cursor().executemany(shop.statement, rows)
            begun = time.perf_counter()
            connection.commit()
            publish()
            rates.append(ROWS / (time.perf_counter() - begun))
    return statistics.median(rates)


@contextmanager
def _relay(shop: Shop, mesh: Mesh, binding: Binding) -> Iterator[Callable[[], None]]:
    with Relay(shop.url, mesh.registry, kafka=mesh.kafka), closing(shop.connected()) as connection:

        def waiting() -> int:
            ((count,),) = connection.execute(
                "SELECT count(*) FROM meshport_outbox WHERE published_at IS NULL"
            ).fetchall()
            connection.rollback()
            return int(count)

        def drain() -> None:
            while waiting():
                time.sleep(0.05)

        shop.emit(binding, [("s0", 0)])
        drain()
        yield drain


@contextmanager
def _naive(shop: Shop, binding: Binding) -> Iterator[Callable[[], None]]:
    producer = Producer({"bootstrap.servers": binding.bootstrap_servers, **PRODUCER})
    mark = "?" if shop.url.startswith("sqlite") else "%s"
    columns = ", ".join(f'"{each}"' for each in COLUMNS)
    with closing(shop.connected()) as connection:

        def publish() -> None:
            while rows := connection.execute(
                f"SELECT number, {columns} FROM meshport_outbox WHERE published_at IS NULL ORDER BY number LIMIT {_NAIVE}"
            ).fetchall():
                for _, *found in rows:
                    row = OutboxRow.read(found)
                    headers: dict[str, str | bytes | None] = dict(row.headers(datetime.now(UTC)))
                    producer.produce(binding.topic, row.payload, row.key, headers=headers)
                producer.flush()
                _mark(connection, mark, [number for number, *_ in rows])

        producer.list_topics(binding.topic, timeout=30)
        yield publish


def _mark(connection: Any, mark: str, numbers: list[int]) -> None:
    connection.cursor().executemany(
        f"UPDATE meshport_outbox SET published_at = CURRENT_TIMESTAMP WHERE number = {mark}",
        [(each,) for each in numbers],
    )
    connection.commit()
