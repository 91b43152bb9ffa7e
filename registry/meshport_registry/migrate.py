"""Migrating a database to the tables of this version. Any number of nodes may do so at the same time."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine


def migrate(writer: Engine) -> None:
    """Run the missing migrations in one transaction.

    The database admits one writing transaction at a time. A second node that starts waits here, and then finds nothing
    to do.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with writer.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
