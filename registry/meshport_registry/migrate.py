"""Migrating a database to the tables of this version. Any number of nodes may do so at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

_NEWEST: Final = "head"


def migrate(writer: Engine) -> None:
    """Run the missing migrations in one transaction.

    The database admits one writing transaction at a time. A second node that starts waits here, and then finds nothing
    to do.
    """
    with writer.begin() as connection:
        migrate_to(connection, _NEWEST)


def migrate_to(connection: Connection, revision: str) -> None:
    """Run the missing migrations up to a revision, in the transaction of the caller.

    Args:
        connection: a writing transaction.
        revision: one of `revisions`, or "head" for the newest.
    """
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def revisions() -> tuple[str, ...]:
    """Return the revisions that this version knows, newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def revision_of(connection: Connection) -> str | None:
    """Return the revision of a database's tables; None if it has no registry."""
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
