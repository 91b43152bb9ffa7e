"""Bringing a database to this version's tables, at every start; safe when many nodes start at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine


def migrate(writer: Engine) -> None:
    """Run what is missing, all or nothing.

    The writing engine lets one transaction in at a time on either database, so a second node waits here and then finds
    nothing to do.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with writer.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
