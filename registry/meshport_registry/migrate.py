"""Migrating a database to the tables of this version. Any number of nodes may do so at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from meshport import __version__
from meshport_registry.errors import StoreFailed

_NEWEST: Final = "head"


def migrate(writer: Engine) -> None:
    """Run the missing migrations in one transaction.

    The database admits one writing transaction at a time. A second node that starts waits here, and then finds nothing
    to do.

    Raises:
        StoreFailed: a newer version has migrated the database, and this one does not know what its tables hold.
    """
    with writer.begin() as connection:
        found, known = revision_of(connection), revisions()
        if found not in {None, *known}:
            raise StoreFailed(
                f"the database has the tables of a newer Meshport (revision {found}) than this one, "
                f"{__version__} (revision {known[0]})",
                hint="run that version; back leads only the backup from before it",
            )
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
