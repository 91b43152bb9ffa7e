"""The index as the database is: read once, and then what changed, before each search."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection, and_, or_, select

from meshport.errors import MeshError
from meshport_registry import tables
from meshport_registry.lifecycle import revision
from meshport_registry.search.entry import entries
from meshport_registry.search.index import SearchIndex
from meshport_registry.store import RegistryStore

_T = TypeVar("_T")
# Products that are read at once: a few milliseconds of a thread each time, so that the event loop gets its turns.
_AT_ONCE: Final = 50
# Entries that are passed over, from which on the index is made anew.
_MOST_DEAD: Final = 2000
# Seconds for which a search waits until the database is read for the first time, which takes 10 for 10,000 products.
_PATIENCE_S: Final = 1.0
_log: Final = logging.getLogger(__name__)


class LiveIndex:
    """The index of a registry process.

    Args:
        store: the database.
    """

    def __init__(self, store: RegistryStore) -> None:
        self._store = store
        self._index = SearchIndex()
        self._guard = threading.Lock()
        # The change counter up to which the index is complete.
        self._known = -1
        self._turn = asyncio.Lock()
        self._first: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read the database, so that the first search need not wait for all of it."""
        self._first = asyncio.create_task(self._read_first(), name="search-index")

    async def close(self) -> None:
        """Stop reading."""
        if self._first is not None:
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)

    async def ask(self, question: Callable[[SearchIndex], _T], *, patience: float | None = None) -> _T:
        """Return what a question finds in the index, which is as new as the request.

        While the database is read for the first time, the answer comes of what is read of it so far: `SearchIndex.complete`.

        Args:
            question: looks into the index, in a thread.
            patience: seconds to wait for that first reading; by default one.

        Raises:
            StoreFailed: the database did not answer.
        """
        first = self._first
        if first is not None and not first.done():
            await asyncio.wait((first,), timeout=_PATIENCE_S if patience is None else patience)
        if first is None or first.done():
            await self._refresh()
        return await asyncio.to_thread(self._answer, question)

    def _answer(self, question: Callable[[SearchIndex], _T]) -> _T:
        with self._guard:
            return question(self._index)

    async def _read_first(self) -> None:
        try:
            await self._refresh()
        except MeshError as error:
            _log.warning("the search index could not be read, the first search reads it: %s", error.message)

    async def _refresh(self) -> None:
        async with self._turn:
            now = await self._store.read(revision)
            if now == self._known:
                return
            if self._index.dead > _MOST_DEAD + len(self._index):
                self._index, self._known = SearchIndex(), -1  # not complete until it is read again
            after: tuple[int, str | None] | None = (self._known, None)
            while after is not None:
                after = await self._store.read(partial(self._read, after=after))
            if self._known >= 0:
                await self._store.read(self._forget_removed)
            self._known, self._index.complete = now, True

    def _read(self, connection: Connection, after: tuple[int, str | None]) -> tuple[int, str] | None:
        """Read the next products that changed, and return the last of them; None where there are no more.

        Args:
            connection: to the database.
            after: the change counter of the last product that is read, and its GUID where others may have the same counter.
        """
        own, (counter, guid) = tables.product.c, after
        later = own.revision > counter
        if guid is not None:
            later = or_(later, and_(own.revision == counter, own.guid > guid))
        rows = connection.execute(
            select(tables.product).where(later).order_by(own.revision, own.guid).limit(_AT_ONCE)
        ).all()
        found = entries(connection, rows)
        with self._guard:
            for entry, parts in found:
                self._index.put(entry, parts)
        return (rows[-1].revision, rows[-1].guid) if len(rows) == _AT_ONCE else None

    def _forget_removed(self, connection: Connection) -> None:
        there = set(connection.execute(select(tables.product.c.guid)).scalars())
        with self._guard:
            for guid in set(self._index.guids) - there:
                self._index.remove(guid)
