"""A backup of a registry's database, taken while registries run on it, and its restore to an empty one.

The file is JSON Lines, compressed with gzip: a head, then for each table a line with its columns and one line a row, and
an end with the number of rows and the SHA-256 of the lines before it. It is the same for SQLite and PostgreSQL, so it
also moves a registry from one to the other. Rows are read in one transaction, which sees one state of the database.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic.alias_generators import to_camel
from sqlalchemy import Connection, MetaData, Table, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from meshport import __version__
from meshport.errors import FileError, RegistrationRefused, RegistryUnavailable
from meshport.outbox.table import RELAYS
from meshport.outbox.table import TABLE as OUTBOX
from meshport_registry.changes.log import skip_numbers
from meshport_registry.migrate import migrate_to, revision_of, revisions
from meshport_registry.schema_ids import skip_ids
from meshport_registry.settings import database_url
from meshport_registry.store import one_snapshot, one_write
from meshport_registry.tables import browser_session

FORMAT: Final = 1
SKIPPED_IDS: Final = 10_000
"""How many schema ids a restore skips. A registration after the backup may have put its id into records on Kafka."""

_ROWS_AT_ONCE: Final = 1000
# Events that wait for a relay differ by database in their form; the changes that they report are in the backup. A login that
# ended after the backup would count again after a restore.
_LEFT_OUT: Final = frozenset({"alembic_version", OUTBOX, RELAYS, browser_session.name})
_HINT_DATABASE: Final = "is --database right, and does it run?"


class BackupHead(BaseModel):
    """The first line of a backup.

    Attributes:
        meshport: the version of Meshport that wrote it.
        revision: of the tables, by the last migration.
        taken_at: when its transaction began.
    """

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)

    format: int
    meshport: str
    revision: str
    taken_at: datetime


class BackupReport(NamedTuple):
    """What a backup holds: its head, and the number of rows of each table."""

    head: BackupHead
    rows: Mapping[str, int]


def back_up(database: SecretStr | str, file: Path) -> BackupReport:
    """Write all tables of a database to a new file that only this user may read.

    The file gets its name once it is complete.

    Raises:
        ValueError: `database` is no URL of a database.
        RegistrationRefused: the database has no registry of this version.
        RegistryUnavailable: the database does not answer.
        FileError: the file exists, or cannot be written.
    """
    if file.exists():
        raise FileError("exists already, and a backup overwrites nothing", file=str(file), hint="name a new file")
    part = file.with_name(f"{file.name}.part")
    try:
        with _as_errors(), one_snapshot(database_url(database)) as connection, _created(part) as raw:
            report = _write(connection, raw)
        part.rename(file)
    except OSError as error:
        raise FileError(f"cannot be written: {error.strerror}", file=str(error.filename or file)) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return report


def restore(file: Path, database: SecretStr | str, *, skipped_ids: int = SKIPPED_IDS) -> BackupReport:
    """Write a backup into an empty database, and bring its tables to this version: all of it or nothing.

    Args:
        file: what `back_up` wrote.
        database: may be another kind of database than the one of the backup.
        skipped_ids: how many schema ids are left out before the next one, since records on Kafka may have those that
            were given after the backup.

    Raises:
        ValueError: `database` is no URL of a database.
        FileError: the file is no backup, is incomplete or was changed, or comes from a newer version.
        RegistrationRefused: the database has tables already.
        RegistryUnavailable: the database does not answer.
    """
    head = _verified(file)
    with _as_errors(), one_write(database_url(database)) as connection:
        if found := sorted(inspect(connection).get_table_names()):
            raise RegistrationRefused(
                f"the database has tables already: {', '.join(found[:3])}{' and others' if len(found) > 3 else ''}",
                hint="a backup is restored to an empty database",
            )
        migrate_to(connection, head.revision)
        rows = _load(connection, file)
        migrate_to(connection, "head")
        skip_ids(connection, skipped_ids)
        skip_numbers(connection, skipped_ids)
    return BackupReport(head, rows)


@contextmanager
def _as_errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip()
        raise RegistryUnavailable(f"the database did not answer: {reason}", hint=_HINT_DATABASE) from error


@contextmanager
def _created(part: Path) -> Iterator[IO[bytes]]:
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as raw:
        yield raw
        raw.flush()
        os.fsync(raw.fileno())


class _Lines:
    """Writes lines of JSON, and the hash of all of them at the end."""

    def __init__(self, to: gzip.GzipFile) -> None:
        self._to = to
        self._hash = hashlib.sha256()

    def put(self, value: Any) -> None:
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._hash.update(line)
        self._to.write(line)

    def end(self, rows: int) -> None:
        self._to.write(json.dumps({"rows": rows, "sha256": self._hash.hexdigest()}).encode() + b"\n")


def _write(connection: Connection, raw: IO[bytes]) -> BackupReport:
    revision = revision_of(connection)
    newest = revisions()[0]
    if revision is None or revision != newest:
        found = "no registry" if revision is None else f"tables of revision {revision}, not {newest}"
        raise RegistrationRefused(
            f"the database has {found}",
            hint="`meshport registry serve` of this version makes its tables, or brings them up to date",
        )
    head = BackupHead(format=FORMAT, meshport=__version__, revision=revision, taken_at=datetime.now(UTC))
    rows: dict[str, int] = {}
    with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6) as compressed:
        lines = _Lines(compressed)
        lines.put(head.model_dump(mode="json", by_alias=True))
        for table in _tables(connection):
            lines.put({"table": table.name, "columns": [column.name for column in table.columns]})
            rows[table.name] = 0
            found_rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(
                select(table).order_by(*table.primary_key.columns)
            )
            for row in found_rows:
                lines.put(list(row))
                rows[table.name] += 1
        lines.end(sum(rows.values()))
    return BackupReport(head, rows)


def _tables(connection: Connection) -> list[Table]:
    """Return the tables of a database as they are there, each after those that it refers to."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name not in _LEFT_OUT]


def _lines_of(file: Path) -> Iterator[bytes]:
    """Yield the lines of a file that is compressed with gzip.

    Raises:
        FileError: it cannot be read, or is not compressed so, or ends too early.
    """
    try:
        with gzip.open(file, "rb") as lines:
            yield from lines
    except FileNotFoundError:
        raise FileError("does not exist", file=str(file)) from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise FileError(
            f"is no whole backup: {error}", file=str(file), hint="`meshport registry backup` writes one"
        ) from None
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror or error}", file=str(file)) from error


def _verified(file: Path) -> BackupHead:
    """Return the head of a backup that is whole and unchanged, and that this version can read.

    Raises:
        FileError: it is not.
    """
    lines = _lines_of(file)
    try:
        first = next(lines, b"")
        head = BackupHead.model_validate_json(first)
    except ValidationError:
        raise FileError(
            "is no backup of a registry: its first line does not say what it holds",
            file=str(file),
            hint="`meshport registry backup` writes one",
        ) from None
    if head.format != FORMAT or head.revision not in revisions():
        raise FileError(
            f"was written by Meshport {head.meshport} (tables of revision {head.revision}), which is newer than "
            f"{__version__} (revision {revisions()[0]})",
            file=str(file),
            hint="restore it with that version",
        )
    digest, rows, previous = hashlib.sha256(), 0, first
    for line in lines:
        digest.update(previous)
        rows += previous.startswith(b"[")
        previous = line
    if _json(previous) != {"rows": rows, "sha256": digest.hexdigest()}:
        raise FileError(
            "is incomplete or was changed: its last line does not fit those before it",
            file=str(file),
            hint="take another backup",
        )
    return head


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _load(connection: Connection, file: Path) -> Mapping[str, int]:
    """Insert the rows of a backup that is verified, and return their number by table."""
    tables = {table.name: table for table in _tables(connection)}
    # What the migrations themselves put there comes with the backup, as it was then.
    for table in reversed(tables.values()):
        if connection.scalar(select(func.count()).select_from(table)):
            connection.execute(table.delete())
    rows: dict[str, int] = {}
    lines = islice(_lines_of(file), 1, None)
    table, columns, waiting = next(iter(tables.values())), list[str](), list[dict[str, Any]]()

    def insert() -> None:
        if waiting:
            connection.execute(table.insert(), waiting)
            rows[table.name] += len(waiting)
            waiting.clear()

    for line in lines:
        match json.loads(line):
            case {"table": str(name), "columns": list(columns)}:
                insert()
                table = tables[name]
                rows[name] = 0
            case list(values):
                waiting.append(dict(zip(columns, values, strict=True)))
                if len(waiting) == _ROWS_AT_ONCE:
                    insert()
            case _:
                insert()
    if connection.dialect.name == "postgresql":
        _continue_sequences(connection, tables.values())
    return rows


def _continue_sequences(connection: Connection, tables: Iterable[Table]) -> None:
    """Let each sequence of PostgreSQL go on after the highest number that was restored."""
    for table in tables:
        for column in table.primary_key.columns:
            sequence = connection.scalar(select(func.pg_get_serial_sequence(f'"{table.name}"', column.name)))
            highest = connection.scalar(select(func.max(column))) if sequence is not None else None
            if highest is not None:
                connection.execute(select(func.setval(sequence, highest)))
