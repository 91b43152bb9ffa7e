"""`meshport publish`: records from a file to an output port."""

from __future__ import annotations

import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer

from meshport.cli.output import FINDINGS, INTERRUPTED, NO_ANSWER, emit, progress, say
from meshport.cli.read import AddressArgument
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.cli.signals import Uninterrupted
from meshport.errors import EncodeError, EventError, MeshError, PublishError
from meshport.files.ingest import Format, LineRefused, Row, read_rows
from meshport.files.row_mapper import RowMapper
from meshport.ports.publisher import Publisher, PublishFailure


class OnError(StrEnum):
    """What to do with the rest of a file after a refused record."""

    STOP = "stop"
    SKIP = "skip"


# A file that is wrong throughout shows it in its first lines; after those, refusals are only counted.
_SHOWN = 20


def publish(
    address: AddressArgument,
    source: Annotated[str, typer.Option("--from", metavar="FILE", help="A .jsonl or .csv file; - for stdin.")],
    form: Annotated[
        Format | None, typer.Option("--format", help="By default from the file's name; jsonl for stdin.")
    ] = None,
    on_error: Annotated[
        OnError, typer.Option(help="Stop at the first refused record, or skip it and continue.")
    ] = OnError.STOP,
    id_field: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The column with the event's id; publishing a file again then repeats events with the same ids.",
        ),
    ] = None,
    ignore_unknown: Annotated[bool, typer.Option(help="Leave out columns that the schema does not have.")] = False,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Publish the records of a file; columns are mapped to the schema's fields by name.

    Every record ends as stored, refused or unknown; a refused one is reported with its line and field.

    Example: meshport publish shop/orders --from orders.jsonl
    """
    outcome = _Outcome(on_error)
    with open_registry(registry) as mesh:
        publisher = Publisher(address, mesh)
        mapper = RowMapper(publisher.schema, ignore_unknown=ignore_unknown)
        queued = 0
        uninterrupted = Uninterrupted()
        try:
            with _open(source) as stream, progress(f"publishing to {publisher.binding.address}") as moved:
                for row in read_rows(stream, form or _format(source)):
                    try:
                        with uninterrupted:
                            _publish_row(publisher, mapper, row, id_field)
                            queued += 1
                    except MeshError as error:
                        outcome.refuse(error)
                        if on_error is OnError.STOP:
                            break
                    if queued % 1000 == 0:
                        moved(queued, 0)
        except KeyboardInterrupt:
            outcome.interrupted = True
        failures = _settle(publisher, outcome)
    for failure in failures:
        outcome.fail(failure)
    outcome.stored = queued - len(failures)
    say(f"{publisher.binding.address}: {outcome}")
    if json:
        counts = {"stored": outcome.stored, "refused": outcome.refused, "unknown": outcome.unknown}
        emit({"address": str(publisher.binding.address), "topic": publisher.binding.topic, **counts})
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if outcome.refused:
        raise typer.Exit(FINDINGS)
    if outcome.unknown:
        raise typer.Exit(NO_ANSWER)


class _Outcome:
    """Counts what became of the records, and reports the first ones of a kind that are not stored."""

    def __init__(self, on_error: OnError) -> None:
        self.stored = self.refused = self.unknown = 0
        self.interrupted = False
        self._stops = on_error is OnError.STOP

    def refuse(self, error: MeshError) -> None:
        """Count and report a record of which nothing is stored."""
        self.refused += 1
        if self.refused <= _SHOWN:
            say(f"refused: {error}")

    def fail(self, failure: PublishFailure) -> None:
        """Count and report an event that the broker did not acknowledge."""
        if not failure.unknown:
            self.refuse(failure.error)
            return
        self.unknown += 1
        if self.unknown <= _SHOWN:
            say(f"unknown: event {failure.id}: {failure.error}")

    def __str__(self) -> str:
        text = f"{self.stored} stored, {self.refused} refused, {self.unknown} unknown"
        if max(self.refused, self.unknown) > _SHOWN:
            text += f" (the first {_SHOWN} of a kind were named)"
        if self.interrupted:
            return f"{text} (interrupted)"
        stopped = self.refused and self._stops
        return f"{text} (stopped at the refused record; --on-error skip goes on)" if stopped else text


def _settle(publisher: Publisher, outcome: _Outcome) -> list[PublishFailure]:
    """Wait for the broker's acknowledgements; an event without one when the wait is interrupted is unknown."""
    try:
        return publisher.settle()
    except KeyboardInterrupt:
        outcome.interrupted = True
        return publisher.settle(0)


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
        # Decoded as a file is: the terminal's encoding and line ends do not apply to data.
        return io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
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
