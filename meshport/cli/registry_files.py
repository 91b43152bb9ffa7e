"""The options of every command that asks a registry: the certificates of its connection.

A command that takes `--registry` gets them when it is loaded. Each is a variable of the environment, in which an option puts
its value: whatever opens a registry in this process, and in those that it starts, finds it there.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

# The names are those of `meshport.registry.login`, which `meshport --help` does not import.
_VARIABLES: Final = {
    "registry_ca": "MESHPORT_REGISTRY_CA",
    "registry_certificate": "MESHPORT_REGISTRY_CERTIFICATE",
    "registry_key": "MESHPORT_REGISTRY_KEY",
}


def add_registry_files(command: Any) -> None:
    """Add the options to a command that has `--registry`, or to those of a group."""
    if isinstance(command, TyperGroup):
        for each in command.commands.values():
            add_registry_files(each)
    elif any("--registry" in each.opts for each in command.params):
        command.params.extend(_options())


@cache
def _options() -> tuple[Any, ...]:
    alone = typer.Typer(add_completion=False)
    alone.command()(_files)
    return tuple(typer.main.get_command(alone).params)


def _keep(parameter: typer.CallbackParam, given: str | None) -> str | None:
    if given is not None:
        os.environ[_VARIABLES[parameter.name or ""]] = given
    return given


def _option(text: str, variable: str) -> Any:
    return typer.Option(metavar="FILE", envvar=variable, help=text, callback=_keep, expose_value=False)


def _files(
    registry_ca: Annotated[
        str | None, _option("The authorities of the registry's certificate, in PEM.", _VARIABLES["registry_ca"])
    ] = None,
    registry_certificate: Annotated[
        str | None, _option("A client certificate for the registry, in PEM.", _VARIABLES["registry_certificate"])
    ] = None,
    registry_key: Annotated[
        str | None,
        _option("The key of that certificate, where it is in a file of its own.", _VARIABLES["registry_key"]),
    ] = None,
) -> None:
    """Carry the options: typer makes them of the parameters of a function."""
