"""The transactions that take an event: sessions and connections of SQLAlchemy, Django, and drivers of the DB-API (PEP 249)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, Final

from meshport.errors import PublishError
from meshport.outbox.row import OutboxRow
from meshport.outbox.table import COLUMNS, TABLE, insertion

__all__ = ["add_row", "add_row_async"]

_KINDS: Final = "a Session or Connection of SQLAlchemy, django.db.connection, or a connection of sqlite3 or psycopg"
_ASYNC_KINDS: Final = "an AsyncSession or AsyncConnection of SQLAlchemy, or an async connection of psycopg or aiosqlite"
_DATABASES: Final = frozenset({"postgresql", "sqlite"})
_FORMAT: Final = insertion(lambda _: "%s")
_QMARK: Final = insertion(lambda _: "?")
_NAMED: Final = insertion(":{}".format)
# By the `paramstyle` of a driver's module.
_STATEMENTS: Final[Mapping[str, str]] = {"format": _FORMAT, "pyformat": _FORMAT, "qmark": _QMARK, "named": _NAMED}


def add_row(transaction: Any, row: OutboxRow) -> None:
    """Add a row to a transaction.

    Raises:
        PublishError: the object is no transaction that is known, its database is neither PostgreSQL nor SQLite, or it commits
            each statement by itself.
    """
    match _vendor(transaction):
        case "sqlalchemy":
            _add_by_sqlalchemy(transaction, row)
        case "django":
            _check_database(transaction.vendor)
            if transaction.get_autocommit():
                raise _alone("transaction.atomic()")
            with transaction.cursor() as cursor:
                cursor.execute(_FORMAT, astuple(row))
        case vendor:
            statement = _STATEMENTS.get(getattr(sys.modules.get(vendor), "paramstyle", ""))
            if statement is None or not hasattr(transaction, "cursor"):
                raise _no_transaction(transaction, _KINDS)
            if hasattr(transaction, "__aenter__"):
                raise PublishError(f"{_name(transaction)} is async", hint="await outbox.add_async(...)")
            if _commits_alone(transaction):
                raise _alone("a transaction")
            cursor = transaction.cursor()
            try:
                cursor.execute(statement, _named(row) if statement is _NAMED else astuple(row))
            finally:
                cursor.close()


async def add_row_async(transaction: Any, row: OutboxRow) -> None:
    """Add a row to a transaction of an event loop; raises as `add_row`."""
    vendor = _vendor(transaction)
    if vendor == "sqlalchemy" and hasattr(transaction, "run_sync"):
        await transaction.run_sync(_add_by_sqlalchemy, row)
        return
    if vendor not in {"psycopg", "aiosqlite"} or not hasattr(transaction, "__aenter__"):
        raise _no_transaction(transaction, _ASYNC_KINDS)
    if _commits_alone(transaction):
        raise _alone("a transaction")
    cursor = await transaction.execute(_FORMAT if vendor == "psycopg" else _QMARK, astuple(row))
    await cursor.close()


def _add_by_sqlalchemy(transaction: Any, row: OutboxRow) -> None:
    from sqlalchemy import Connection, text  # noqa: PLC0415 - is loaded, since the caller has an object of it
    from sqlalchemy.orm import Session, scoped_session  # noqa: PLC0415 - as above

    if isinstance(transaction, (Session, scoped_session)):
        # The lock of the changed row has to be held before the event gets its number: see `meshport.outbox.table`.
        transaction.flush()
        connection = transaction.connection()
    elif isinstance(transaction, Connection):
        connection = transaction
    elif hasattr(transaction, "run_sync"):
        raise PublishError(f"{_name(transaction)} is async", hint="await outbox.add_async(...)")
    else:
        raise _no_transaction(transaction, _KINDS)
    _check_database(connection.dialect.name)
    if _commits_alone(connection.connection.driver_connection):
        raise _alone("another isolation level than AUTOCOMMIT")
    connection.execute(text(_NAMED), _named(row))


def _commits_alone(driver: Any) -> bool:
    """Return whether a driver's connection commits a statement by itself."""
    if hasattr(driver, "in_transaction"):  # sqlite3 and aiosqlite
        if driver.in_transaction:
            return False
        autocommit = getattr(driver, "autocommit", None)  # Python 3.12; -1 leaves it to isolation_level
        return autocommit if isinstance(autocommit, bool) else getattr(driver, "isolation_level", "") is None
    status = getattr(getattr(driver, "info", None), "transaction_status", 0)  # of libpq: 0 is idle
    return getattr(driver, "autocommit", False) is True and status == 0


def _vendor(transaction: Any) -> str:
    """Return the package of an object's class, or that of a class that it inherits from: an application has its own sessions."""
    packages = [each.__module__.partition(".")[0] for each in type(transaction).__mro__]
    known = ("sqlalchemy", "django", "psycopg", "psycopg2", "sqlite3", "aiosqlite")
    return next((each for each in packages if each in known), packages[0])


def _named(row: OutboxRow) -> dict[str, Any]:
    return dict(zip(COLUMNS, astuple(row), strict=True))


def _check_database(name: str) -> None:
    if name not in _DATABASES:
        raise PublishError(f"an outbox cannot be in {name}", hint="PostgreSQL or SQLite")


def _alone(within: str) -> PublishError:
    return PublishError(
        f"no transaction is open, so that the event's row in {TABLE} would commit by itself",
        hint=f"add it within {within}",
    )


def _no_transaction(found: Any, kinds: str) -> PublishError:
    return PublishError(f"{_name(found)} is no transaction", hint=kinds)


def _name(found: Any) -> str:
    return f"{type(found).__module__}.{type(found).__qualname__}"
