"""`meshport outbox create`: the tables of an outbox, in a database or as text."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from meshport.cli.output import emit_text, say
from meshport.cli.relay import DatabaseOption, database_url

outbox_app = typer.Typer(no_args_is_help=True)


class _Dialect(StrEnum):
    POSTGRESQL = "postgresql"
    SQLITE = "sqlite"


@outbox_app.callback()
def outbox() -> None:
    """The outbox of a service's database.

    Example: meshport outbox create --database sqlite:///shop.db
    """


@outbox_app.command()
def create(
    database: DatabaseOption = None,
    sql: Annotated[
        _Dialect | None, typer.Option(help="Print the statements, for your own migrations, and change nothing.")
    ] = None,
) -> None:
    """Create the tables of an outbox, where they are missing.

    Example: meshport outbox create --database sqlite:///shop.db
    """
    from meshport.outbox.creating import script  # noqa: PLC0415 - slow to import
    from meshport.outbox.databases import create_in, database_name  # noqa: PLC0415 - as above

    if sql is not None:
        emit_text(script(sql.value).rstrip("\n"))
        return
    url = database_url(database)
    create_in(url)
    say(f"the outbox is in {database_name(url)}")
