"""A shard of an outbox in SQLite: leased for some seconds at a time, by a row that the relay keeps renewing.

SQLite has no lock that outlives a transaction. A relay that ended without releasing its lease is replaced when the lease
expires, on the same machine at once. One that was stopped meanwhile goes on with an old fencing token, and marks nothing.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Final
from urllib.parse import quote

from meshport.errors import OutboxUnavailable, ShardLost
from meshport.outbox.creating import create_table
from meshport.outbox.row import OutboxRow
from meshport.outbox.shard import Aggregate, BlockedRow, OutboxLook, OutboxState, ShardHolder, WaitingRow
from meshport.outbox.table import COLUMNS, RELAYS, TABLE

__all__ = ["SqliteShard", "look_at_sqlite"]

_COUNTED: Final = 100_000
_LEASE_S: Final = 15
_RENEW_S: Final = 3.0
# A writer of the service may hold the database's only lock for so long.
_BUSY_S: Final = 30.0
_BUSY_LOOK_S: Final = 0.001
_LOOK_S: Final = 0.02
_NOW: Final = "strftime('%Y-%m-%d %H:%M:%f', 'now')"
_EXPIRY: Final = f"strftime('%Y-%m-%d %H:%M:%f', 'now', '+{_LEASE_S} seconds')"
_ALL: Final = ", ".join(f'"{each}"' for each in ("number", *COLUMNS))
_MINE: Final = f"FROM {RELAYS} WHERE shard = ? AND fence = ?"
_AGE: Final = "coalesce((julianday('now') - julianday(min(\"timestamp\"))) * 86400, 0)"

_LEASES: Final = f"SELECT shard, holder, coalesce(expires_at > {_NOW}, 0) FROM {RELAYS}"
_FENCE: Final = (
    f"INSERT INTO {RELAYS} (shard, fence, holder, expires_at) VALUES (?, 1, ?, {_EXPIRY})"
    " ON CONFLICT (shard) DO UPDATE SET fence = fence + 1, holder = excluded.holder, expires_at = excluded.expires_at"
    " RETURNING fence"
)
_RENEW: Final = f"UPDATE {RELAYS} SET expires_at = {_EXPIRY} WHERE shard = ? AND fence = ?"
_LEAVE: Final = f"UPDATE {RELAYS} SET holder = NULL, expires_at = NULL WHERE shard = ? AND fence = ?"
_FETCH: Final = (
    f"SELECT {_ALL} FROM {TABLE} WHERE published_at IS NULL AND error IS NULL AND shard % ? = ? ORDER BY number LIMIT ?"
)
_BLOCKED: Final = (
    f"SELECT DISTINCT address, aggregateid FROM {TABLE}"
    " WHERE published_at IS NULL AND error IS NOT NULL AND shard % ? = ?"
)
# The other columns are those of the row with the least number (SQLite, "Bare columns in an aggregate query").
_HEADS: Final = (
    f"SELECT min(number), {_ALL} FROM {TABLE} WHERE published_at IS NULL AND error IS NOT NULL AND shard % ? = ?"
    " AND (address, aggregateid) > (?, ?) GROUP BY address, aggregateid ORDER BY address, aggregateid LIMIT ?"
)
_MARK: Final = (
    f"UPDATE {TABLE} SET published_at = {_NOW}, fence = ?, error = NULL WHERE number = ? AND EXISTS (SELECT 1 {_MINE})"
)
_BLOCK: Final = f"UPDATE {TABLE} SET error = ? WHERE number = ? AND EXISTS (SELECT 1 {_MINE})"
_RELEASE: Final = (
    f"UPDATE {TABLE} SET error = NULL WHERE published_at IS NULL AND error IS NOT NULL AND address = ?"
    f" AND aggregateid = ? AND EXISTS (SELECT 1 {_MINE})"
)
_OLD: Final = (
    f"SELECT number FROM {TABLE} WHERE published_at < strftime('%Y-%m-%d %H:%M:%f', 'now', ?) AND shard % ? = ?"
    " ORDER BY published_at LIMIT ?"
)
_REMOVE: Final = f"DELETE FROM {TABLE} WHERE number = ?"
_WAITING: Final = (
    f'SELECT count(*), {_AGE} FROM (SELECT "timestamp" FROM {TABLE} WHERE published_at IS NULL AND error IS NULL'
    f" ORDER BY number LIMIT {_COUNTED})"
)
_BLOCKED_ROWS: Final = (
    "SELECT count(*), count(DISTINCT address || ' ' || aggregateid) FROM (SELECT address, aggregateid"
    f" FROM {TABLE} WHERE published_at IS NULL AND error IS NOT NULL LIMIT {_COUNTED})"
)
_PUBLISHED: Final = f"SELECT count(*) FROM (SELECT 1 FROM {TABLE} WHERE published_at IS NOT NULL LIMIT {_COUNTED})"
_HEAD_ERRORS: Final = (
    f"SELECT min(number), address, aggregateid, id, error, count(*) FROM {TABLE} WHERE published_at IS NULL"
    " AND error IS NOT NULL GROUP BY address, aggregateid ORDER BY address, aggregateid LIMIT ?"
)
_HOLDERS: Final = f"SELECT shard, CASE WHEN expires_at > {_NOW} THEN holder END, fence FROM {RELAYS} ORDER BY shard"


class SqliteShard:
    """See `meshport.outbox.shard.Shard`.

    Args:
        file: of the database.
        shard: the number of this one.
        shards: in how many the outbox is divided.
        stopped: ends `wait`.
    """

    def __init__(self, file: str, shard: int, shards: int, *, stopped: Callable[[], bool]) -> None:
        self._shard, self._shards, self._stopped = shard, shards, stopped
        self._fence = 0
        self._kept_at = 0.0
        self._connection = _connected(file)
        self._seen = -1

    def acquire(self) -> bool:
        """See `Shard`."""
        with self._writing():
            for shard, holder, leased in self._connection.execute(_LEASES).fetchall():
                if not leased or not holder or _has_ended(holder):
                    continue
                division = holder.rpartition("/")[2]
                if division != str(self._shards):
                    raise OutboxUnavailable(
                        f"relays divide the outbox in {division} shards, this one in {self._shards}",
                        hint="give all relays of a database the same --shards",
                    )
                if shard == self._shard:
                    return False
            holder = f"{socket.gethostname()}:{os.getpid()}/{self._shards}"
            ((self._fence,),) = self._connection.execute(_FENCE, (self._shard, holder)).fetchall()
        self._kept_at = time.monotonic()
        return True

    def keep(self) -> None:
        """See `Shard`."""
        if time.monotonic() - self._kept_at < _RENEW_S:
            return
        with self._writing():
            self._renew()

    def fetch(self, limit: int) -> list[WaitingRow]:
        """See `Shard`."""
        with _answering():
            ((self._seen,),) = self._connection.execute("PRAGMA data_version").fetchall()
            found = self._connection.execute(_FETCH, (self._shards, self._shard, limit)).fetchall()
        return [WaitingRow(number, OutboxRow.read(values)) for number, *values in found]

    def blocked(self) -> set[Aggregate]:
        """See `Shard`."""
        with _answering():
            return set(self._connection.execute(_BLOCKED, (self._shards, self._shard)).fetchall())

    def heads(self, after: Aggregate, limit: int) -> list[WaitingRow]:
        """See `Shard`."""
        with _answering():
            found = self._connection.execute(_HEADS, (self._shards, self._shard, *after, limit)).fetchall()
        return [WaitingRow(number, OutboxRow.read(values)) for _, number, *values in found]

    def settle(self, stored: Sequence[int], errors: Mapping[int, str], released: Collection[Aggregate] = ()) -> None:
        """See `Shard`."""
        mine = (self._shard, self._fence)
        with self._writing():
            self._renew()
            self._connection.executemany(_MARK, ((self._fence, number, *mine) for number in stored))
            self._connection.executemany(_BLOCK, ((error, number, *mine) for number, error in errors.items()))
            self._connection.executemany(_RELEASE, ((*aggregate, *mine) for aggregate in released))

    def clean(self, keep_s: float, limit: int) -> int:
        """See `Shard`."""
        with _answering():
            old = self._connection.execute(_OLD, (f"-{keep_s} seconds", self._shards, self._shard, limit)).fetchall()
        if old:  # where nothing is to be removed, no writer waits for it
            with self._writing():
                self._connection.executemany(_REMOVE, old)
        return len(old)

    def wait(self, seconds: float) -> None:
        """See `Shard`."""
        until = time.monotonic() + seconds
        with _answering():
            while not self._stopped() and time.monotonic() < until:
                ((version,),) = self._connection.execute("PRAGMA data_version").fetchall()
                if version != self._seen:
                    return
                time.sleep(_LOOK_S)

    def state(self) -> OutboxState:
        """See `Shard`."""
        with _answering():
            return _state(self._connection)

    def close(self) -> None:
        """See `Shard`."""
        try:
            if self._fence:
                self._connection.execute(_LEAVE, (self._shard, self._fence))
        except sqlite3.Error:
            pass
        finally:
            self._connection.close()

    def _renew(self) -> None:
        if not self._connection.execute(_RENEW, (self._shard, self._fence)).rowcount:
            raise ShardLost(f"another relay has taken shard {self._shard} of the outbox", shard=self._shard)
        self._kept_at = time.monotonic()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Open a transaction that has the database's write lock from its beginning."""
        with _answering():
            self._begin()
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _begin(self) -> None:
        """Take the write lock. SQLite's own wait looks ever more seldom, so that busy writers would keep a relay out."""
        until = time.monotonic() + _BUSY_S
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                        raise
                    time.sleep(_BUSY_LOOK_S)
                else:
                    return
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_S * 1000)}")


def _has_ended(holder: str) -> bool:
    """Return whether the process of a lease is one of this machine that runs no more."""
    host, _, process = holder.rpartition("/")[0].rpartition(":")
    if host != socket.gethostname() or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def look_at_sqlite(file: str, most_blocked: int) -> OutboxLook:
    """See `meshport.outbox.databases.look_at`."""
    with _answering(), closing(_connected(file)) as connection:
        return OutboxLook(
            _state(connection),
            [BlockedRow(*each) for each in connection.execute(_HEAD_ERRORS, (most_blocked,)).fetchall()],
            [ShardHolder(*each) for each in connection.execute(_HOLDERS).fetchall()],
        )


def create_in_sqlite(file: str) -> None:
    """See `meshport.outbox.databases.create_in`; a missing file is made."""
    with _answering(), closing(sqlite3.connect(file, timeout=_BUSY_S)) as connection, connection:
        create_table(connection)


def _state(connection: sqlite3.Connection) -> OutboxState:
    ((waiting, oldest),) = connection.execute(_WAITING).fetchall()
    ((blocked, aggregates),) = connection.execute(_BLOCKED_ROWS).fetchall()
    ((published,),) = connection.execute(_PUBLISHED).fetchall()
    return OutboxState(waiting + blocked, blocked, aggregates, max(0.0, oldest), published=published)


def _connected(file: str) -> sqlite3.Connection:
    """Open a database that is there; SQLite would create an empty one."""
    with _answering():
        return sqlite3.connect(f"file:{quote(file)}?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None)


@contextmanager
def _answering() -> Iterator[None]:
    """Map the driver's errors."""
    try:
        yield
    except sqlite3.Error as error:
        hint = "meshport outbox create --database URL" if "no such table" in str(error) else None
        raise OutboxUnavailable(
            f"the database of the outbox does not answer as it should: {error}", hint=hint
        ) from error
