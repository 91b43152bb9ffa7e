"""Cached responses include everything that was committed before the request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest

from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.plain_http import plain_http
from tests.registry.schemas import plays, schema
from tests.repeats import repeated, repeats
from tests.waiting import PATIENCE_S


@pytest.fixture
def nodes(database: str) -> Iterator[tuple[Registry, Registry]]:
    """Yield the clients of two services on one database."""
    with ExitStack() as opened:
        urls = [
            opened.enter_context(running(Settings(database=database, port=0, bootstrap_servers="k:1"))) for _ in "ab"
        ]
        first, second = (opened.enter_context(Registry(url, keep=0, timeout=PATIENCE_S)) for url in urls)
        yield first, second


@repeated
def test_what_one_node_wrote_the_other_resolves_at_once(nodes: tuple[Registry, Registry]) -> None:
    """After each of many changes on one node, the next response of the other node has it, although it had cached one."""
    first, second = nodes
    for number in range(repeats(8, 100)):
        declared, _ = plays(description=f"Change {number}.")
        fields = ["user", "track", *(f"f{each}?" for each in range(number))]
        written = first.register(declared, {"events@1": schema(*fields)}).ports[0]
        binding = second.resolve("player/plays")
        assert (binding.schema_id, binding.fingerprint) == (written.schema_id, written.fingerprint)
        assert second.by_id(binding.schema_id).fingerprint == written.fingerprint
        first, second = second, first


@repeated
def test_many_readers_never_see_a_binding_go_back(nodes: tuple[Registry, Registry]) -> None:
    """While one node writes, eight readers on both nodes never see a schema id decrease, and end with the last one."""
    first, second = nodes
    declared, schemas = plays()
    first.register(declared, schemas)
    done = False

    def read(node: Registry) -> int:
        highest = 0
        with Registry(node.url, keep=0, timeout=PATIENCE_S) as client:
            while not done:
                schema_id = client.resolve("player/plays").schema_id
                assert schema_id >= highest
                highest = schema_id
            return client.resolve("player/plays").schema_id

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read, node) for node in (first, second) * 4]
        try:
            for number in range(repeats(5, 100)):
                fields = ["user", "track", *(f"f{each}?" for each in range(number))]
                last = first.register(declared, {"events@1": schema(*fields)}).ports[0].schema_id
        finally:
            done = True
        assert {reader.result() for reader in readers} == {last}


def test_an_unknown_address_is_found_once_it_is_registered(nodes: tuple[Registry, Registry]) -> None:
    """A 404 is not cached: a client that got one resolves the address after its first registration."""
    first, second = nodes
    with plain_http(second.url) as http:
        assert http.get("/api/v1/resolve/player/plays").status_code == 404
        first.register(*plays())
        assert http.get("/api/v1/resolve/player/plays").status_code == 200


@pytest.mark.postgres
def test_without_the_database_no_cached_binding_is_returned(postgres: Callable[[], str]) -> None:
    """Without the database, `resolve` is an error, and cached schemas by id are still served."""
    url = postgres()
    name = url.rpartition("%3D")[2]
    with (
        running(Settings(database=url, port=0, bootstrap_servers="k:1")) as service,
        Registry(service, keep=0, timeout=PATIENCE_S) as client,
    ):
        number = client.register(*plays()).ports[0].schema_id
        assert client.resolve("player/plays").schema_id == number
        with (
            psycopg.connect(url, autocommit=True) as database,
            plain_http(service) as http,
        ):
            assert http.get(f"/schemas/ids/{number}").status_code == 200
            database.execute(f"ALTER SCHEMA {name} RENAME TO {name}_gone".encode())
            answer = http.get("/api/v1/resolve/player/plays")
            assert (answer.status_code, answer.json()["error"]) == (500, "store-failed")
            assert http.get("/health").status_code == 200
            assert http.get(f"/schemas/ids/{number}").status_code == 200
            database.execute(f"ALTER SCHEMA {name}_gone RENAME TO {name}".encode())
            ours = "application_name = 'meshport-registry'"
            database.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}".encode())
            assert client.resolve("player/plays").schema_id == number
            assert client.register(*plays()).changed == ()
