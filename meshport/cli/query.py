"""`meshport query`: SQL over a port's past."""

from __future__ import annotations

import csv as csv_form
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from meshport.cli.output import emit, progress, say, table
from meshport.cli.read import AddressArgument
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    MissingOption,
    RegistryOption,
    missing_history,
    open_clusters,
    open_registry,
)
from meshport.event.attributes import rfc3339
from meshport.product.duration import parse_duration
from meshport.query import Answer, Moment, Table
from meshport.rfc3339 import loose_instant

_SHOWN: Final = 100


def query(
    address: AddressArgument,
    sql: Annotated[
        str | None,
        typer.Argument(
            metavar="[SQL]", help="As DuckDB has it; by default all rows of the view that the options ask for."
        ),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="T", help="Only what had happened by this time, by the events' time."),
    ] = None,
    known_at: Annotated[
        str | None, typer.Option("--known-at", metavar="T", help="Only what had been recorded by this time.")
    ] = None,
    latest_by: Annotated[
        list[str] | None,
        typer.Option(
            "--latest-by", metavar="FIELD", help="The view `latest` has the latest row by this field; may be repeated."
        ),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(
            "--every", metavar="TIME", help="The view `series` has the latest row of each key in each such time: 1h."
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the rows to a CSV file; - is stdout.")
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="FILE", help="Write the rows to a Parquet file.")
    ] = None,
    allow_missing: MissingOption = False,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Ask a port's past by SQL: what had happened by a time, as it was known by a time.

    The views are `events` (each event once), `log` (each message, with repeats and retractions), `latest` (the latest row of
    each key), `series` (the same in each interval of --every) and `problems` (messages that cannot be read). They have the fields
    of the contract, and beside them _time, _recorded, _id, _source, _kafka_partition, _kafka_offset, _kafka_timestamp, _key,
    _retracted and _fingerprint.

    Rows are those of the port's archive and of its topic, up to the topic's present end. A correction that was recorded after
    --known-at does not count. On a terminal or in a pipe, 100 rows are shown; --csv, --parquet and --json write all.

    Examples:
        meshport query shop/orders "SELECT customer, count(*) FROM events GROUP BY ALL"
        meshport query shop/prices --as-of 2026-03-01 --known-at 2026-03-02 --csv prices.csv
        meshport query shop/prices --every 1d --latest-by product --json
    """
    if len([each for each in (csv, parquet, json or None) if each]) > 1:
        raise typer.BadParameter("one form at a time: --csv, --parquet or --json", param_hint="--csv")
    moment = Moment(_time(as_of, "--as-of"), _time(known_at, "--known-at"), tuple(latest_by or ()), _duration(every))
    kafka = open_clusters(kafka_config, registry=registry)
    with open_registry(registry) as mesh, progress("reading") as moved:
        asked = Table(address, mesh, missing=missing_history(allow_missing), kafka=kafka, progress=moved)
    with asked:
        answer = asked.sql(sql, moment)
        if csv is not None:
            _write_csv(answer, csv)
        elif parquet is not None:
            answer.write_parquet(parquet)
        elif json:
            for batch in answer:
                for row in batch.to_pylist():
                    emit({name: _plain(value) for name, value in row.items()})
        else:
            _show(answer)
    if answer.left_out:
        say(f"{answer.left_out:,} messages cannot be read and are left out: the view `problems` has them")


def _time(text: str | None, flag: str) -> datetime | None:
    try:
        return None if text is None else loose_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=flag) from error


def _duration(text: str | None) -> timedelta | None:
    try:
        found: timedelta | None = None if text is None else parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--every") from error
    return found


def _show(answer: Answer) -> None:
    rows: list[list[str]] = []
    count = 0
    for batch in answer:
        count += batch.num_rows
        rows += [[_cell(each) for each in row.values()] for row in batch.slice(0, _SHOWN - len(rows)).to_pylist()]
    table(answer.schema.names, rows)
    say(
        f"{count:,} rows"
        + (f", of which {len(rows)} are shown: --csv, --parquet or --json has all" if count > len(rows) else "")
    )


def _cell(value: Any) -> str:
    return "" if value is None else str(_plain(value))


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: bytes as text where they are, else in hexadecimal."""
    if isinstance(value, datetime):
        return rfc3339(value).decode() if value.tzinfo else value.isoformat()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _write_csv(answer: Answer, file: Path) -> None:
    def write(rows: Iterable[Any], to: Any) -> None:
        writer = csv_form.writer(to)
        writer.writerow(answer.schema.names)
        for batch in rows:
            writer.writerows([_cell(each) for each in row.values()] for row in batch.to_pylist())

    if str(file) == "-":
        write(answer, sys.stdout)
        return
    with file.open("w", encoding="utf-8", newline="") as to:
        write(answer, to)
