"""The database of a registry, for the commands of its host. Its password comes by reference: all users see a command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import typer
from pydantic import SecretStr

from meshport.errors import KafkaConfigError
from meshport.kafka.secret_references import dereferenced

DATABASE_VARIABLE: Final = "MESHPORT_REGISTRY_DATABASE"
"""The variable with the database's URL."""

DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database",
        metavar="URL",
        envvar=DATABASE_VARIABLE,
        help="sqlite:///file.db or postgresql://user:${file:PATH}@host/name; ${env:NAME} is a variable.",
    ),
]
"""The option with the URL of a registry's database."""


def database_secret(given: str) -> SecretStr:
    """Return the URL of a database, with what its references lead to (`${env:NAME}`, `${file:PATH}`, see `dereferenced`).

    A reference may be the whole URL or a part of it, which is then percent-encoded. Relative paths begin here.

    Raises:
        typer.BadParameter: a reference leads nowhere. The message has the reference, not the URL.
    """
    whole = given.startswith("${") and given.endswith("}") and given.count("${") == 1
    return _dereferenced(given, "--database", str if whole else lambda part: quote(part, safe=""))


def secret_of(given: str, option: str) -> SecretStr:
    """Return what an option for a secret was given, or what its references lead to. Relative paths begin here.

    Raises:
        typer.BadParameter: a reference leads nowhere.
    """
    return _dereferenced(given, option, str)


def _dereferenced(given: str, option: str, written: Callable[[str], str]) -> SecretStr:
    try:
        return SecretStr(dereferenced(given, folder=Path.cwd(), environment=os.environ, written=written))
    except KafkaConfigError as error:
        hint = f"; {error.hint}" if error.hint else ""
        raise typer.BadParameter(f"{error.message}{hint}", param_hint=option) from None
