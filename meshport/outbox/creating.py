"""Making the table of an outbox: by a connection, or as text for a team's own migrations."""

from __future__ import annotations

from typing import Any, cast

from meshport.errors import PublishError
from meshport.outbox.table import Database, creation

__all__ = ["create_table", "script"]


def create_table(connection: Any) -> None:
    """Create the tables of an outbox where they are missing, in the caller's transaction.

    Args:
        connection: an SQLAlchemy `Connection`, or a connection of sqlite3 or psycopg. In an async one,
            `await connection.run_sync(create_table)`.

    Raises:
        PublishError: the database is neither PostgreSQL nor SQLite.
    """
    dialect = getattr(connection, "dialect", None)
    if dialect is None:
        database = "sqlite" if hasattr(connection, "in_transaction") else "postgresql"
        for statement in creation(cast(Database, database)):
            connection.execute(statement)
        return
    if dialect.name not in {"postgresql", "sqlite"}:
        raise PublishError(f"an outbox cannot be in {dialect.name}", hint="PostgreSQL or SQLite")
    for statement in creation(dialect.name):
        connection.exec_driver_sql(statement)


def script(database: Database) -> str:
    """Return the statements that create the tables, as one SQL script."""
    return "".join(f"{statement};\n" for statement in creation(database))
