"""The databases that an outbox can be in, by their URLs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from meshport.errors import OutboxUnavailable
from meshport.outbox.shard import OutboxLook, Shard
from meshport.outbox.table import Database

__all__ = ["create_in", "database_kind", "database_name", "look_at", "open_shard"]

_SQLITE: Final = "sqlite"
_POSTGRESQL: Final = frozenset({"postgresql", "postgres"})
# SQLAlchemy names the driver as well: postgresql+psycopg, sqlite+aiosqlite.
_SCHEME: Final = re.compile(r"^(\w+)(?:\+\w+)?(?=:)")


class _Target(NamedTuple):
    kind: Database
    at: str
    """The URL for libpq, or the file."""


def database_kind(url: str) -> Database:
    """Return which database a URL leads to.

    Raises:
        OutboxUnavailable: it is neither PostgreSQL nor SQLite in a file.
    """
    return _target(url).kind


def database_name(url: str) -> str:
    """Return the name of a database without what may be secret: host and path, or the file."""
    if _target(url).kind == _SQLITE:
        return _target(url).at
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{parts.path}"


def open_shard(url: str, shard: int, shards: int, *, stopped: Callable[[], bool]) -> Shard:
    """Return a shard of an outbox over a new connection.

    Args:
        url: of the database, as SQLAlchemy takes it.
        shard: the number of the shard.
        shards: in how many the outbox is divided.
        stopped: ends `Shard.wait`.

    Raises:
        OutboxUnavailable: the database does not answer.
    """
    kind, at = _target(url)
    if kind == _SQLITE:
        from meshport.outbox.sqlite_shard import SqliteShard  # noqa: PLC0415 - as its sibling

        return SqliteShard(at, shard, shards, stopped=stopped)
    from meshport.outbox.postgres_shard import PostgresShard  # noqa: PLC0415 - psycopg is an extra

    return PostgresShard(at, shard, shards, stopped=stopped)


def look_at(url: str, most_blocked: int) -> OutboxLook:
    """Return what an outbox holds, the first row of each blocked aggregate, and which relay held each shard last.

    Args:
        url: of the database, as SQLAlchemy takes it.
        most_blocked: how many blocked aggregates are wanted.

    Raises:
        OutboxUnavailable: the database does not answer, or has no outbox.
    """
    kind, at = _target(url)
    if kind == _SQLITE:
        from meshport.outbox.sqlite_shard import look_at_sqlite  # noqa: PLC0415 - as above

        return look_at_sqlite(at, most_blocked)
    from meshport.outbox.postgres_shard import look_at_postgres  # noqa: PLC0415 - as above

    return look_at_postgres(at, most_blocked)


def create_in(url: str) -> None:
    """Create the tables of an outbox where they are missing.

    Args:
        url: of the database, as SQLAlchemy takes it.

    Raises:
        OutboxUnavailable: the database does not answer, or the login may not create tables in it.
    """
    kind, at = _target(url)
    if kind == _SQLITE:
        from meshport.outbox.sqlite_shard import create_in_sqlite  # noqa: PLC0415 - as above

        create_in_sqlite(at)
        return
    from meshport.outbox.postgres_shard import create_in_postgres  # noqa: PLC0415 - as above

    create_in_postgres(at)


def _target(url: str) -> _Target:
    found = _SCHEME.match(url)
    scheme = found[1] if found else ""
    if scheme == _SQLITE:
        file = unquote(url.partition("://")[2].partition("?")[0].removeprefix("/"))
        if file and file != ":memory:":
            return _Target("sqlite", file)
        raise OutboxUnavailable("a SQLite in memory has no outbox that a relay could read", hint="sqlite:///file.db")
    if found and scheme in _POSTGRESQL:
        return _Target("postgresql", f"postgresql{url[found.end() :]}")
    raise OutboxUnavailable(
        f"an outbox cannot be in {scheme or 'a database without a scheme'}",
        hint="postgresql://user@host/name or sqlite:///file.db",
    )
