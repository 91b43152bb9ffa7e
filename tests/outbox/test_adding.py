"""Adding events to an outbox: what is in the row, and that it commits with the caller's transaction alone."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cloudevents.core.v1.event import CloudEvent
from django.db import connections
from django.db.migrations.state import ProjectState
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from meshport.binding import Binding
from meshport.errors import EncodeError, PublishError
from meshport.outbox import Outbox, create_table
from meshport.outbox.creating import script
from meshport.outbox.databases import create_in
from meshport.outbox.django import CreateOutbox
from meshport.outbox.table import CHANNEL, RELAYS, TABLE, shard_of
from meshport.ports.publisher import Publisher
from tests.outbox.transactions import (
    AsyncBlock,
    Block,
    by_async_driver,
    by_async_session,
    by_connection,
    by_django,
    by_driver,
    by_session,
    engine,
    on_django,
    prepare,
    rows,
)
from tests.ports.nowhere import Nowhere
from tests.ports.readings import BEGIN, reading
from tests.postgres_session import NewDatabase
from tests.waiting import PATIENCE_S


class _Base(DeclarativeBase):
    pass


class Sale(_Base):
    """A row of the service's own."""

    __tablename__ = "sale"
    number: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with an outbox; each test that asks for it runs on both."""
    url: str = (
        f"sqlite:///{tmp_path / 'shop.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")()
    )
    prepare(url)
    return url


class Failed(Exception):  # noqa: N818 - what a service raises
    """What rolls a transaction back."""


def outbox(**changes: Any) -> Outbox:
    """An outbox of the port of sensors' readings."""

    class Changed(Nowhere):
        def resolve(self, address: Any) -> Binding:
            return super().resolve(address).model_copy(update=changes)

    return Outbox("tests/nowhere", Changed())


@pytest.mark.parametrize("block", [by_session, by_connection, by_driver, by_django])
def test_an_event_commits_with_its_transaction_or_not_at_all(database: str, block: Block) -> None:
    """Sessions and connections of SQLAlchemy, Django and drivers: the row is there after a commit, and not after a rollback."""
    events = outbox()

    def fail() -> None:
        with block(database) as transaction:
            events.add(transaction, reading(1))
            raise Failed

    with pytest.raises(Failed):
        fail()
    assert rows(database) == []
    with block(database) as transaction:
        ids = [events.add(transaction, reading(number)) for number in (7, 8)]
        assert rows(database) == []
    assert [each.id for each in rows(database)] == ids


@pytest.mark.parametrize("block", [by_async_session, by_async_driver])
def test_an_event_loop_adds_in_its_own_transaction(database: str, block: AsyncBlock) -> None:
    """Async sessions and drivers: the same."""
    events = outbox()

    async def fail() -> None:
        async with block(database) as transaction:
            await events.add_async(transaction, reading(1))
            raise Failed

    async def commit() -> list[str]:
        async with block(database) as transaction:
            return [
                await events.add_async(transaction, reading(7)),
                await events.retract_async(transaction, {"sensor": "s7"}),
            ]

    with pytest.raises(Failed):
        asyncio.run(fail())
    assert rows(database) == []
    ids = asyncio.run(commit())
    assert [each.id for each in rows(database)] == ids


def test_a_row_is_sent_as_a_publisher_would_send_the_event(database: str) -> None:
    """Value, key and headers are those of `Publisher`; the recorded time is that of sending."""
    events = outbox()
    now = datetime.now(UTC).replace(microsecond=0)
    given: dict[str, Any] = {
        "id": "sale-7",
        "time": BEGIN,
        "subject": "the cellar",
        "extensions": {"region": "north", "big": True},
    }
    with by_connection(database) as transaction:
        events.add(transaction, reading(7), **given)
        events.retract(transaction, {"sensor": "s7"}, id="sale-8", time=BEGIN)
    event, tombstone = rows(database)
    with Publisher("tests/nowhere", Nowhere()) as publisher:
        value, headers = publisher._writer.message(reading(7), recorded_time=now, **given)
        _, bare = publisher._writer.tombstone(id="sale-8", time=BEGIN, recorded_time=now)
    assert (event.payload, event.key, event.headers(now)) == (value, b"s7", headers)
    assert (tombstone.payload, tombstone.key, tombstone.headers(now)) == (None, b"s7", bare)
    assert (event.aggregatetype, event.aggregateid, event.shard) == ("nowhere", "s7", shard_of("s7"))


def test_a_message_without_an_envelope_has_no_headers(tmp_path: Path) -> None:
    """A port with `envelope: none` gets values alone, and an event without a key is an aggregate of its own."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    prepare(url)
    with by_driver(url) as transaction:
        id = outbox(envelope="none", key=()).add(transaction, reading(7))
    (row,) = rows(url)
    assert (row.headers(BEGIN), row.key, row.aggregateid) == ([], None, id)


def test_an_event_of_the_sdk_keeps_its_attributes(tmp_path: Path) -> None:
    """Id, time, subject and extensions of a `CloudEvent` are in the row."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    prepare(url)
    events = outbox()
    own = {
        "id": "e-1",
        "source": str(events.binding.address),
        "type": "t",
        "subject": "x",
        "time": BEGIN,
        "region": "north",
    }
    with by_driver(url) as transaction:
        events.add_cloudevent(transaction, CloudEvent(own, reading(7)))
    (row,) = rows(url)
    assert (row.id, row.subject, row.time, row.extensions) == (
        "e-1",
        "x",
        "2026-03-01T00:00:00Z",
        '{"region": "north"}',
    )


def test_a_bad_event_fails_the_transaction_that_made_it(database: str) -> None:
    """A record that does not fit, one without a key, and one that no topic takes are refused before their rows are written."""
    events = outbox()
    bad = [(reading(1) | {"celsius": "warm"}, EncodeError), (reading(1) | {"sensor": ""}, PublishError)]
    bad.append((reading(1) | {"note": "x" * 1_000_000}, PublishError))

    def sell(record: dict[str, Any]) -> None:
        with by_session(database) as session:
            session.add(Sale(number=1))
            events.add(session, record)

    for record, refused in bad:
        with pytest.raises(refused):
            sell(record)
    with engine(database).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM sale")).scalar() == 0
    assert rows(database) == []


def test_an_event_without_a_transaction_is_refused(database: str) -> None:
    """A connection that commits each statement by itself would publish an event of a change that is rolled back later."""
    events = outbox()
    auto = create_engine(engine(database).url, isolation_level="AUTOCOMMIT")
    with auto.connect() as connection, pytest.raises(PublishError, match="would commit by itself"):
        events.add(connection, reading(1))
    auto.dispose()
    with on_django(database) as alias, pytest.raises(PublishError, match=r"transaction\.atomic"):
        events.add(connections[alias], reading(1))
    driver: Any = (
        sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
        if database.startswith("sqlite")
        else psycopg.connect(database, autocommit=True)
    )
    with closing(driver):
        with pytest.raises(PublishError, match="would commit by itself"):
            events.add(driver, reading(1))
        driver.execute("BEGIN")
        events.add(driver, reading(2))
        driver.execute("COMMIT")
    assert len(rows(database)) == 1


def test_what_is_no_transaction_is_refused_by_name() -> None:
    """An engine, an async session in `add`, and any other object: the error names it, and what would be right."""
    events = outbox()
    for found, words in ((engine("sqlite://"), "Engine is no transaction"), (object(), "object is no transaction")):
        with pytest.raises(PublishError, match=words):
            events.add(found, reading(1))
    with pytest.raises(PublishError, match="no transaction"):
        asyncio.run(events.add_async(engine("sqlite://"), reading(1)))


def test_the_change_comes_before_its_event(database: str) -> None:
    """Objects of a session are flushed before the event gets its number, so that their rows are locked by then."""
    with by_session(database) as session:
        session.add(Sale(number=1))
        outbox().add(session, reading(1))
        assert not session.new


@pytest.mark.postgres
def test_events_of_an_aggregate_are_in_the_order_of_its_changes(postgres: NewDatabase) -> None:
    """Of two changes that wait for one another, the later has the later event, though its transaction began to write earlier."""
    url, events = postgres(), outbox()
    prepare(url)
    with by_driver(url) as made:
        made.execute("CREATE TABLE stock (sensor text PRIMARY KEY, count int); INSERT INTO stock VALUES ('s1', 0)")
    change = "UPDATE stock SET count = count + 1 WHERE sensor = 's1'"
    with (
        psycopg.connect(url) as early,
        psycopg.connect(url) as late,
        closing(psycopg.connect(url, autocommit=True)) as look,
    ):
        assert late.execute("INSERT INTO sale VALUES (1) RETURNING pg_current_xact_id()").fetchone() is not None
        early.execute(change)
        events.add(early, reading(1), id="first")
        early.commit()
        late.execute(change)
        events.add(late, reading(1), id="second")
        late.commit()
        by_transaction = look.execute(f"SELECT id FROM {TABLE} ORDER BY xmin::text::bigint").fetchall()
    assert [each.id for each in rows(url)] == ["first", "second"]
    assert by_transaction == [("second",), ("first",)]


@pytest.mark.postgres
def test_a_commit_wakes_who_listens(postgres: NewDatabase) -> None:
    """PostgreSQL notifies of rows once they are committed."""
    url = postgres()
    prepare(url)
    with closing(psycopg.connect(url, autocommit=True)) as listening:
        listening.execute(f"LISTEN {CHANNEL}")
        with by_driver(url) as transaction:
            outbox().add(transaction, reading(1))
        assert [each.payload for each in listening.notifies(timeout=PATIENCE_S, stop_after=1)] == [""]


def test_creating_the_table_twice_changes_nothing(database: str) -> None:
    """`create_table` and its text for migrations take a database that has the table already."""
    with by_driver(database) as transaction:
        outbox().add(transaction, reading(1))
        create_table(transaction)
    create_in(database)
    kind: Any = "sqlite" if database.startswith("sqlite") else "postgresql"
    with by_driver(database) as transaction:
        transaction.executescript(script(kind)) if kind == "sqlite" else transaction.execute(script(kind))
    assert len(rows(database)) == 1


def test_a_migration_of_django_makes_the_table_and_removes_it(database: str) -> None:
    """`CreateOutbox` in a migration of a team's own."""
    with engine(database).begin() as connection:
        connection.execute(text(f"DROP TABLE {TABLE}"))
    state = ProjectState()
    operation = CreateOutbox()
    with on_django(database) as alias:
        with connections[alias].schema_editor() as editor:
            operation.database_forwards("shop", editor, state, state)
        with by_session(database) as session:
            outbox().add(session, reading(1))
        assert len(rows(database)) == 1
        with connections[alias].schema_editor() as editor:
            operation.database_backwards("shop", editor, state, state)
    assert not {TABLE, RELAYS} & set(inspect(engine(database)).get_table_names())


def test_the_registry_is_asked_once() -> None:
    """An outbox needs no registry after it was made."""
    asked: list[object] = []

    class Counted(Nowhere):
        def resolve(self, address: Any) -> Binding:
            asked.append(address)
            return super().resolve(address)

    events = Outbox("tests/nowhere", Counted())
    with closing(sqlite3.connect(":memory:")) as connection:
        create_table(connection)
        for number in range(3):
            events.add(connection, reading(number, at=BEGIN + timedelta(minutes=number)))
        connection.commit()
        connection.rollback()
        (count,) = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()
    assert (count, len(asked)) == (3, 1)
