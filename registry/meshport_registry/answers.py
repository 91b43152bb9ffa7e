"""Ready answers for the two questions that every producer and consumer asks: schema by id, and resolve.

A schema never changes under its id, so its answer is kept as long as there is room. A binding may change at any time
and on any node. Before a kept binding is answered, the change counter in the database is looked at; whatever was
committed before the request came in is therefore in the answer, on every node, and nothing depends on a notification
that could be lost. The look is cheap. SQLite tells by `PRAGMA data_version`, without a query, that no other connection
wrote. PostgreSQL is asked once for all requests that wait: each joins the first look that starts after it came in.

One thing changes without a commit: on the day from which on a line is live, an address without a major leads to it.
Every day (UTC) therefore begins with nothing kept.
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
from meshport_registry.contracts import load
from meshport_registry.errors import SchemaNotFound
from meshport_registry.lifecycle import revision
from meshport_registry.products import Cluster, resolve
from meshport_registry.store import Store

# Each of the two; some 15,000 contracts of ten fields.
_ROOM: Final = 20 * 1024 * 1024
_Line = tuple[str | None, int | None]


class SchemaAnswers:
    """The body of `GET /schemas/ids/{id}`, by id."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[int, bytes] = {}
        self._size = 0

    async def body(self, schema_id: int) -> bytes:
        """The body.

        Raises:
            SchemaNotFound: no schema has this id.
        """
        found = self._kept.get(schema_id)
        return (
            found if found is not None else self._keep(schema_id, await self._store.read(lambda c: _body(c, schema_id)))
        )

    def _keep(self, schema_id: int, body: bytes) -> bytes:
        self._kept[schema_id] = body
        self._size += len(body)
        while self._size > _ROOM:
            self._size -= len(self._kept.pop(next(iter(self._kept))))
        return body


def _body(connection: Connection, schema_id: int) -> bytes:
    contract = load(connection, [schema_id]).get(schema_id)
    if contract is None:
        raise SchemaNotFound(f"schema {schema_id} not found")
    # orjson hands out its buffer of 8 kB, whatever stands in it (3.13, measured); what is kept is a copy of the right size.
    return bytes(memoryview(orjson.dumps(contract.facts)))


class BindingAnswers:
    """The body of `GET /api/v1/resolve/...`, by address; to be used on the event loop only.

    Args:
        store: the database.
        cluster: the registry's own cluster.
        today: tells the day (UTC).
    """

    def __init__(self, store: Store, cluster: Cluster, *, today: Callable[[], date] = utc_today) -> None:
        self._store = store
        self._cluster = cluster
        self._today = today
        self._day = today()
        self._kept: dict[tuple[str, str], dict[_Line, bytes]] = {}
        self._size = 0
        self._revision = 0
        self._watch: sqlite3.Connection | None = store.watch() if store.is_sqlite else None
        self._data_version: int | None = None
        self._looking = False
        self._waiting: list[asyncio.Future[None]] = []

    def close(self) -> None:
        """Let go of the database."""
        if self._watch is not None:
            self._watch.close()

    async def _true(self, address: Address) -> bytes | None:
        """The body, if it is at hand and still true."""
        if (self._watch is None or self._data_version != self._written()) or self._looking:
            await self._look()
        self._begin_day()  # after the wait, which midnight may have passed in
        return self._kept.get((address.domain, address.product), {}).get((address.port, address.major))

    async def body(self, address: Address) -> bytes:
        """The body.

        Raises:
            NotInMesh: the mesh has no such product, port or major.
            Retired: it had.
            StoreFailed: the database did not answer.
        """
        found = await self._true(address)
        if found is not None:
            return found
        known, day = self._revision, self._day
        body = await self._store.read(
            lambda connection: resolve(connection, address, self._cluster, today=day).model_dump_json().encode()
        )
        # A look that found changes, or a day that began, while the query ran cannot have dropped what was not kept yet.
        if (known, day) == (self._revision, self._day):
            self._keep(address, body)
        return body

    def _begin_day(self) -> None:
        if (today := self._today()) != self._day:
            self._day, self._size = today, 0
            self._kept.clear()

    def _keep(self, address: Address, body: bytes) -> None:
        self._kept.setdefault((address.domain, address.product), {})[address.port, address.major] = body
        self._size += len(body)
        while self._size > _ROOM:
            self._drop(next(iter(self._kept)))

    def _drop(self, product: tuple[str, str]) -> None:
        self._size -= sum(map(len, self._kept.pop(product, {}).values()))

    def _written(self) -> int:
        """A number that changes with every commit of another connection, this process's own writer included."""
        assert self._watch is not None  # noqa: S101 - only asked on SQLite
        return int(self._watch.execute("PRAGMA data_version").fetchone()[0])

    async def _look(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        if not self._looking:
            self._looking = True
            asyncio.ensure_future(self._look_for_all())  # noqa: RUF006 - every waiting request holds its outcome
        await waiting

    async def _look_for_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    written = self._written() if self._watch is not None else None
                    known = self._revision
                    self._revision, changed = await self._store.read(partial(_changes, known=known))
                except Exception as error:  # noqa: BLE001 - handed on to those who wait
                    outcome: Exception | None = error
                else:
                    outcome, self._data_version = None, written
                    for product in changed:
                        self._drop(product)
                for each in batch:
                    if not each.done():
                        each.set_exception(outcome) if outcome else each.set_result(None)
        finally:
            self._looking = False


def _changes(connection: Connection, known: int) -> tuple[int, list[tuple[str, str]]]:
    """The change counter, and the products that changed since it stood at `known`."""
    now = revision(connection)
    if now == known:
        return now, []
    own = tables.product.c
    rows = connection.execute(select(own.domain, own.name).where(own.revision > known))
    return now, [(row.domain, row.name) for row in rows]
