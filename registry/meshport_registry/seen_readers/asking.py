"""Who asks the registry for bindings and schemas: noted in memory, and written once a minute.

An answer never waits for it, and none fails of it. The registry sees more askers than readers: a publisher resolves its own port,
and a command line looks. So nothing is noted of a product that asks for its own ports, nor of a Meshport client without a login
that does not subscribe. What names the asker is, in this order, the group with which a subscriber names itself, the caller that
the registry knows, the subscriber's `client.id`, and the `User-Agent` of other clients.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from sqlalchemy import Connection, select
from starlette.types import Scope

from meshport.address import Address
from meshport.errors import AddressError, MeshError
from meshport.seen_readers import LONGEST_NAME, READER_HEADER, ReaderKind, SubscriberName
from meshport_registry import tables
from meshport_registry.errors import NotInMesh
from meshport_registry.identity.caller import Caller
from meshport_registry.products import DefaultCluster, bindings_of, choose_binding, require_address
from meshport_registry.seen_readers.rows import ReadLine, Sighting, Way, keep_sighting
from meshport_registry.store import RegistryStore, now_us

__all__ = ["Askers"]

EVERY_S: Final = 60.0
"""Seconds between two writes."""
_AGAIN_US: Final = 600_000_000
# Of each of the two memories: requests that differ in address or asker, 2.5 kB at most.
_MOST: Final = 5_000
_AT_ONCE: Final = 200
_LONGEST: Final = 2_000
_READER: Final = READER_HEADER.encode()
_RESOLVE: Final = re.compile(rb"/api/v1/resolve/([a-z0-9-]+)/([a-z0-9-]+)(?:/([a-z0-9-]+))?/?")
_SCHEMA: Final = re.compile(rb"/schemas/ids/([0-9]{1,9})(?:/schema)?/?")
_MESHPORT: Final = "meshport/"
_DEFAULT: Final = DefaultCluster()  # who reads does not depend on clusters
_log: Final = logging.getLogger(__name__)


class _Asked(NamedTuple):
    """What a request shows of its asker, as it came.

    Attributes:
        path: of the request.
        query: of the request.
        caller: the name of a caller that the registry knows.
        reader: the header of a subscriber.
        agent: the `User-Agent`.
    """

    path: bytes
    query: bytes
    caller: str | None
    reader: bytes
    agent: bytes


class Askers:
    """The askers of one registry process. Use it on the event loop only.

    Args:
        store: the database.
    """

    def __init__(self, store: RegistryStore) -> None:
        self._store = store
        self._waiting: dict[_Asked, int] = {}
        self._written: dict[_Asked, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write once a minute."""
        self._task = asyncio.create_task(self._write_again_and_again(), name="seen-readers")

    async def close(self) -> None:
        """Write what waits, and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.write()

    def note(self, scope: Scope, path: bytes) -> None:
        """Note who sent a GET that was answered, if it asked for a binding or a schema.

        Args:
            scope: of the request.
            path: of the request, as it came.
        """
        if not path.startswith((b"/api/v1/resolve/", b"/schemas/ids/")):
            return
        caller: Caller = scope["state"]["caller"]
        reader = agent = b""
        for name, value in scope["headers"]:
            if name == _READER:
                reader = value
            elif name == b"user-agent":
                agent = value[:LONGEST_NAME]
        asked = _Asked(path, scope["query_string"], None if caller.by == "anonymous" else caller.name, reader, agent)
        if now_us() - self._written.get(asked, 0) < _AGAIN_US or sum(map(len, (path, asked.query, reader))) > _LONGEST:
            return
        if asked in self._waiting or len(self._waiting) < _MOST:
            self._waiting[asked] = now_us()

    async def write(self) -> None:
        """Write what was noted; what the database does not take now is written the next time."""
        if len(self._waiting) >= _MOST:
            _log.warning("more than %s kinds of askers since the last write: the others are not noted", _MOST)
        while batch := dict(islice(self._waiting.items(), _AT_ONCE)):
            try:
                await self._store.write(partial(_keep, seen=batch))
            except MeshError as error:
                _log.warning("who asked for bindings and schemas is not written yet: %s", error.message)
                return
            for each in batch:
                del self._waiting[each]
            if len(self._written) >= _MOST:
                self._written.clear()
            self._written |= batch

    async def _write_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self.write()


def _keep(connection: Connection, seen: dict[_Asked, int]) -> None:
    full = set()
    for asked, at in seen.items():
        for line, product in _lines_asked_for(connection, asked):
            sighting = _sighting(asked, at)
            if asked.caller == product or sighting is None:
                continue
            if not keep_sighting(connection, line, sighting):
                full.add((product, sighting.kind))
    for product, kind in sorted(full):
        _log.warning("more than the kept number of %ss asked for %s: the others are not noted", kind, product)


def _sighting(asked: _Asked, at: int) -> Sighting | None:
    """Return who asked; None where that says nothing of a reader."""
    subscriber = SubscriberName.read(asked.reader.decode("latin-1"))
    way = Way.SCHEMA if asked.path.startswith(b"/schemas/") else Way.SUBSCRIBED if asked.reader else Way.RESOLVED
    more: dict[str, Any] = {}
    if way is Way.SUBSCRIBED:
        more["fields"] = json.dumps(subscriber.fields) if subscriber.fields else None
    if subscriber.group is not None:
        return Sighting(ReaderKind.GROUP, subscriber.group, at, (way,), {**more, "caller": asked.caller})
    if asked.caller is not None:
        return Sighting(ReaderKind.CALLER, asked.caller, at, (way,), more)
    agent = asked.agent.decode("latin-1")
    client = subscriber.client or ("" if agent.startswith(_MESHPORT) else agent)
    named = 0 < len(client) <= LONGEST_NAME and client.isprintable()
    return Sighting(ReaderKind.CLIENT, client, at, (way,), more) if named else None


def _lines_asked_for(connection: Connection, asked: _Asked) -> Iterable[tuple[ReadLine, str]]:
    """Return the lines that a request asked for, each with its product as `domain/product`."""
    if match := _SCHEMA.fullmatch(asked.path):
        return _lines_with(connection, int(match[1]))
    match = _RESOLVE.fullmatch(asked.path)
    return () if match is None else _line_at(connection, match, asked.query)


def _line_at(connection: Connection, match: re.Match[bytes], query: bytes) -> Iterator[tuple[ReadLine, str]]:
    domain, product, port = (part.decode() if part else None for part in match.groups())
    given = dict(parse_qsl(query.decode("latin-1"))).get("major", "")
    major = int(given) if port and re.fullmatch("[1-9][0-9]{0,8}", given) else None
    try:
        address = Address(domain or "", product or "", port, major)
        row = require_address(connection, address)
        if port is not None and major is not None:
            yield ReadLine(row.guid, port, major), address.of_product.key
        else:
            binding = choose_binding(bindings_of(connection, row, _DEFAULT), address)
            yield ReadLine.of(row.guid, binding), address.of_product.key
    except (AddressError, NotInMesh):
        return  # it was dropped after the answer


def _lines_with(connection: Connection, schema_id: int) -> Iterator[tuple[ReadLine, str]]:
    binding, version, product = tables.binding.c, tables.version.c, tables.product.c
    rows = connection.execute(
        select(binding.guid, binding.port, binding.major, product.domain, product.name)
        .join(tables.version, version.subject_id == binding.subject_id)
        .join(tables.product, product.guid == binding.guid)
        .where(version.schema_id == schema_id)
        .limit(_AT_ONCE)
    )
    for row in rows:
        yield ReadLine(row.guid, row.port, row.major), f"{row.domain}/{row.name}"
