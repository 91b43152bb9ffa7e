"""A backup of a registry's database that is taken while it is written to, and its restore."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from sqlalchemy import MetaData, create_engine, select, text

from meshport.errors import FileError, RegistrationRefused
from meshport_registry import Settings, backup, running
from meshport_registry.backup import BackupReport, back_up
from meshport_registry.migrate import migrate_to, revisions
from meshport_registry.settings import database_url
from tests.plain_http import plain_http
from tests.registry.backups import SchemaWriters, drill, numbered
from tests.registry.sheet import V1, V2, register

NewDatabase = Callable[[], str]

HEAD = {"format": 1, "meshport": "0.1", "revision": "0004", "takenAt": "2026-01-01T00:00:00Z"}


def backed_up(database: str, file: Path) -> BackupReport:
    """Back up a database by its URL."""
    return back_up(database, file)


def restored(file: Path, database: str, skipped_ids: int = backup.SKIPPED_IDS) -> BackupReport:
    """Restore a backup to a database by its URL."""
    return backup.restore(file, database, skipped_ids=skipped_ids)


def lines_of(file: Path) -> list[bytes]:
    """Return the lines of a backup without those of its head and end, which differ for each."""
    return gzip.decompress(file.read_bytes()).splitlines()[1:-1]


def versions(http: httpx2.Client) -> dict[str, list[tuple[int, int, str]]]:
    """Return version, id and text of every version of every subject, deleted ones too."""
    found: dict[str, list[tuple[int, int, str]]] = {}
    for subject in http.get("/subjects", params={"deleted": "true"}).json():
        of = f"/subjects/{quote(subject, safe='')}/versions"
        numbers = http.get(of, params={"deleted": "true"}).json()
        answers = [http.get(f"{of}/{number}", params={"deleted": "true"}).json() for number in numbers]
        found[subject] = [(each["version"], each["id"], each["schema"]) for each in answers]
    return found


def write(file: Path, lines: list[Any], **end: Any) -> None:
    """Write a backup by hand, with a right end unless one is given."""
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    right = {"rows": sum(isinstance(line, list) for line in lines), "sha256": hashlib.sha256(body).hexdigest()}
    file.write_bytes(gzip.compress(body + json.dumps(right | end).encode() + b"\n"))


def test_a_restored_registry_is_the_one_that_was_backed_up(
    new_database: NewDatabase, sheet: httpx2.Client, database: str, tmp_path: Path
) -> None:
    """Every row comes back as it was, deletions included; the next schema's id skips those that may be lost."""
    report = backed_up(database, tmp_path / "one.gz")
    before = versions(sheet)
    copy = new_database()
    assert restored(tmp_path / "one.gz", copy).rows == report.rows
    assert report.rows["version"] == 6
    backed_up(copy, tmp_path / "two.gz")
    sequence = [{b'["schema_id","2"]', b'["changes","0"]'}, {b'["schema_id","10002"]', b'["changes","10000"]'}]
    assert [line for line in lines_of(tmp_path / "one.gz") if line not in sequence[0]] == [
        line for line in lines_of(tmp_path / "two.gz") if line not in sequence[1]
    ]
    with running(Settings(database=copy, port=0)) as url, plain_http(url) as http:
        assert versions(http) == before
        assert register(http, "b", numbered(1)).json()["id"] == 10_003
        # The number of a row that the database gives follows those that were restored.
        assert http.get("/subjects").json() == [*sheet.get("/subjects").json()[:1], "b", "half", "s/1"]
    assert (tmp_path / "one.gz").stat().st_mode & 0o777 == 0o600


def test_a_backup_beside_writes_is_of_one_moment(
    new_database: NewDatabase, service: str, http: httpx2.Client, database: str, tmp_path: Path
) -> None:
    """Each backup has the first registrations without a gap, and every id and version in it is the registry's."""
    with SchemaWriters(service, 2) as writers:
        for turn in range(3):
            writers.await_more(2)
            made = drill(database, tmp_path / f"{turn}.gz", new_database(), http, writers)
            assert made.wrong == ()
            assert made.versions >= 2 * (turn + 1)


@pytest.mark.postgres
def test_a_registry_moves_to_another_kind_of_database(postgres: NewDatabase, sqlite: str, tmp_path: Path) -> None:
    """A backup of SQLite is restored to PostgreSQL, and one of that to SQLite, with the same rows."""
    with running(Settings(database=sqlite, port=0)) as url, plain_http(url) as http:
        for schema in (V1, V2):
            register(http, "a", schema)
        assert http.delete("/subjects/a/versions/1").status_code == 200
    backed_up(sqlite, tmp_path / "sqlite.gz")
    moved = postgres()
    restored(tmp_path / "sqlite.gz", moved, skipped_ids=0)
    backed_up(moved, tmp_path / "postgres.gz")
    assert lines_of(tmp_path / "sqlite.gz") == lines_of(tmp_path / "postgres.gz")
    with running(Settings(database=moved, port=0)) as url, plain_http(url) as http:
        assert register(http, "b", numbered(1)).json()["id"] == 3
    back = f"sqlite:///{tmp_path / 'back.db'}"
    restored(tmp_path / "postgres.gz", back, skipped_ids=0)
    backed_up(back, tmp_path / "back.gz")
    assert lines_of(tmp_path / "back.gz") == lines_of(tmp_path / "sqlite.gz")


def test_an_older_backup_is_brought_to_this_version(sqlite: str, tmp_path: Path) -> None:
    """A backup of tables from before the last migrations is restored to them, and then migrated."""
    old = f"sqlite:///{tmp_path / 'old.db'}"
    engine = create_engine(database_url(old))
    with engine.begin() as connection:
        migrate_to(connection, "0004")
        connection.execute(text("INSERT INTO subject (id, name) VALUES (7, 'old')"))
        connection.execute(text("UPDATE setting SET value = '41' WHERE name = 'schema_id'"))
    with pytest.raises(RegistrationRefused, match=f"has tables of revision 0004, not {revisions()[0]}"):
        backed_up(old, tmp_path / "refused.gz")
    assert not list(tmp_path.glob("refused*"))
    lines: list[Any] = [HEAD]
    found = MetaData()
    with engine.connect() as connection:
        found.reflect(connection)
        for table in found.sorted_tables:
            if table.name != "alembic_version":
                lines.append({"table": table.name, "columns": table.columns.keys()})
                lines.extend(map(list, connection.execute(select(table))))
    engine.dispose()
    write(tmp_path / "old.gz", lines)
    assert restored(tmp_path / "old.gz", sqlite, skipped_ids=0).rows["subject"] == 1
    with running(Settings(database=sqlite, port=0)) as url, plain_http(url) as http:
        assert register(http, "old", V1).json()["id"] == 42


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"CREATE TABLE schema", "is no whole backup: Not a gzipped file"),
        (gzip.compress(b"hello\n"), "is no backup of a registry: its first line"),
        (gzip.compress(json.dumps(HEAD).encode() + b"\n" + b"[1]\n" * 99)[:-20], "is no whole backup"),
        (gzip.compress(b"hello\n")[:10] + b"\xff" * 30, "is no whole backup"),
        (gzip.compress(json.dumps(HEAD).encode() + b"\n"), "is incomplete or was changed"),
        (gzip.compress(json.dumps(HEAD | {"revision": "9999"}).encode() + b"\n"), "which is newer than"),
        (gzip.compress(json.dumps(HEAD | {"format": 2}).encode() + b"\n"), "which is newer than"),
    ],
    ids=["none", "sql", "text", "cut", "damaged", "no end", "newer tables", "newer format"],
)
def test_a_file_that_is_no_whole_backup_is_refused(
    content: bytes | None, message: str, sqlite: str, tmp_path: Path
) -> None:
    """The error names the file and what was found; the database stays empty."""
    file = tmp_path / "backup.gz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(FileError, match=message):
        restored(file, sqlite)
    assert not (tmp_path / "registry.db").exists()


def test_a_changed_backup_is_refused(sqlite: str, tmp_path: Path) -> None:
    """A row that was edited, left out or added does not fit the hash at the end."""
    table = {"table": "setting", "columns": ["name", "value"]}
    for lines in ([HEAD, table, ["schema_id", "1"]], [HEAD, table], [HEAD, table, ["schema_id", "9"], ["a", "b"]]):
        write(tmp_path / "changed.gz", lines, sha256="0" * 64)
        with pytest.raises(FileError, match="its last line does not fit those before it"):
            restored(tmp_path / "changed.gz", sqlite)


def test_nothing_is_overwritten(database: str, sheet: httpx2.Client, tmp_path: Path) -> None:
    """A backup goes to a new file, and a restore to an empty database; else both are refused and change nothing."""
    file = tmp_path / "one.gz"
    backed_up(database, file)
    whole = file.read_bytes()
    with pytest.raises(FileError, match="exists already"):
        backed_up(database, file)
    assert file.read_bytes() == whole
    before = versions(sheet)
    with pytest.raises(
        RegistrationRefused, match="has tables already: access_grant, alembic_version, api_key and others"
    ):
        restored(file, database)
    assert versions(sheet) == before


def test_a_database_without_a_registry_has_no_backup(database: str, tmp_path: Path) -> None:
    """An empty database is refused, and no file is left."""
    with pytest.raises(RegistrationRefused, match="the database has no registry"):
        backed_up(database, tmp_path / "one.gz")
    assert not list(tmp_path.glob("one*"))
