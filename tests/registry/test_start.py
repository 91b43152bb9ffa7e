"""Starting the service: settings, migrations, failures, and the table of its errors."""

from __future__ import annotations

import asyncio
import logging
import socket
import sqlite3
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx2
import pytest
from alembic import command
from alembic.config import Config
from pydantic import ValidationError
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import IntegrityError
from typer.testing import CliRunner

import meshport_registry.migrate
from meshport.cli import app as cli
from meshport.errors import RegistryUnavailable
from meshport.outbox.table import COLUMNS, RELAYS, TABLE
from meshport.registry import Registry
from meshport_registry import Settings, create_app, running
from meshport_registry.errors import ERROR_RESPONSES, ServiceError, StoreBusy, StoreFailed, SubjectNotFound
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from meshport_registry.tables import metadata
from tests.registry.schemas import plays, waiver_of_track


@pytest.mark.parametrize(
    ("url", "finding"),
    [
        ("sqlite://", "forgets every id"),
        ("sqlite:///:memory:", "forgets every id"),
        ("mysql://u@h/d", "'mysql' is no database of this registry"),
        ("registry.db", "is no database URL"),
    ],
)
def test_a_database_that_cannot_be_a_registrys_is_refused(url: str, finding: str) -> None:
    """The message contains what was found and what to write."""
    with pytest.raises(ValueError, match=finding) as error:
        Settings(database=url)
    assert "write sqlite:///" in str(error.value)


def test_the_tables_are_those_of_the_migrations(database: str) -> None:
    """The migrations create the columns that the code reads, and running them again changes nothing."""
    for _ in range(2):
        store = RegistryStore(database_url(database)).open()
        store.close()
    reader = RegistryStore(database_url(database)).open()
    try:
        made = reader.read_now(_columns)
        outbox = {name: made.pop(name) for name in (TABLE, RELAYS)}
        assert made == {name: {column.name for column in table.c} for name, table in metadata.tables.items()}
        assert outbox[TABLE] >= {*COLUMNS}
    finally:
        reader.close()


def _columns(connection: Connection) -> dict[str, set[str]]:
    found = inspect(connection)
    tables = [name for name in found.get_table_names() if name != "alembic_version"]
    return {name: {column["name"] for column in found.get_columns(name)} for name in tables}


def test_a_database_of_a_newer_version_is_refused(database: str) -> None:
    """A registry that was taken back, or is still the earlier one, says which tables it found, and leaves them as they are."""
    RegistryStore(database_url(database)).open().close()
    engine = create_engine(database_url(database))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'later'"))
    newer = pytest.raises(RegistryUnavailable, match=r"of a newer Meshport \(revision later\)")
    with newer as refused, running(Settings(database=database)):
        pytest.fail("it serves")
    assert "backup" in (refused.value.hint or "")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "later"
    engine.dispose()


def test_a_database_of_an_earlier_version_is_brought_up(database: str) -> None:
    """Rows of the first revision are still there after a start, and have the columns of later revisions."""
    engine = create_engine(database_url(database))
    config = Config()
    config.set_main_option("script_location", str(Path(meshport_registry.migrate.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO setting (name, value) VALUES ('level', 'FULL')"))
        assert "waiver" not in _columns(connection)
    engine.dispose()
    with running(Settings(database=database, port=0, bootstrap_servers="k:1")) as url, Registry(url) as client:
        client.register(*plays())
        assert client.waivers.record(waiver_of_track()).id == 1
        level = httpx2.get(f"{url}/config", trust_env=False)
    assert level.json() == {"compatibilityLevel": "FULL"}


def test_many_nodes_may_start_at_once(database: str) -> None:
    """Eight stores can open one empty database at the same time."""
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: RegistryStore(database_url(database)).open(), range(8)))
    for store in stores:
        assert "schema" in store.read_now(_columns)
        store.close()


def test_a_taken_port_is_reported(tmp_path: Path) -> None:
    """A taken port is reported before a database is created."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(database=f"sqlite:///{tmp_path / 'r.db'}", port=taken.getsockname()[1])
        with pytest.raises(RegistryUnavailable, match="cannot listen on 127"), running(settings):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all/r.db", "postgresql://nobody@127.0.0.1:1/none"])
def test_a_database_that_cannot_be_opened_is_reported(url: str) -> None:
    """A database that cannot be opened is reported at the start, not by the first request."""
    with pytest.raises(RegistryUnavailable, match="cannot be opened"), running(Settings(database=url, port=0)):
        pass


@pytest.mark.parametrize(
    "url", ["postgresql://nobody:geheim@127.0.0.1:1/none", "postgresql://nobody@127.0.0.1:1/none?password=geheim"]
)
def test_a_password_is_in_no_repr_log_or_error(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The password of a database is only in the secret that holds it, however the URL passes it."""
    caplog.set_level(logging.DEBUG)
    settings = Settings(database=url, port=0)
    with pytest.raises(RegistryUnavailable) as error, running(settings):
        pass
    assert settings.database.get_secret_value() == url
    assert database_url(settings.database).password == "geheim"
    store = RegistryStore(database_url(settings.database))
    shown = [str(settings), repr(settings), settings.model_dump_json(), str(settings.model_dump()), repr(vars(store))]
    shown += [repr(error.value), str(vars(error.value)), *traceback.format_exception(error.value), caplog.text]
    assert not [each for each in shown if "geheim" in each]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:geheim@host:port/name",
        "postgresql://u:ge@geheim@host:port/name",
        "postgresql:u:geheim@host",
        "host?password=geheim",
        "mysql://u:geheim@host/name",
    ],
)
def test_a_refused_database_is_named_without_its_password(url: str) -> None:
    """The error of an unusable URL contains no password, in the library and on the command line."""
    with pytest.raises(ValidationError) as error:
        Settings(database=url)
    assert "geheim" not in "".join(traceback.format_exception(error.value))
    done = CliRunner().invoke(cli, ["registry", "serve", "--database", url])
    assert (done.exit_code, done.exception.__class__) == (2, SystemExit)
    assert "geheim" not in done.output
    assert "--database" in done.output


def test_sqlite_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """WAL mode, synchronous=FULL (2) and a busy timeout, which durability and concurrent writers need, are on."""
    store = RegistryStore(database_url(f"sqlite:///{tmp_path / 'r.db'}")).open()

    def pragmas(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    try:
        for asked in (store.read_now(pragmas), asyncio.run(store.write(pragmas))):
            assert asked == ["wal", 2, 1, 10_000]
    finally:
        store.close()


def test_the_application_opens_its_database_by_itself(tmp_path: Path) -> None:
    """`create_app` is enough for another ASGI server: it opens the database on startup and closes it on shutdown."""
    file = tmp_path / "r.db"
    app = create_app(Settings(database=f"sqlite:///{file}"))

    async def ask() -> int:
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://r") as http,
        ):
            return (await http.get("/health")).status_code

    assert asyncio.run(ask()) == 200
    with sqlite3.connect(file) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def test_a_restart_answers_what_was_registered(database: str) -> None:
    """Ids, bindings and schemas survive a restart."""
    settings = Settings(database=database, port=0, bootstrap_servers="k:1")
    with running(settings) as url, Registry(url) as client:
        before = client.register(*plays()).product
    with running(settings) as url, Registry(url) as client:
        assert client.product("player/plays") == before
        assert client.resolve("player/plays") == before.bindings[0]


def test_a_failed_write_undoes_no_other(database: str) -> None:
    """A refused write of a batch is rolled back alone, and so is one that the database refuses; the writer goes on."""
    store = RegistryStore(database_url(database)).open()

    def insert(connection: Connection, name: str) -> str:
        connection.execute(text("INSERT INTO setting (name, value) VALUES (:name, 'x')"), {"name": name})
        if name == "refused":
            raise SubjectNotFound("no")
        return name

    async def together(*names: str) -> list[str | BaseException]:
        writes = (store.write(partial(insert, name=each)) for each in names)
        return await asyncio.gather(*writes, return_exceptions=True)

    try:
        a, refused, b = asyncio.run(together("a", "refused", "b"))
        assert (a, b) == ("a", "b")
        assert isinstance(refused, SubjectNotFound)
        d, doubled, e = asyncio.run(together("d", "a", "e"))
        assert (d, e) == ("d", "e")
        assert isinstance(doubled, StoreFailed)
        assert isinstance(doubled.__cause__, IntegrityError)
        assert asyncio.run(together("c")) == ["c"]
        names = store.read_now(lambda c: set(c.execute(text("SELECT name FROM setting")).scalars()))
        assert names == {"a", "b", "c", "d", "e", "revision", "schema_id", "changes"}
    finally:
        store.close()


def test_writes_beyond_the_queue_are_refused(database: str) -> None:
    """A write that finds the queue full is refused at once, and the writes in the queue are made."""
    store = RegistryStore(database_url(database), longest_queue=2).open()

    async def flood() -> list[object]:
        return await asyncio.gather(*(store.write(lambda _: None) for _ in range(200)), return_exceptions=True)

    try:
        outcomes = asyncio.run(flood())
        assert None in outcomes
        assert any(isinstance(each, StoreBusy) for each in outcomes)
        assert all(each is None or isinstance(each, StoreBusy) for each in outcomes)
    finally:
        store.close()


def test_every_error_of_the_service_has_its_row() -> None:
    """Every error class has a status and a code, and no two classes share one of Confluent's five-digit codes."""
    classes = {each for each in ServiceError.__subclasses__() if each.__module__ == ServiceError.__module__}
    assert classes <= ERROR_RESPONSES.keys()
    own = [
        row.code
        for kind, row in ERROR_RESPONSES.items()
        if row.code > 1000 and kind.__name__ not in {"SchemaError", "NoAssociation"}
    ]
    assert len(own) == len(set(own))
    at_the_root = [(row.code, row.root_status or row.status) for row in ERROR_RESPONSES.values()]
    assert all(code == status or status >= 500 or code // 100 == status for code, status in at_the_root)
