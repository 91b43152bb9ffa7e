"""A service for tests of the relay: a database with an outbox, to which it adds events, and what became of them."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

import psycopg

from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.event import new_id, writer_for
from meshport.event.record import record_key
from meshport.kafka.received import headers_of
from meshport.outbox.databases import database_kind
from meshport.outbox.row import OutboxRow
from meshport.outbox.table import COLUMNS, TABLE, creation, insertion
from meshport.ports.scan import read_topic
from meshport.schema import parse_schema
from tests.connections import connection

_AT: Final = datetime(2026, 3, 1, tzinfo=UTC)


class Shop:
    """A database with an outbox, and the events of ports of `tests.mesh_session.READING` that are added to it.

    Args:
        url: of the database: a file of SQLite, or PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._kind = database_kind(url)
        self.statement = insertion((lambda _: "?") if self._kind == "sqlite" else (lambda _: "%s"))
        """Adds an event; its values are `values`."""

    @classmethod
    def create(cls, url: str) -> Self:
        """Create the tables of the outbox in a database."""
        shop = cls(url)
        if shop._kind == "sqlite":
            Path(url.removeprefix("sqlite:///")).touch()
        with shop.transaction() as connection:
            for each in creation(shop._kind):
                connection.execute(each)
        return shop

    def connected(self) -> Any:
        """Return a connection; the caller commits and closes it."""
        if self._kind == "sqlite":
            return sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=60)
        return psycopg.connect(self.url)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A connection whose transaction commits at the end of the block."""
        with closing(self.connected()) as connection:
            yield connection
            connection.commit()

    def add(self, transaction: Any, binding: Binding, sensor: str, n: int, *, note: str | None = None) -> str:
        """Add the n-th event of a sensor to a transaction, and return its id."""
        row = event(binding, sensor, n, note=note)
        transaction.execute(self.statement, values(row))
        return row.id

    def emit(self, binding: Binding, readings: Sequence[tuple[str, int]], *, note: str | None = None) -> list[str]:
        """Add events in one transaction, and return their ids."""
        with self.transaction() as connection:
            return [self.add(connection, binding, sensor, n, note=note) for sensor, n in readings]

    def ask(self, query: str) -> list[Any]:
        """Return the rows of a query, with `outbox` for the name of the table; what it changes is committed."""
        with self.transaction() as connection:
            cursor = connection.execute(query.replace("outbox", TABLE))
            return list(cursor.fetchall()) if cursor.description else []

    @property
    def waiting(self) -> int:
        """How many rows are not published."""
        ((count,),) = self.ask("SELECT count(*) FROM outbox WHERE published_at IS NULL")
        return int(count)


def values(row: OutboxRow) -> list[Any]:
    """Return the values of a row for `Shop.statement`."""
    return [getattr(row, each) for each in COLUMNS]


def event(binding: Binding, sensor: str, n: int, *, note: str | None = None) -> OutboxRow:
    """Return the row of the n-th event of a sensor."""
    writer, key = _parts(binding.model_dump_json())
    record = {"sensor": sensor, "at": _AT, "celsius": float(n), "note": note}
    id = new_id()
    value, headers = writer.message(record, id=id, time=_AT, subject=None, extensions=None)
    return OutboxRow.of(binding, id, value, key(record), headers)


@cache
def _parts(text: str) -> tuple[Any, Any]:
    """The writer of a binding, and the function that returns the key of a record."""
    binding = Binding.model_validate_json(text)
    schema = parse_schema(binding.schema_text)
    return writer_for(binding, codec_for(schema)), record_key(binding.key, schema)


def published(binding: Binding) -> dict[str, list[str]]:
    """Return the ids of the events in a port's topic by record key, in the order of the log."""
    found: dict[str, list[str]] = defaultdict(list)
    for messages in read_topic(connection(binding.bootstrap_servers), binding.topic):
        for message in messages:
            headers = dict(headers_of(message) or ())
            found[(message.key() or b"").decode()].append((headers["ce_id"] or b"").decode())
    return found


def first(ids: Sequence[str]) -> list[str]:
    """Return ids as a reader sees them that ignores those it has seen."""
    return list(dict.fromkeys(ids))
