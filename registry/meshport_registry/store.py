"""The database: concurrent reads, one writer at a time, and neither on the event loop.

One thread makes all writes of a process. It puts all waiting writes into one transaction (group commit). The database
admits one writing transaction at a time, of any process: SQLite by `BEGIN IMMEDIATE`, PostgreSQL by an advisory lock
that the transaction holds to its end. A write therefore sees every earlier write: the next id or version is the highest
plus one, and compatibility is checked against the current versions. There is no leader to elect; see Confluent's
schema-registry issues 858 and 893 for two schemas with one id after a leader change.
"""

from __future__ import annotations

import asyncio
import copy
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from meshport.compat.judgement import Judgement
from meshport.errors import MeshError
from meshport_registry.errors import StoreBusy, StoreFailed
from meshport_registry.judge_process import JudgeProcess
from meshport_registry.migrate import migrate

_T = TypeVar("_T")
Work = Callable[[Connection], _T]

_READERS: Final = 4
# Threads that judge, apart from those that read. A thread delays the event loop while it computes, so larger judgements
# are made in a process.
_JUDGES: Final = 2
_SIZE_IN_THREAD: Final = 64 * 1024
# One fsync for all waiting writes, yet no write waits for more than this many others.
_BATCH: Final = 32
_SQLITE_BUSY_MS: Final = 10_000
# The key of the advisory lock. Any constant does if every node on one database has the same.
_WRITE_LOCK: Final = 0x6D65_7368_706F_7274
_CONNECT_ARGS: Final = {"application_name": "meshport-registry"}


def now_us() -> int:
    """Return the current time in microseconds since the epoch."""
    return time.time_ns() // 1000


def instant(microseconds: int) -> datetime:
    """Return a stored instant as a UTC datetime."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


class RollBack(Exception):  # noqa: N818 - not an error
    """Raised by a write that is to be rolled back but still returns a result: a dry run.

    Args:
        result: what `RegistryStore.write` returns.
    """

    def __init__(self, result: Any) -> None:
        super().__init__("rolled back on purpose")
        self.result = result


@dataclass(frozen=True, slots=True)
class _Written(Generic[_T]):
    result: _T
    committed: bool


@dataclass(frozen=True, slots=True)
class _PendingWrite:
    work: Work[Any]
    future: Future[Any]


class RegistryStore:
    """The registry's database.

    Args:
        url: of the database.
        longest_queue: the number of writes that may wait.

    Attributes:
        url: of the database. Its `repr` hides the password.
    """

    def __init__(self, url: URL, *, longest_queue: int = 1000) -> None:
        self.url = url
        self._readers = _engine(url, writes=False)
        self._writers = _engine(url, writes=True)
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="registry-read")
        self._judges = ThreadPoolExecutor(_JUDGES, thread_name_prefix="registry-judge")
        self._judge_process = JudgeProcess()
        self._queue: queue.Queue[_PendingWrite | None] = queue.Queue(longest_queue)
        self._thread = threading.Thread(target=self._write_all, name="registry-write", daemon=True)
        self._record: Work[None] | None = None
        self._committed: Callable[[], None] | None = None

    def open(self) -> Self:
        """Migrate the tables and start the writing thread.

        Raises:
            StoreFailed: the database cannot be reached, its tables cannot be created, or a newer version made them.
        """
        try:
            migrate(self._writers)
        except StoreFailed:
            self._writers.dispose()
            raise
        except SQLAlchemyError as error:
            raise StoreFailed(
                f"the database {self.url.set(query={}).render_as_string()} cannot be opened: {_reason(error)}"
            ) from error
        self._thread.start()
        return self

    def close(self) -> None:
        """Finish the waiting writes and close all connections."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._judge_process.close()
        self._judges.shutdown()
        self._pool.shutdown()
        self._readers.dispose()
        self._writers.dispose()

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a SQLite file."""
        return self.url.get_backend_name() == "sqlite"

    def watch(self) -> sqlite3.Connection:
        """Open a connection to the SQLite file, for `PRAGMA data_version`. Only the calling thread may use it."""
        return sqlite3.connect(self.url.database or "", isolation_level=None)

    async def read(self, work: Work[_T]) -> _T:
        """Run a query in a thread and return its result.

        Raises:
            StoreFailed: the database did not answer.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.read_now, work)

    async def judge(self, judgement: Judgement[_T]) -> _T:
        """Return the result of a judgement, which is made in a thread, or in a process if it is large.

        Raises:
            StoreBusy: too many large judgements wait already.
            JudgementTooLong: it takes too long.
            SchemaError: a schema is not valid, or two cannot be compared.
        """
        if judgement.size <= _SIZE_IN_THREAD:
            return await asyncio.get_running_loop().run_in_executor(self._judges, judgement.run)
        return await asyncio.wrap_future(self._judge_process.submit(judgement))

    @property
    def waiting_writes(self) -> int:
        """How many writes wait for their turn, about."""
        return self._queue.qsize()

    def read_now(self, work: Work[_T]) -> _T:
        """Run a query in the calling thread; see `read`."""
        try:
            with self._readers.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise StoreFailed(f"the database did not answer: {_reason(error)}") from error

    def recording(self, record: Work[None], committed: Callable[[], None]) -> RegistryStore:
        """Return this database for one call, with each write followed by a record of it.

        Args:
            record: runs after the work of each write, in its transaction; not after one that rolls back.
            committed: is called on the event loop once that transaction is committed.
        """
        for_one_call = copy.copy(self)
        vars(for_one_call).update(_record=record, _committed=committed)
        return for_one_call

    async def write(self, work: Work[_T]) -> _T:
        """Run a write and return its result once the database has committed it.

        Raises:
            StoreBusy: `longest_queue` writes are waiting already.
            StoreFailed: the database did not commit the write.
        """
        future: Future[_Written[_T]] = Future()
        record = self._record

        def recorded(connection: Connection) -> _Written[_T]:
            try:
                result = work(connection)
            except RollBack as dry_run:
                raise RollBack(_Written(dry_run.result, committed=False)) from None
            if record is not None:
                record(connection)
            return _Written(result, committed=True)

        try:
            self._queue.put_nowait(_PendingWrite(recorded, future))
        except queue.Full as error:
            raise StoreBusy(f"{self._queue.maxsize} writes wait already", hint="try again in a moment") from error
        written = await asyncio.wrap_future(future)
        if written.committed and self._committed is not None:
            self._committed()
        return written.result

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

    def _write(self, batch: list[_PendingWrite]) -> list[tuple[Future[Any], Any]]:
        """Run a batch of writes in one transaction and return their outcomes once it is committed."""
        outcomes: list[tuple[Future[Any], Any]] = []
        try:
            with self._writers.connect() as connection, connection.begin() as transaction:
                for each in batch:
                    # A savepoint each, so that a write that fails does not undo the others; a single write needs none.
                    scope = connection.begin_nested() if len(batch) > 1 else transaction
                    outcomes.append((each.future, _attempt(connection, each.work, scope.rollback)))
                    if scope.is_active and scope is not transaction:
                        scope.commit()
        except Exception as error:  # noqa: BLE001 - the writing thread has to survive every error of a write
            return [(each.future, _not_written(error)) for each in batch]
        return outcomes


@contextmanager
def one_snapshot(url: URL) -> Iterator[Connection]:
    """Open a transaction that reads one state of a database, while others write to it."""
    engine = _engine(url, writes=False)
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def one_write(url: URL) -> Iterator[Connection]:
    """Open a writing transaction; no other process writes to the database meanwhile."""
    engine = _engine(url, writes=True)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _attempt(connection: Connection, work: Work[Any], roll_back: Callable[[], None]) -> Any:
    """Run a write and return its result, or roll it back and return the error that it raised."""
    try:
        return work(connection)
    except RollBack as dry_run:
        roll_back()
        return dry_run.result
    except MeshError as error:
        roll_back()
        return error
    except Exception as error:  # noqa: BLE001 - one write's error must not undo the other writes of the batch
        roll_back()
        return _not_written(error)


def _not_written(error: Exception) -> StoreFailed:
    failed = StoreFailed(f"the database did not take the write: {_reason(error)}")
    failed.__cause__ = error
    return failed


def _engine(url: URL, *, writes: bool) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, pool_size=1 if writes else _READERS)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_immediate if writes else _begin)
    elif writes:
        engine = create_engine(url, connect_args=_CONNECT_ARGS, pool_size=1, max_overflow=1, pool_pre_ping=True)
        event.listen(engine, "begin", _lock)
    else:
        engine = create_engine(url, connect_args=_CONNECT_ARGS, pool_size=_READERS, isolation_level="AUTOCOMMIT")
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN starts a read transaction; its upgrade to a write fails at once if another connection writes.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # NORMAL may lose acknowledged commits on a power failure
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _lock(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip()
