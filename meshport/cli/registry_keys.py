"""`meshport registry key create`, `rotate`, `revoke` and `list`: the API keys of a registry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Annotated, Protocol

import typer

from meshport.api_keys import LONGEST_OVERLAP_HOURS, ApiKey, ApiKeyRequest, NewApiKey
from meshport.cli.arguments import fitting, not_empty
from meshport.cli.output import emit, emit_text, say, table
from meshport.cli.registry_database import DATABASE_VARIABLE, database_secret
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.rfc3339 import day

keys_app = typer.Typer(help="The API keys of a registry.", no_args_is_help=True)
KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", callback=not_empty, help="The id of the key, as `list` shows it.")
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="The registry's database, to work on it without the registry: for the first key, on its host. "
        f"Without a --registry, {DATABASE_VARIABLE} names it too.",
    ),
]


class _Keys(Protocol):
    def list(self) -> tuple[ApiKey, ...]: ...
    def create(self, wanted: ApiKeyRequest) -> NewApiKey: ...
    def rotate(self, key_id: str, *, overlap_hours: int) -> NewApiKey: ...
    def revoke(self, key_id: str) -> ApiKey: ...


@contextmanager
def _opened(database: str | None, registry: str | None) -> Iterator[_Keys]:
    if database is None and registry is None:
        database = os.environ.get(DATABASE_VARIABLE) or None
    if database is None:
        with open_registry(registry) as mesh:
            yield mesh.keys
        return
    from meshport_registry.identity.offline import KeysInDatabase  # noqa: PLC0415 - the service is an extra

    try:
        keys = KeysInDatabase(database_secret(database))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--database") from None
    with keys:
        yield keys


@keys_app.command()
def create(
    name: Annotated[str, typer.Argument(help="The caller: DOMAIN/PRODUCT for its process, else a person or service.")],
    group: Annotated[list[str] | None, typer.Option(help="A group of the caller; may be given several times.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="Its last day (UTC), as 2026-12-31; by default a year from now.")
    ] = None,
    database: DatabaseOption = None,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key and print it. It is shown this once: the registry keeps its hash.

    Example: meshport registry key create billing/invoices --group billing-team --until 2026-12-31
    """
    last = None if until is None else _day(until)
    with fitting(name="NAME", groups="--group"):
        wanted = ApiKeyRequest(name=name, groups=tuple(group or ()), until=last)
    with _opened(database, registry) as keys:
        _show_once(keys.create(wanted), json)
        if len(keys.list()) == 1:
            say("this is the first key: a registry that runs without identities asks for one from its next start on")


@keys_app.command()
def rotate(
    key: KeyArgument,
    overlap_hours: Annotated[
        int, typer.Option(min=0, max=LONGEST_OVERLAP_HOURS, help="How long the old key stays valid beside the new one.")
    ] = 24,
    database: DatabaseOption = None,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Make a new key for the caller of a key and print it; the old one ends after some hours.

    Example: meshport registry key rotate h4x7k2m9p3qa --overlap-hours 2
    """
    with _opened(database, registry) as keys:
        _show_once(keys.rotate(key, overlap_hours=overlap_hours), json)


@keys_app.command()
def revoke(
    key: KeyArgument, database: DatabaseOption = None, registry: RegistryOption = None, json: JsonOption = False
) -> None:
    """Revoke a key for good. Every process of the registry refuses it after a second at the latest.

    Example: meshport registry key revoke h4x7k2m9p3qa
    """
    with _opened(database, registry) as keys:
        revoked = keys.revoke(key)
    if json:
        emit(_facts(revoked))
    else:
        say(f"revoked the key {revoked.id} of {revoked.name}")


@keys_app.command("list")
def list_keys(database: DatabaseOption = None, registry: RegistryOption = None, json: JsonOption = False) -> None:
    """List every key that was ever made, newest first: whose it is, when it ends, whether it is valid.

    Example: meshport registry key list --json
    """
    with _opened(database, registry) as keys:
        found = keys.list()
    if json:
        for each in found:
            emit(_facts(each))
    elif found:
        now = datetime.now(UTC)
        rows = [
            [each.id, each.name, ",".join(each.groups), f"{each.ends_at:%Y-%m-%d}", each.state(now)] for each in found
        ]
        table(["key", "caller", "groups", "ends", "state"], rows)
    else:
        say("no key was ever made")


def _day(text: str) -> date:
    try:
        return day(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--until") from error


def _facts(key: ApiKey) -> dict[str, object]:
    return key.model_dump(exclude={"secret"}) | {"state": key.state(datetime.now(UTC))}


def _show_once(key: NewApiKey, json: bool) -> None:
    if json:
        emit(_facts(key) | {"secret": key.secret, "key": key.text})
        return
    emit_text(key.text)
    say(f"the key {key.id} of {key.name}, until {key.ends_at:%Y-%m-%d %H:%M} UTC. It is not shown again.")
    say(f"set MESHPORT_REGISTRY_TOKEN to it. HTTP basic: user {key.id}, password what follows {key.id}_")
