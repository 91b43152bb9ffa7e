"""`meshport publish`: records from a file to an output port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import Annotated

import typer

from meshport.cli.metrics import MetricsOption, serving_metrics
from meshport.cli.output import FINDINGS, INTERRUPTED, NO_ANSWER, bytes_progress, emit, say
from meshport.cli.read import AddressArgument
from meshport.cli.record_files import (
    DelimiterOption,
    EncodingOption,
    FormatOption,
    NaOption,
    RenameOption,
    opened,
    reading_of,
)
from meshport.cli.session import JsonOption, KafkaConfigOption, RegistryOption, open_clusters, open_registry
from meshport.cli.signals import Uninterrupted
from meshport.cli.silence import silence_reported
from meshport.errors import EncodeError, EventError, FileError, MeshError, PublishError
from meshport.files.ingest import LineRefused, Reading, Row, said
from meshport.files.record_file import RecordFile
from meshport.files.row_mapper import RowMapper
from meshport.metrics.readiness import Readiness
from meshport.ports.publisher import Publisher, PublishFailure


class OnError(StrEnum):
    """What to do with the rest of a file after a refused record."""

    STOP = "stop"
    SKIP = "skip"


# A file that is wrong throughout shows it in its first lines; after those, refusals are only counted.
_SHOWN = 20


def publish(
    address: AddressArgument,
    source: Annotated[
        str, typer.Option("--from", metavar="FILE", help="A .jsonl, .json, .csv or .tsv file, also .gz; - for stdin.")
    ],
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
    form: FormatOption = None,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    rename: RenameOption = None,
    na: NaOption = None,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    metrics: MetricsOption = None,
    json: JsonOption = False,
) -> None:
    """Publish the records of a file; columns are mapped to the schema's fields by name.

    Every record ends as stored, refused or unknown; a refused one is reported with its line and field. A file that cannot be
    read as a whole (cut off, in another encoding, with columns that the schema does not have) is refused before anything is
    stored; from a pipe, what came before the error is stored. A .json file holds one object a line, or one array.

    Example: meshport publish shop/orders --from orders.jsonl
    """
    outcome = _Outcome(on_error)
    reading = reading_of(source, "--from", form, encoding, delimiter, rename, na)
    kafka = open_clusters(kafka_config, registry=registry)
    readiness = Readiness(f"publish {address}", ["connected"])
    with serving_metrics(metrics, readiness), open_registry(registry) as mesh, ExitStack() as watched:
        publisher = Publisher(address, mesh, kafka=kafka)
        readiness.meet("connected")
        mapper = RowMapper(publisher.schema, reading.form, ignore_unknown=ignore_unknown)
        queued = 0
        uninterrupted = Uninterrupted()
        watched.enter_context(silence_reported(publisher, lambda: queued, kafka=kafka))
        try:
            with (
                _checked(source, reading, mapper, id_field) as file,
                bytes_progress(f"publishing to {publisher.binding.address}") as moved,
            ):
                for row in outcome.until_unreadable(file):
                    try:
                        with uninterrupted:
                            _publish_row(publisher, mapper, row, id_field)
                            queued += 1
                    except MeshError as error:
                        outcome.refuse(error)
                        if on_error is OnError.STOP:
                            break
                    if queued % 1000 == 0:
                        readiness.progress()
                        readiness.lag(publisher.waiting)
                    if queued % 1000 == 0 and (read := file.bytes_read):
                        moved(*read)
                for name in file.unused_names:
                    say(f"no record had the column {name!r} that --rename names")
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
    if outcome.unreadable is not None:
        raise outcome.unreadable
    if outcome.refused:
        raise typer.Exit(FINDINGS)
    if outcome.unknown:
        raise typer.Exit(NO_ANSWER)


class _Outcome:
    """Counts what became of the records, and reports the first ones of a kind that are not stored."""

    def __init__(self, on_error: OnError) -> None:
        self.stored = self.refused = self.unknown = 0
        self.interrupted = False
        self.unreadable: FileError | None = None
        self._stops = on_error is OnError.STOP

    def until_unreadable(self, file: RecordFile) -> Iterator[Row | LineRefused]:
        """Yield a file's rows up to where it cannot be read further; only a pipe gets so far."""
        try:
            yield from file.rows()
        except FileError as error:
            self.unreadable = error

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
        if self.unreadable:
            return f"{text} (the rest of the file cannot be read)"
        stopped = self.refused and self._stops
        return f"{text} (stopped at the refused record; --on-error skip goes on)" if stopped else text


def _settle(publisher: Publisher, outcome: _Outcome) -> list[PublishFailure]:
    """Wait for the broker's acknowledgements, and close; an event without one when the wait is interrupted is unknown."""
    try:
        failures = publisher.settle()
    except KeyboardInterrupt:
        outcome.interrupted = True
        failures = publisher.settle(0)
    publisher.close(0)
    return failures


@contextmanager
def _checked(source: str, reading: Reading, mapper: RowMapper, id_field: str | None) -> Iterator[RecordFile]:
    """Open a file that is seen to be readable to its end, and whose columns fit the schema.

    Raises:
        FileError: it is not.
    """
    with opened(source, reading) as file:
        if file.columns is not None:
            try:
                mapper.check_columns(file.columns)
                if id_field is not None and id_field not in file.columns:
                    raise EncodeError(
                        f"there is no column {id_field!r} for --id-field",
                        field=id_field,
                        hint=f"the columns are {', '.join(file.columns)}",
                    )
            except EncodeError as error:
                raise FileError(error.message, file=source, hint=error.hint) from error
        file.check()
        yield file


def _publish_row(publisher: Publisher, mapper: RowMapper, row: Row | LineRefused, id_field: str | None) -> None:
    if isinstance(row, LineRefused):
        raise row
    try:
        id = None if id_field is None else row.values.get(id_field)
        if id_field is not None and id in (None, ""):
            raise EncodeError("the record has no id", field=id_field)
        if isinstance(id, dict | list | bool):
            raise EncodeError(f"{said(id)} is no id; text or a number is", field=str(id_field))
        publisher.publish(mapper.record(row), id=None if id is None else str(id))
    except EncodeError as error:
        raise LineRefused(row.line, f"field {error.field!r}: {error.message}", hint=error.hint) from error
    except (EventError, PublishError) as error:
        raise LineRefused(row.line, error.message, hint=error.hint) from error
