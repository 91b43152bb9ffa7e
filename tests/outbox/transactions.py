"""Every kind of transaction that takes events, each as a block that commits, or rolls back on an error."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, closing, contextmanager
from typing import Any

import aiosqlite
import django
import psycopg
from django.conf import settings
from django.db import connections
from django.db.transaction import atomic
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import column as column_
from sqlalchemy import create_engine, select, table, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from meshport.outbox import COLUMNS, TABLE, OutboxRow, create_table

Block = Callable[[str], AbstractContextManager[Any]]
AsyncBlock = Callable[[str], AbstractAsyncContextManager[Any]]


def engine(url: str) -> Any:
    """An engine of SQLAlchemy on the database."""
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)


def prepare(url: str) -> None:
    """Make the outbox, and the table of the service's own rows."""
    with engine(url).begin() as connection:
        create_table(connection)
        connection.execute(text("CREATE TABLE sale (number integer PRIMARY KEY)"))


def rows(url: str) -> list[OutboxRow]:
    """The rows that have committed, in their order."""
    wanted = table(TABLE, column_("number"), *map(column_, COLUMNS))
    with engine(url).connect() as connection:
        found = connection.execute(select(*(wanted.c[name] for name in COLUMNS)).order_by(wanted.c.number))
        return [OutboxRow.read(each) for each in found]


@contextmanager
def by_session(url: str) -> Iterator[Any]:
    """An ORM session of SQLAlchemy."""
    with Session(engine(url)) as session, session.begin():
        yield session


@contextmanager
def by_connection(url: str) -> Iterator[Any]:
    """A connection of SQLAlchemy."""
    with engine(url).begin() as connection:
        yield connection


@contextmanager
def by_driver(url: str) -> Iterator[Any]:
    """A connection of the database's driver."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
            yield file
        return
    with psycopg.connect(url) as connection:
        yield connection


@contextmanager
def by_django(url: str) -> Iterator[Any]:
    """Django's connection within `atomic`."""
    with on_django(url) as alias, atomic(using=alias):
        yield connections[alias]


@contextmanager
def on_django(url: str) -> Iterator[str]:
    """A database that Django knows, and its alias."""
    if not settings.configured:
        settings.configure(USE_TZ=True, DATABASES={}, LOGGING_CONFIG=None)
        django.setup()
    if url.startswith("sqlite"):
        own: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": url.removeprefix("sqlite:///")}
    else:
        parts = conninfo_to_dict(url)
        own = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts["dbname"],
            "USER": parts.get("user", ""),
            "PASSWORD": parts.get("password", ""),
            "HOST": parts["host"],
            "OPTIONS": {"options": parts["options"]},
        }
    alias = "shop"
    connections.databases[alias] = connections.configure_settings({"default": {}, alias: own})[alias]
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias], connections.databases[alias]


@asynccontextmanager
async def by_async_session(url: str) -> AsyncIterator[Any]:
    """An async session of SQLAlchemy."""
    at = url.replace("postgresql:", "postgresql+psycopg:").replace("sqlite:", "sqlite+aiosqlite:")
    async with AsyncSession(create_async_engine(at, poolclass=NullPool)) as session, session.begin():
        yield session


@asynccontextmanager
async def by_async_driver(url: str) -> AsyncIterator[Any]:
    """An async connection of the database's driver."""
    if url.startswith("sqlite"):
        async with aiosqlite.connect(url.removeprefix("sqlite:///")) as file:
            yield file
            await file.commit()
        return
    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield connection
