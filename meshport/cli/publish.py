"""`meshport publish`: records from a file to an output port."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer

from meshport.cli.output import FINDINGS, emit, progress, say
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.errors import EncodeError, EventError, MeshError, PublishError
from meshport.ingest import Format, LineRefused, Row, read_rows
from meshport.publish import Publisher
from meshport.rowmapper import RowMapper


class OnError(StrEnum):
    """What a refused record means for the rest of its file."""

    STOP = "stop"
    SKIP = "skip"


# A file that is wrong from end to end says so in its first lines; the count tells the rest.
_SHOWN = 20


def publish(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="The port: shop/orders, mesh://shop/orders/events@1")
    ],
    source: Annotated[str, typer.Option("--from", metavar="FILE", help="A .jsonl or .csv file; - for stdin.")],
    form: Annotated[
        Format | None, typer.Option("--format", help="By default told by the file's name; jsonl for stdin.")
    ] = None,
    on_error: Annotated[
        OnError, typer.Option(help="stop at the first refused record, or skip it and go on.")
    ] = OnError.STOP,
    id_field: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column with the event's id; publishing twice is then harmless."),
    ] = None,
    ignore_unknown: Annotated[bool, typer.Option(help="Leave out columns that the schema does not have.")] = False,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Publish the records of a file; columns are mapped to the schema's fields by name.

    Every record ends as stored, refused or unknown; each refused one is named with its line and field.

    Example: meshport publish shop/orders --from orders.jsonl
    """
    counts = {"stored": 0, "refused": 0, "unknown": 0}

    def refuse(error: MeshError) -> None:
        counts["refused"] += 1
        if counts["refused"] <= _SHOWN or on_error is OnError.STOP:
            say(f"refused: {error}")

    with open_registry(registry) as mesh:
        publisher = Publisher(address, mesh)
        mapper = RowMapper(publisher.schema, ignore_unknown=ignore_unknown)
        queued = 0
        with _open(source) as stream, progress(f"publishing to {publisher.binding.address}") as moved:
            for row in read_rows(stream, form or _format(source)):
                try:
                    _publish_row(publisher, mapper, row, id_field)
                    queued += 1
                except MeshError as error:
                    refuse(error)
                    if on_error is OnError.STOP:
                        break
                if queued % 1000 == 0:
                    moved(queued, 0)
        failures = publisher.settle()
        for failure in failures:
            if isinstance(failure.error, PublishError):
                refuse(failure.error)
            else:
                counts["unknown"] += 1
        counts["stored"] = queued - len(failures)
        facts = {"address": str(publisher.binding.address), "topic": publisher.binding.topic, **counts}
    if counts["refused"] > _SHOWN and on_error is OnError.SKIP:
        say(f"... and {counts['refused'] - _SHOWN} more refused")
    summary = f"{counts['stored']} stored, {counts['refused']} refused, {counts['unknown']} unknown"
    if counts["refused"] and on_error is OnError.STOP:
        summary += " (stopped at the refused record; --on-error skip goes on)"
    say(f"{facts['address']}: {summary}")
    if json:
        emit(facts)
    if counts["refused"] or counts["unknown"]:
        raise typer.Exit(FINDINGS)


def _publish_row(publisher: Publisher, mapper: RowMapper, row: Row | LineRefused, id_field: str | None) -> None:
    if isinstance(row, LineRefused):
        raise row
    try:
        id = None if id_field is None else row.values.get(id_field)
        if id_field is not None and not id:
            raise EncodeError("the record has no id", field=id_field)
        publisher.publish(mapper.record(row), id=None if id is None else str(id))
    except EncodeError as error:
        raise LineRefused(row.line, f"field {error.field!r}: {error.message}", hint=error.hint) from error
    except (EventError, PublishError) as error:
        raise LineRefused(row.line, error.message, hint=error.hint) from error


def _open(source: str) -> TextIO:
    if source == "-":
        return sys.stdin
    try:
        return Path(source).open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise typer.BadParameter(f"{source} cannot be read: {error.strerror}", param_hint="--from") from error


def _format(source: str) -> Format:
    if source == "-":
        return Format.JSONL
    suffix = Path(source).suffix.lower()
    known = {".jsonl": Format.JSONL, ".ndjson": Format.JSONL, ".json": Format.JSONL, ".csv": Format.CSV}
    if suffix not in known:
        raise typer.BadParameter(
            f"the name {source!r} does not tell a format; give --format jsonl or csv", param_hint="--from"
        )
    return known[suffix]
