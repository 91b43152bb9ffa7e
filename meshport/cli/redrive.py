"""`meshport redrive`: bringing back what a processor could not process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from meshport.address import Address
from meshport.cli.output import emit, emit_text, say
from meshport.cli.read import AddressArgument
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.process.runtime.quarantine import QuarantinedEvent

Several = list[str] | None


def redrive(
    address: AddressArgument,
    topic: Annotated[Several, typer.Option(help="Only events of this input, where streams are joined.")] = None,
    partition: Annotated[list[int] | None, typer.Option(help="Only events of this partition of the input.")] = None,
    offset: Annotated[list[int] | None, typer.Option(help="Only events at this offset.")] = None,
    error: Annotated[Several, typer.Option(metavar="CLASS", help="Only events with this error: NoRow.")] = None,
    id: Annotated[Several, typer.Option(help="Only the event with this CloudEvents id.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be brought back, and leave it.")] = False,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Bring quarantined events back to the processor of a port, once what was wrong is put right.

    Each filter may be given several times. What was brought back once is left out from then on, unless it failed again; it
    stays in the quarantine, marked. Events come in the order of the input, behind all that went through meanwhile: totals are
    those of a recount, but a function of state sees them late. An event is judged by how far time has come: where its window
    is closed it goes to the late port. A joined row has to say that it held at the event's time.

    Example: meshport redrive shop/revenue-by-customer --error NoRow
    """
    from meshport.process.runtime import redrive as redriving  # noqa: PLC0415 - slow to import

    wanted = _wanted(topic, partition, offset, error, id)
    with open_registry(registry) as mesh:
        binding = mesh.resolve(Address.parse(address))
    chosen = redriving.pending(binding, wanted) if dry_run else redriving.redrive(binding, wanted)
    for event in chosen:
        if json:
            emit(event.as_dict())
        else:
            emit_text(f"{event.topic} [{event.partition}] offset {event.offset}: {event.reason}")
    say(f"{len(chosen)} events would be redriven" if dry_run else f"{len(chosen)} events redriven")


def _wanted(
    topics: Several, partitions: list[int] | None, offsets: list[int] | None, errors: Several, ids: Several
) -> Callable[[QuarantinedEvent], bool]:
    def wanted(event: QuarantinedEvent) -> bool:
        return (
            (not topics or event.topic in topics)
            and (not partitions or event.partition in partitions)
            and (not offsets or event.offset in offsets)
            and (not errors or event.error in errors)
            and (not ids or event.id in ids)
        )

    return wanted
