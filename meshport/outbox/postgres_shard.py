"""A shard of an outbox in PostgreSQL: locked for as long as the session of its relay lasts.

The lock is an advisory one of the session: PostgreSQL releases it when the relay's process ends, and when the server finds its
connection dead or idle for a minute, as that of a stopped process is. Where a pool stands between (PgBouncer by
transaction), a lock may outlive its relay or be shared; then the fencing token decides who may mark rows.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql

from meshport.errors import OutboxUnavailable, ShardLost
from meshport.outbox.creating import create_table
from meshport.outbox.row import OutboxRow
from meshport.outbox.shard import Aggregate, BlockedRow, OutboxLook, OutboxState, ShardHolder, WaitingRow
from meshport.outbox.table import CHANNEL, COLUMNS, RELAYS, TABLE

__all__ = ["PostgresShard", "look_at_postgres"]

_COLUMNS: Final = sql.SQL(", ").join(map(sql.Identifier, ("number", *COLUMNS)))
_NAMES: Final = {"table": sql.Identifier(TABLE), "relays": sql.Identifier(RELAYS), "columns": _COLUMNS}
_COUNTED: Final = 100_000
_KEEP_S: Final = 5.0
_IDLE_S: Final = 60
_SLICE_S: Final = 0.5
_CONNECTION: Final[dict[str, Any]] = {
    "autocommit": True,
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# The advisory locks of a table are named by its oid: the schemas of one database each have their own.
_OID: Final = f"'{TABLE}'::regclass::oid::integer"
# Relays that divide the table in another way hold such a lock as well, at this number and the count of their shards.
_DIVISION: Final = 1_000_000


def _sql(text: str) -> sql.Composed:
    return sql.SQL(text).format(**_NAMES)


_TRY_LOCK: Final = _sql(f"SELECT pg_try_advisory_lock({_OID}, %s)")
_DIVIDE: Final = _sql(f"SELECT pg_advisory_lock_shared({_OID}, %s)")
_UNLOCK_ALL: Final = _sql("SELECT pg_advisory_unlock_all()")
_OTHER_DIVISIONS: Final = _sql(
    f"SELECT DISTINCT objid::bigint - {_DIVISION} FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
    f" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    f" AND classid = '{TABLE}'::regclass::oid AND objid::bigint > {_DIVISION} AND objid::bigint <> %s"
)
_FENCE: Final = _sql(
    "INSERT INTO {relays} AS held (shard, fence, holder) VALUES (%s, 1, %s)"
    " ON CONFLICT (shard) DO UPDATE SET fence = held.fence + 1, holder = excluded.holder RETURNING fence"
)
_HELD: Final = _sql("SELECT 1 FROM {relays} WHERE shard = %s AND fence = %s")
_LEAVE: Final = _sql("UPDATE {relays} SET holder = NULL WHERE shard = %s AND fence = %s")
_FETCH: Final = _sql(
    "SELECT {columns} FROM {table} WHERE published_at IS NULL AND error IS NULL AND shard %% %s = %s"
    " ORDER BY number LIMIT %s"
)
_BLOCKED: Final = _sql(
    "SELECT DISTINCT address, aggregateid FROM {table} WHERE published_at IS NULL AND error IS NOT NULL"
    " AND shard %% %s = %s"
)
_HEADS: Final = _sql(
    "SELECT DISTINCT ON (address, aggregateid) {columns} FROM {table} WHERE published_at IS NULL AND error IS NOT NULL"
    " AND shard %% %s = %s AND (address, aggregateid) > (%s, %s) ORDER BY address, aggregateid, number LIMIT %s"
)
# A mark that is lost with the server costs a repeat under the same id, and no wait for its disk. It is set for the transaction
# alone: a pool may give the session to others.
_HELD_FOR_NOW: Final = _sql(
    "SELECT set_config('synchronous_commit', 'off', true) FROM {relays} WHERE shard = %s AND fence = %s FOR SHARE"
)
_HOLDING: Final = "WITH held AS (SELECT fence FROM {relays} WHERE shard = %s AND fence = %s) "
_MARK: Final = _sql(
    _HOLDING
    + "UPDATE {table} SET published_at = clock_timestamp() AT TIME ZONE 'UTC', fence = held.fence, error = NULL"
    " FROM held WHERE number = ANY(%s)"
)
_BLOCK: Final = _sql(
    _HOLDING + "UPDATE {table} AS row SET error = found.error FROM held, unnest(%s::bigint[], %s::text[])"
    " AS found(number, error) WHERE row.number = found.number"
)
_RELEASE: Final = _sql(
    _HOLDING + "UPDATE {table} AS row SET error = NULL FROM held, unnest(%s::text[], %s::text[])"
    " AS freed(address, aggregateid) WHERE row.published_at IS NULL AND row.error IS NOT NULL"
    " AND row.address = freed.address AND row.aggregateid = freed.aggregateid"
)
_CLEAN: Final = _sql(
    "DELETE FROM {table} WHERE number IN (SELECT number FROM {table} WHERE published_at <"
    " (clock_timestamp() AT TIME ZONE 'UTC') - make_interval(secs => %s) AND shard %% %s = %s"
    " ORDER BY published_at LIMIT %s)"
)
_AGE: Final = "coalesce(extract(epoch FROM (clock_timestamp() AT TIME ZONE 'UTC') - min(\"timestamp\")), 0)"
_WAITING: Final = _sql(
    f'SELECT count(*), {_AGE} FROM (SELECT "timestamp" FROM {{table}} WHERE published_at IS NULL AND error IS NULL'
    f" ORDER BY number LIMIT {_COUNTED}) AS waiting"
)
_BLOCKED_ROWS: Final = _sql(
    "SELECT count(*), count(DISTINCT (address, aggregateid)) FROM (SELECT address, aggregateid FROM {table}"
    f" WHERE published_at IS NULL AND error IS NOT NULL LIMIT {_COUNTED}) AS blocked"
)
_PUBLISHED: Final = _sql(
    f"SELECT count(*) FROM (SELECT 1 FROM {{table}} WHERE published_at IS NOT NULL LIMIT {_COUNTED}) AS kept"
)
# Another role's session shows neither its state nor its statement, but its process id and name.
_TRANSACTION: Final = sql.SQL(
    "SELECT extract(epoch FROM clock_timestamp() - xact_start), pid, application_name, state FROM pg_stat_activity"
    " WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
    " AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL) ORDER BY xact_start LIMIT 1"
)
_HEAD_ERRORS: Final = _sql(
    "SELECT DISTINCT ON (address, aggregateid) number, address, aggregateid, id, error,"
    " count(*) OVER (PARTITION BY address, aggregateid) FROM {table} WHERE published_at IS NULL AND error IS NOT NULL"
    " ORDER BY address, aggregateid, number LIMIT %s"
)
_HOLDERS: Final = _sql("SELECT shard, holder, fence FROM {relays} ORDER BY shard")


class PostgresShard:
    """See `meshport.outbox.shard.Shard`.

    Args:
        url: of the database, as libpq and SQLAlchemy take it.
        shard: the number of this one.
        shards: in how many the outbox is divided.
        stopped: ends `wait`.
    """

    def __init__(self, url: str, shard: int, shards: int, *, stopped: Callable[[], bool]) -> None:
        self._shard, self._shards, self._stopped = shard, shards, stopped
        self._fence = 0
        self._kept_at = 0.0
        self._connection = _connected(url, "meshport relay")
        try:
            with _answering():
                self._connection.execute(sql.SQL("SET idle_session_timeout = {}").format(f"{_IDLE_S}s"))
                self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        except BaseException:
            self._connection.close()
            raise

    def acquire(self) -> bool:
        """See `Shard`."""
        with _answering():
            self._connection.execute(_UNLOCK_ALL)
            if not self._one(_TRY_LOCK, self._shard):
                return False
            self._connection.execute(_DIVIDE, (_DIVISION + self._shards,))
            others = self._connection.execute(_OTHER_DIVISIONS, (_DIVISION + self._shards,)).fetchall()
            if others:
                self._connection.execute(_UNLOCK_ALL)
                raise OutboxUnavailable(
                    f"relays divide the outbox in {others[0][0]} shards, this one in {self._shards}",
                    hint="give all relays of a database the same --shards",
                )
            self._fence = self._one(_FENCE, self._shard, f"{socket.gethostname()}:{os.getpid()}")
        self._kept_at = time.monotonic()
        return True

    def keep(self) -> None:
        """See `Shard`."""
        if time.monotonic() - self._kept_at < _KEEP_S:
            return
        with _answering():
            if not self._one(_HELD, self._shard, self._fence):
                raise self._lost()
        self._kept_at = time.monotonic()

    def fetch(self, limit: int) -> list[WaitingRow]:
        """See `Shard`."""
        return self._rows(_FETCH, self._shards, self._shard, limit)

    def blocked(self) -> set[Aggregate]:
        """See `Shard`."""
        with _answering():
            return set(self._connection.execute(_BLOCKED, (self._shards, self._shard)).fetchall())

    def heads(self, after: Aggregate, limit: int) -> list[WaitingRow]:
        """See `Shard`."""
        return self._rows(_HEADS, self._shards, self._shard, *after, limit)

    def settle(self, stored: Sequence[int], errors: Mapping[int, str], released: Collection[Aggregate] = ()) -> None:
        """See `Shard`."""
        mine = (self._shard, self._fence)
        with _answering(), self._connection.transaction():
            # The token is locked until the end of the transaction, so that no other relay takes the shard in between.
            if not self._one(_HELD_FOR_NOW, *mine):
                raise self._lost()
            if stored:
                self._connection.execute(_MARK, (*mine, list(stored)))
            if errors:
                self._connection.execute(_BLOCK, (*mine, list(errors), list(errors.values())))
            if released:
                addresses, aggregates = zip(*released, strict=True)
                self._connection.execute(_RELEASE, (*mine, list(addresses), list(aggregates)))
        self._kept_at = time.monotonic()

    def clean(self, keep_s: float, limit: int) -> int:
        """See `Shard`."""
        with _answering():
            return self._connection.execute(_CLEAN, (keep_s, self._shards, self._shard, limit)).rowcount

    def wait(self, seconds: float) -> None:
        """See `Shard`."""
        until = time.monotonic() + seconds
        with _answering():
            while not self._stopped() and (left := until - time.monotonic()) > 0:
                # What came during other statements is kept, and returned at once.
                if any(True for _ in self._connection.notifies(timeout=min(left, _SLICE_S), stop_after=1)):
                    return

    def state(self) -> OutboxState:
        """See `Shard`."""
        with _answering():
            return _state(self._connection)

    def close(self) -> None:
        """See `Shard`."""
        try:
            if self._fence and not self._connection.closed:
                self._connection.execute(_LEAVE, (self._shard, self._fence))
        except psycopg.Error:
            pass
        finally:
            self._connection.close()

    def _one(self, statement: sql.Composed, *values: Any) -> Any:
        found = self._connection.execute(statement, values).fetchone()
        return found[0] if found else None

    def _rows(self, statement: sql.Composed, *values: Any) -> list[WaitingRow]:
        with _answering():
            found = self._connection.execute(statement, values, binary=True).fetchall()
        return [WaitingRow(number, OutboxRow.read(values)) for number, *values in found]

    def _lost(self) -> ShardLost:
        return ShardLost(f"another relay has taken shard {self._shard} of the outbox", shard=self._shard)


def look_at_postgres(url: str, most_blocked: int) -> OutboxLook:
    """See `meshport.outbox.databases.look_at`."""
    with _answering(), _connected(url, "meshport") as connection:
        return OutboxLook(
            _state(connection),
            [BlockedRow(*each) for each in connection.execute(_HEAD_ERRORS, (most_blocked,)).fetchall()],
            [ShardHolder(*each) for each in connection.execute(_HOLDERS).fetchall()],
        )


def _state(connection: psycopg.Connection[Any]) -> OutboxState:
    ((waiting, oldest),) = connection.execute(_WAITING).fetchall()
    ((blocked, aggregates),) = connection.execute(_BLOCKED_ROWS).fetchall()
    ((published,),) = connection.execute(_PUBLISHED).fetchall()
    transaction = connection.execute(_TRANSACTION).fetchone()
    age, pid, name, state = transaction or (0, 0, "", "")
    return OutboxState(
        waiting + blocked,
        blocked,
        aggregates,
        max(0.0, float(oldest)),
        float(age),
        f"process {pid} ({name or 'without a name'}), {state or 'of another role'}" if transaction else "",
        published,
    )


def create_in_postgres(url: str) -> None:
    """See `meshport.outbox.databases.create_in`."""
    with _answering(), closing(_connected(url, "meshport outbox")) as connection, connection.transaction():
        create_table(connection)


def _connected(url: str, name: str) -> psycopg.Connection[Any]:
    with _answering():
        return psycopg.connect(url, application_name=name, **_CONNECTION)


@contextmanager
def _answering() -> Iterator[None]:
    """Map the driver's errors; none of its texts has a password."""
    try:
        yield
    except psycopg.errors.UndefinedTable as error:
        raise OutboxUnavailable(
            f"the database has no outbox: {_first_line(error)}", hint="meshport outbox create --database URL"
        ) from error
    except psycopg.Error as error:
        raise OutboxUnavailable(
            f"the database of the outbox does not answer as it should: {_first_line(error)}"
        ) from error


def _first_line(error: psycopg.Error) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
