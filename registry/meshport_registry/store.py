"""The database: many readers, one writer at a time, and nothing of either on the event loop.

All writes of a process go through one thread, which takes whatever waits into one transaction (group commit). Between
processes the database lets one such transaction in at a time: SQLite by `BEGIN IMMEDIATE`, PostgreSQL by an advisory
lock that ends with the transaction. Inside it a write sees everything that came before it, so ids and versions are
simply the highest so far plus one, and compatibility is checked against what is really there. There is no leader and
nothing to elect; see Confluent's schema-registry issues 858 and 893 for two schemas with one id after a leader change.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from meshport.errors import MeshError
from meshport_registry.errors import StoreBusy, StoreFailed
from meshport_registry.migrate import migrate

_T = TypeVar("_T")
Work = Callable[[Connection], _T]

_READERS: Final = 4
# One fsync for as many as wait, yet no write waits for more than these before it.
_BATCH: Final = 32
_SQLITE_BUSY_MS: Final = 10_000
# Any constant does; it has to be the same in every node on one database.
_WRITE_LOCK: Final = 0x6D65_7368_706F_7274
_NAMED: Final = {"application_name": "meshport-registry"}


def now_us() -> int:
    """This instant in microseconds since the epoch."""
    return time.time_ns() // 1000


class Undo(Exception):  # noqa: N818 - carries a result out of a transaction that is to leave no trace
    """Raised by a write to hand out `result` and be rolled back: a dry run."""

    def __init__(self, result: Any) -> None:
        super().__init__("rolled back by intent")
        self.result = result


@dataclass(frozen=True, slots=True)
class _Waiting:
    work: Work[Any]
    future: Future[Any]


class Store:
    """The registry's database.

    Args:
        url: the database.
        longest_queue: writes that may wait.
    """

    def __init__(self, url: URL, *, longest_queue: int = 1000) -> None:
        self.url = url
        self._readers = _engine(url, writes=False)
        self._writers = _engine(url, writes=True)
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="registry-read")
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(longest_queue)
        self._thread = threading.Thread(target=self._write_all, name="registry-write", daemon=True)

    def open(self) -> Self:
        """Bring the tables up to date and start to take writes.

        Raises:
            StoreFailed: the database cannot be reached, or its tables cannot be made.
        """
        try:
            migrate(self._writers)
        except SQLAlchemyError as error:
            raise StoreFailed(f"the database {self.url.render_as_string()} cannot be opened: {_told(error)}") from error
        self._thread.start()
        return self

    def close(self) -> None:
        """Finish the writes that wait, then let go of the database."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._pool.shutdown()
        self._readers.dispose()
        self._writers.dispose()

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of this machine."""
        return self.url.get_backend_name() == "sqlite"

    def watch(self) -> sqlite3.Connection:
        """A connection to SQLite for `PRAGMA data_version`, to be used by the calling thread only."""
        return sqlite3.connect(self.url.database or "", isolation_level=None)

    async def read(self, work: Work[_T]) -> _T:
        """Run a query in a thread.

        Raises:
            StoreFailed: the database did not answer.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.read_now, work)

    async def compute(self, work: Callable[[], _T]) -> _T:
        """Run what takes time and no database in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def read_now(self, work: Work[_T]) -> _T:
        """Run a query in this thread; see `read`."""
        try:
            with self._readers.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise StoreFailed(f"the database did not answer: {_told(error)}") from error

    async def write(self, work: Work[_T]) -> _T:
        """Run a write and wait until it is durable.

        Raises:
            StoreBusy: too many writes wait.
            StoreFailed: the database did not take it.
        """
        future: Future[_T] = Future()
        try:
            self._queue.put_nowait(_Waiting(work, future))
        except queue.Full as error:
            raise StoreBusy(f"{self._queue.maxsize} writes wait already", hint="try again in a moment") from error
        return await asyncio.wrap_future(future)

    def _write_all(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, ended = [first], False
            with suppress(queue.Empty):
                while len(batch) < _BATCH:
                    if (waiting := self._queue.get_nowait()) is None:
                        ended = True
                        break
                    batch.append(waiting)
            batch = [each for each in batch if each.future.set_running_or_notify_cancel()]
            for future, outcome in self._write(batch):
                if isinstance(outcome, BaseException):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
            if ended:
                return

    def _write(self, batch: list[_Waiting]) -> list[tuple[Future[Any], Any]]:
        """Run a batch in one transaction; nobody hears of an outcome before it is durable."""
        outcomes: list[tuple[Future[Any], Any]] = []
        try:
            with self._writers.connect() as connection, connection.begin() as transaction:
                for each in batch:
                    # A write that fails takes nothing of the others with it; alone it needs no savepoint.
                    scope = connection.begin_nested() if len(batch) > 1 else transaction
                    outcomes.append((each.future, _attempt(connection, each.work, scope.rollback)))
                    if scope.is_active and scope is not transaction:
                        scope.commit()
        except Exception as error:  # noqa: BLE001 - a thread's edge: it outlives whatever a write does to it
            failed = StoreFailed(f"the database did not take the write: {_told(error)}")
            failed.__cause__ = error
            return [(each.future, failed) for each in batch]
        return outcomes


def _attempt(connection: Connection, work: Work[Any], undo: Callable[[], None]) -> Any:
    """The result of a write, or the exception that it raised after it was undone."""
    try:
        return work(connection)
    except Undo as dry:
        undo()
        return dry.result
    except MeshError as error:
        undo()
        return error


def _engine(url: URL, *, writes: bool) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, pool_size=1 if writes else _READERS)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_immediate if writes else _begin)
    elif writes:
        engine = create_engine(url, connect_args=_NAMED, pool_size=1, max_overflow=1, pool_pre_ping=True)
        event.listen(engine, "begin", _lock)
    else:
        engine = create_engine(url, connect_args=_NAMED, pool_size=_READERS, isolation_level="AUTOCOMMIT")
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes late and upgrades a read, which fails at once
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # NORMAL may lose acknowledged commits when the power goes
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _lock(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")


def _told(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip()
