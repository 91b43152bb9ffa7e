"""A service under 200 concurrent requests, each of which publishes one event and answers once that is stored.

The AsyncPublisher stands beside the way that a service has without it: handlers in the thread pool of Starlette, 40 threads, each
waiting for the receipt of its event. Both share one service, broker and load. The route that publishes nothing is the ceiling.
A request that commits a row and its event by the outbox stands beside one that commits the row, on PostgreSQL; no relay runs.
Then the requests of a while are cancelled at a random moment, and the topic is compared with what the requests were told.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import platformdirs
import psycopg

from meshport.binding import Binding
from meshport.local.cluster import open_cluster
from meshport.outbox import create_table
from meshport.ports.replay import Replay
from tests.bench.figures import Figure
from tests.bench.load import Load, measure, request
from tests.bench.ports import ORDER, orders
from tests.mesh_session import Mesh, open_test_mesh
from tests.postgres_session import running_postgres

CONNECTIONS: Final = 200
SECONDS: Final = 3.0
ROUNDS: Final = 3
_WAYS: Final = ("async", "pool", "nothing", "outbox", "rows")


def figures() -> Iterator[Figure]:
    """The figures of one service on one embedded broker, the ways taking turns."""
    cache = platformdirs.user_cache_path("meshport")
    with (
        tempfile.TemporaryDirectory() as folder,
        open_cluster(None, cache_dir=cache) as cluster,
        open_test_mesh(Path(folder), cluster.bootstrap_servers) as mesh,
        running_postgres() as (_, new_database),
    ):
        database = new_database()
        with psycopg.connect(database) as connection:
            create_table(connection)
            connection.execute("CREATE TABLE sale (number bigserial PRIMARY KEY, order_id text)")
        binding = mesh.product(ORDER, key="customer", time="ordered_at")
        with _served(mesh, binding, database) as (url, pid):
            yield from _rates(url, pid)
            yield from _cancelled(url, mesh, binding)


def _rates(url: str, pid: int) -> Iterator[Figure]:
    bodies = _bodies()
    loads: dict[str, list[Load]] = {way: [] for way in _WAYS}
    costs: dict[str, list[float]] = {way: [] for way in _WAYS}
    for round in range(ROUNDS + 1):
        for way in _WAYS:
            requests = [request("POST", f"/{way}", body) for body in bodies]
            before = _cpu_s(pid)
            load = measure(url, requests, connections=CONNECTIONS, seconds=SECONDS)
            assert not load.refused, load.last
            if round:  # the first warms up
                loads[way].append(load)
                costs[way].append((_cpu_s(pid) - before) / load.answered * 1e6)
    rates = {way: statistics.median(each.rate for each in found) for way, found in loads.items()}
    cost = {way: statistics.median(found) for way, found in costs.items()}
    slowest = {way: statistics.median(each.p99_ms for each in found) for way, found in loads.items()}
    yield Figure("emitting service", rates["async"], "requests/s", "thread pool", rates["pool"])
    yield Figure("emitting service", rates["async"], "requests/s", "publishing nothing", rates["nothing"])
    yield Figure("emitting service CPU", cost["async"], "us/request", "thread pool", cost["pool"])
    yield Figure("emitting service CPU", cost["async"], "us/request", "publishing nothing", cost["nothing"])
    yield Figure("emitting service by outbox", rates["outbox"], "requests/s", "the row alone", rates["rows"])
    yield Figure("emitting service by outbox CPU", cost["outbox"], "us/request", "the row alone", cost["rows"])
    yield Figure("emitting service p99", slowest["async"], "ms", "thread pool", slowest["pool"])


def _cancelled(url: str, mesh: Mesh, binding: Binding) -> Iterator[Figure]:
    before = set(_ids(mesh, binding))
    answers = _told(url)
    told = {each for each in answers if each}
    _settled(url)
    found = [each for each in _ids(mesh, binding) if each not in before]
    yield Figure("cancelled requests", len(answers) - len(told), "requests", None, None)
    yield Figure("cancelled requests: stored without an answer", len(set(found) - told), "events", None, None)
    yield Figure("cancelled requests: stored twice", len(found) - len(set(found)), "events", None, None)
    yield Figure("cancelled requests: answered and not stored", len(told - set(found)), "events", None, None)


def _told(url: str) -> list[str]:
    """What each of many requests that may be cancelled was told: the id of its event, or nothing."""

    async def ask() -> list[str]:
        limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        async with httpx2.AsyncClient(base_url=url, limits=limits, trust_env=False, timeout=None) as client:

            async def some() -> list[str]:
                answers = [await client.post("/cancelled", content=body) for body in _bodies()[:20]]
                return [str(each.raise_for_status().json()) for each in answers]

            return [told for each in await asyncio.gather(*(some() for _ in range(CONNECTIONS))) for told in each]

    return asyncio.run(ask())


def _settled(url: str) -> None:
    """Wait until no event of the service waits for its outcome."""
    with httpx2.Client(base_url=url, trust_env=False) as client:
        while client.get("/waiting").json():
            pass


def _ids(mesh: Mesh, binding: Binding) -> list[str]:
    with Replay(binding.address, mesh.registry) as replay:
        return [event.id for event in replay.history()]


def _bodies() -> list[str]:
    records: list[dict[str, Any]] = orders(1000)
    return [json.dumps({name: value for name, value in each.items() if name != "ordered_at"}) for each in records]


def _cpu_s(pid: int) -> float:
    """The CPU time of a process so far, of all its threads: what a request costs, whatever else the machine does."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _served(mesh: Mesh, binding: Binding, database: str) -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    driver = database.replace("postgresql:", "postgresql+psycopg:")
    given = (mesh.url, str(binding.address), driver, str(port))
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.emitting_service", *given])
    try:
        url = f"http://127.0.0.1:{port}"
        with httpx2.Client(transport=httpx2.HTTPTransport(retries=10), trust_env=False, timeout=30) as client:
            client.get(f"{url}/waiting").raise_for_status()
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(30)
