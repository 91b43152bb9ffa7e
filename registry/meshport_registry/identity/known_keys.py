"""The API keys of the database, kept in memory so that a request costs no query.

A key that is made or revoked by this process counts at once, by another process after `FRESH_S` seconds at the latest. An
unknown key costs a look-up in memory, however many of them are tried. While the database does not answer, keys that were
read before stay known for `_KEPT_S` seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, select

from meshport_registry import tables
from meshport_registry.errors import StoreFailed, Unauthenticated
from meshport_registry.identity.caller import Caller
from meshport_registry.identity.credentials import KeyShown
from meshport_registry.identity.keys import keys_revision
from meshport_registry.store import RegistryStore, instant, now_us

FRESH_S: Final = 1.0
"""Seconds after which the database is asked whether keys have changed, when a request comes."""
_KEPT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Known:
    hash: bytes
    caller: Caller
    ends_at: int
    revoked: bool


class KnownKeys:
    """Finds the caller of an API key.

    Args:
        store: the database.
        clock: returns seconds that only grow.
    """

    def __init__(self, store: RegistryStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._keys: dict[str, _Known] = {}
        self._revision: int | None = None
        self._asked = self._answered = float("-inf")
        self._own_changes = 0
        self._reading: asyncio.Task[None] | None = None

    async def caller(self, key: KeyShown) -> Caller:
        """Return the caller whose key it is.

        Raises:
            Unauthenticated: there is no such key, its secret is another one, or it is revoked or has ended.
            StoreFailed: the database has not answered for some time.
        """
        if self._clock() - self._asked >= FRESH_S:
            await self._read_again()
        known = self._keys.get(key.id)
        # A wrong secret and an unknown id get the same answer, so that ids cannot be found out.
        if known is None or not hmac.compare_digest(hashlib.sha256(key.secret.encode()).digest(), known.hash):
            raise Unauthenticated("the API key is not known", hint="is it complete, and of this registry?")
        if known.revoked:
            raise Unauthenticated(f"the API key {key.id} is revoked", hint="ask for a new one")
        if known.ends_at <= now_us():
            ended = instant(known.ends_at).isoformat(timespec="seconds")
            raise Unauthenticated(f"the API key {key.id} ended at {ended}", hint="ask for a new one")
        return known.caller

    def changed(self) -> None:
        """Read the keys again before the next request: this process has changed one."""
        self._own_changes += 1
        self._asked = float("-inf")

    async def _read_again(self) -> None:
        """Read what has changed; requests that come meanwhile wait for the same query."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        try:
            begun, own_changes = self._clock(), self._own_changes
            try:
                found = await self._store.read(partial(_changes, known=self._revision))
            except StoreFailed:
                if begun - self._answered > _KEPT_S:
                    raise
            else:
                self._answered = begun
                if found is not None:
                    self._revision, self._keys = found
            if own_changes == self._own_changes:  # otherwise the query may have been too early
                self._asked = begun
        finally:
            self._reading = None


def _changes(connection: Connection, known: int | None) -> tuple[int, dict[str, _Known]] | None:
    """Return the keys and the number of their changes, or None if there was no change since it was `known`."""
    if (now := keys_revision(connection)) == known:
        return None
    return now, {row.id: _known(row) for row in connection.execute(select(tables.api_key))}


def _known(row: Any) -> _Known:
    caller = Caller(row.name, frozenset(json.loads(row.groups)), "key")
    return _Known(bytes.fromhex(row.hash), caller, row.ends_at, row.revoked_at is not None)
