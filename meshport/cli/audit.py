"""`meshport audit`: who changed what, what was refused, and whether the audit itself is whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from meshport.cli.output import emit, emit_text, say, table
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.errors import FileError
from meshport.registry import verify_export
from meshport.rfc3339 import loose_instant

_COLUMNS: Final = ["number", "at", "caller", "action", "resource", "outcome", "policies"]


def audit(
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only entries of this time or later: 2027-03-01T12:00Z")
    ] = None,
    who: Annotated[str | None, typer.Option(metavar="NAME", help="Only entries of this caller.")] = None,
    what: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only entries with this action, or about this: shop/orders")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the whole chain of hashes; exit 1 where it is broken.")
    ] = False,
    head: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="With --verify: a hash that was noted earlier, and has to be in the chain."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --verify: check what `meshport audit --json` wrote into this file."),
    ] = None,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Show who changed what in the registry, and which calls were refused.

    --verify reads the whole audit and computes its hashes here. It prints the newest hash: note it outside of
    the registry's database, and give it to the next --verify as --head. The export is --json without a filter.

    Examples:
        meshport audit --since 2027-03-01 --what shop/orders
        meshport audit --json > audit.jsonl
        meshport audit --verify --head "$(tail -1 noted-hashes)"
    """
    if verify:
        _verify(head, file, registry, json=json, filters=(since, who, what))
        return
    if head is not None or file is not None:
        raise typer.BadParameter("it needs --verify", param_hint="--head" if head is not None else "--file")
    with open_registry(registry) as mesh:
        found = mesh.audit.entries(since=_since(since), who=who, what=what)
        if json:
            for entry in found:
                emit_text(entry.model_dump_json())
            return
        rows = [[str(getattr(entry, name) or "-") for name in _COLUMNS] for entry in found]
    if rows:
        table(_COLUMNS, rows)
    else:
        say("the audit has no such entry" if since or who or what else "the audit is empty")


def _since(text: str | None) -> datetime | None:
    try:
        return None if text is None else loose_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error


def _verify(
    head: str | None, file: Path | None, registry: str | None, *, json: bool, filters: Sequence[str | None]
) -> None:
    if any(each is not None for each in filters):
        raise typer.BadParameter("it checks every entry: leave --since, --who and --what out", param_hint="--verify")
    if file is not None:
        try:
            with file.open("rb") as lines:
                found = verify_export(lines, head)
        except OSError as error:
            raise FileError(f"{file} cannot be read: {error.strerror}") from error
    else:
        with open_registry(registry) as mesh:
            found = mesh.audit.verify(head)
    if json:
        emit({"entries": found.number, "head": found.hash})
        return
    say(f"the audit is whole: {found.number} entries")
    emit_text(found.hash)
