"""Cached response bodies of the two hot routes, schema by id and resolve.

A schema never changes, so its body is kept as long as there is room. A binding may change at any time and on any node.
Before a cached binding is returned, the change counter in the database is checked. A response therefore includes
everything that was committed before its request arrived, on every node, and depends on no notification that could get
lost. The check is cheap. On SQLite, `PRAGMA data_version` reports without a query whether another connection has
written. PostgreSQL gets one query for all waiting requests: each request joins the first check that starts after it
arrived.

One change needs no commit: on the first day of a line, an address without a major starts to resolve to that line. The
cache of bindings is therefore cleared at the start of every day (UTC).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Final

import orjson
from sqlalchemy import Connection, select

from meshport.address import Address
from meshport.product.lines import utc_today
from meshport_registry import tables
from meshport_registry.errors import SchemaNotFound
from meshport_registry.lifecycle import revision
from meshport_registry.products import DefaultCluster, resolve
from meshport_registry.removal import last_removal
from meshport_registry.schemas import load
from meshport_registry.store import RegistryStore

# For each of the two caches: about 15,000 schemas of ten fields.
_MAX_BYTES: Final = 20 * 1024 * 1024
_PortMajor = tuple[str | None, int | None]


class SchemaResponseCache:
    """The body of `GET /schemas/ids/{id}`, by id."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store
        self._bodies: dict[int, bytes] = {}
        self._bytes = 0

    async def body(self, schema_id: int) -> bytes:
        """Return the body, from the cache if it is there.

        Raises:
            SchemaNotFound: no schema has this id.
        """
        found = self._bodies.get(schema_id)
        return (
            found
            if found is not None
            else self._remember(schema_id, await self._store.read(lambda c: _schema_body(c, schema_id)))
        )

    def _remember(self, schema_id: int, body: bytes) -> bytes:
        self._bodies[schema_id] = body
        self._bytes += len(body)
        while self._bytes > _MAX_BYTES:
            self._bytes -= len(self._bodies.pop(next(iter(self._bodies))))
        return body


def _schema_body(connection: Connection, schema_id: int) -> bytes:
    found = load(connection, [schema_id]).get(schema_id)
    if found is None:
        raise SchemaNotFound(f"schema {schema_id} not found")
    # orjson returns a buffer of at least 8 kB (3.13, measured); the copy has the size of the text.
    return bytes(memoryview(orjson.dumps(found.facts)))


class BindingResponseCache:
    """The body of `GET /api/v1/resolve/...`, by address. Use it on the event loop only.

    Args:
        store: the database.
        cluster: the registry's default cluster.
        today: returns the current day (UTC).
    """

    def __init__(self, store: RegistryStore, cluster: DefaultCluster, *, today: Callable[[], date] = utc_today) -> None:
        self._store = store
        self._cluster = cluster
        self._today = today
        self._day = today()
        self._bodies: dict[tuple[str, str], dict[_PortMajor, bytes]] = {}
        self._bytes = 0
        self._revision = 0
        self._watch: sqlite3.Connection | None = store.watch() if store.is_sqlite else None
        self._data_version: int | None = None
        self._checking = False
        self._waiting: list[asyncio.Future[None]] = []

    def close(self) -> None:
        """Close the connection that watches a SQLite file."""
        if self._watch is not None:
            self._watch.close()

    async def _current(self, address: Address) -> bytes | None:
        """Return the cached body if there is one and it is up to date, or None."""
        if (self._watch is None or self._data_version != self._read_data_version()) or self._checking:
            await self._check()
        self._start_day()  # after the wait, which may have passed midnight
        return self._bodies.get((address.domain, address.product), {}).get((address.port, address.major))

    async def body(self, address: Address) -> bytes:
        """Return the body, from the cache if it is there and up to date.

        Raises:
            NotInMesh: the mesh has no such product, port or major.
            Retired: the address is retired.
            StoreFailed: the database did not answer.
        """
        found = await self._current(address)
        if found is not None:
            return found
        known, day = self._revision, self._day
        body = await self._store.read(
            lambda connection: resolve(connection, address, self._cluster, today=day).model_dump_json().encode()
        )
        # A check that found changes while the query ran could not drop this body, nor could the start of a day.
        if (known, day) == (self._revision, self._day):
            self._remember(address, body)
        return body

    def _start_day(self) -> None:
        if (today := self._today()) != self._day:
            self._day, self._bytes = today, 0
            self._bodies.clear()

    def _remember(self, address: Address, body: bytes) -> None:
        self._bodies.setdefault((address.domain, address.product), {})[address.port, address.major] = body
        self._bytes += len(body)
        while self._bytes > _MAX_BYTES:
            self._drop(next(iter(self._bodies)))

    def _drop(self, product: tuple[str, str]) -> None:
        self._bytes -= sum(map(len, self._bodies.pop(product, {}).values()))

    def _read_data_version(self) -> int:
        """Return a number that changes with every commit of another connection, that of this process's writer included."""
        assert self._watch is not None  # noqa: S101 - only called on SQLite
        return int(self._watch.execute("PRAGMA data_version").fetchone()[0])

    async def _check(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        if not self._checking:
            self._checking = True
            asyncio.ensure_future(self._check_for_all())  # noqa: RUF006 - every waiting request awaits its outcome
        await waiting

    async def _check_for_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    data_version = self._read_data_version() if self._watch is not None else None
                    known = self._revision
                    self._revision, changed = await self._store.read(partial(_changes, known=known))
                except Exception as error:  # noqa: BLE001 - raised in every waiting request
                    failure: Exception | None = error
                else:
                    failure, self._data_version = None, data_version
                    for product in list(self._bodies) if changed is None else changed:
                        self._drop(product)
                for each in batch:
                    if not each.done():
                        each.set_exception(failure) if failure else each.set_result(None)
        finally:
            self._checking = False


def _changes(connection: Connection, known: int) -> tuple[int, list[tuple[str, str]] | None]:
    """Return the change counter, and the products that changed since it was `known`; None where a product was removed."""
    now = revision(connection)
    if now == known:
        return now, []
    if last_removal(connection) > known:
        return now, None
    own = tables.product.c
    rows = connection.execute(select(own.domain, own.name).where(own.revision > known))
    return now, [(row.domain, row.name) for row in rows]
