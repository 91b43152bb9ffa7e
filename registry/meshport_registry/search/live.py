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
# Seconds for which a search waits for what has to be read first. 10,000 products take 10.
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
        self._readings: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to read the database, so that the first search need not wait for all of it."""
        self._read_on()

    async def close(self) -> None:
        """Stop reading."""
        for each in self._readings:
            each.cancel()
        await asyncio.gather(*self._readings, return_exceptions=True)

    async def ask(self, question: Callable[[SearchIndex], _T], *, patience: float | None = None) -> _T:
        """Return what a question finds in the index, which is as new as the request.

        Where much has to be read first, as after a start, the answer comes of what is read so far: `SearchIndex.complete`.

        Args:
            question: looks into the index, in a thread.
            patience: seconds to wait for that reading; by default one.

        Raises:
            StoreFailed: the database did not answer.
        """
        reading = self._read_on()
        await asyncio.wait((reading,), timeout=_PATIENCE_S if patience is None else patience)
        if reading.done():
            reading.result()
        return await asyncio.to_thread(self._answer, question)

    def _read_on(self) -> asyncio.Task[None]:
        """Read what has changed, and go on with it when no request waits any more."""
        reading = asyncio.create_task(self._refresh(), name="search-index")
        self._readings.add(reading)
        reading.add_done_callback(self._note)
        return reading

    def _note(self, reading: asyncio.Task[None]) -> None:
        self._readings.discard(reading)
        if not reading.cancelled() and isinstance(error := reading.exception(), MeshError):
            _log.warning("the search index is not as the database is: %s", error.message)

    def _answer(self, question: Callable[[SearchIndex], _T]) -> _T:
        with self._guard:
            return question(self._index)

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
                if after is not None:
                    self._index.complete = False
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
