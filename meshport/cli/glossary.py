"""`meshport glossary`: what the terms and polysemes of the mesh mean."""

from __future__ import annotations

from typing import Annotated

import typer

from meshport.cli.output import emit, say, table
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.glossary import GlossaryEntry


def glossary(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="A part of a name or a definition.")] = "",
    domain: Annotated[str | None, typer.Option(help="Only what this domain declares.")] = None,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Show what terms and polysemes mean, who owns them, and where they are used.

    A project declares those of its domains in glossary.yaml, and `meshport apply` takes them to the registry.

    Example: meshport glossary customer
    """
    with open_registry(registry) as mesh:
        found = mesh.glossary.read(text, domain=domain)
    if json:
        for each in found.entries:
            emit(each.model_dump(mode="json"))
    elif found.entries:
        table(["term", "domain", "owner", "used by", "what it means"], [_row(each) for each in found.entries])
    else:
        say(
            "the glossary has no such term" if text or domain else "the glossary is empty: glossary.yaml declares terms"
        )
    if not found.complete:
        say("the registry has just started, and has not read all contracts yet: products may be missing")


def _row(entry: GlossaryEntry) -> list[str]:
    linked = {each.address.of_product: each.key for each in reversed(entry.linked_fields)}
    used = dict.fromkeys(each.key for each in entry.used_in)
    used |= dict.fromkeys(linked.get(each, each.key) for each in entry.linked_by)
    shown = ", ".join(list(used)[:3])
    count = len(used) + entry.linked_by_total - len(entry.linked_by)
    more = f" and {count - 3} others" if count > 3 else ""
    return [entry.name, entry.domain or "-", entry.owner or "-", shown + more, entry.definition or "-"]
