"""`meshport redrive`: quarantined events back to their processor, or to their group of readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from meshport.address import Address
from meshport.cli.output import emit, emit_text, say
from meshport.cli.read import AddressArgument
from meshport.cli.session import JsonOption, KafkaConfigOption, RegistryOption, open_clusters, open_registry
from meshport.process.runtime.quarantine import QuarantinedEvent

Several = list[str] | None


def redrive(
    address: AddressArgument,
    topic: Annotated[Several, typer.Option(help="Only events of this input, where streams are joined.")] = None,
    partition: Annotated[list[int] | None, typer.Option(help="Only events of this partition of the input.")] = None,
    offset: Annotated[list[int] | None, typer.Option(help="Only events at this offset.")] = None,
    error: Annotated[Several, typer.Option(metavar="CLASS", help="Only events with this error: NoRow.")] = None,
    id: Annotated[Several, typer.Option(help="Only the event with this CloudEvents id.")] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", metavar="GROUP", help="Redrive the events that this group of readers could not handle."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show which events would be redriven, and end.")] = False,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Bring quarantined events back to their processor, after the cause was fixed.

    Each filter may be repeated. An event that was redriven stays in the quarantine, marked, and is not redriven again
    unless it failed again. Redriven events keep the order of the input, but are processed after the events that passed
    meanwhile: totals equal those of a recount, a function of state sees them later. An event whose window has closed
    since goes to the late topic. A row that an event joins has to be valid at the event's time.

    With --group the events that a group of readers quarantined wait in its retry topic again, with all of their tries; a
    running member handles them within some seconds, after later events of their keys that passed meanwhile.

    Examples:
        meshport redrive shop/revenue-by-customer --error NoRow
        meshport redrive shop/orders --group billing
    """
    from meshport.process.runtime import redrive as redriving  # noqa: PLC0415 - slow to import

    wanted, kafka = _wanted(topic, partition, offset, error, id), open_clusters(kafka_config, registry=registry)
    with open_registry(registry) as mesh:
        binding = mesh.resolve(Address.parse(address))
    if dry_run:
        chosen = redriving.pending(binding, wanted, kafka=kafka, group=group)
    elif group is not None:
        chosen = redriving.redrive_for_group(binding, group, wanted, kafka=kafka)
    else:
        chosen = redriving.redrive(binding, wanted, kafka=kafka)
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
