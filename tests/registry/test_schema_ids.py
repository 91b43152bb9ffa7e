"""Ids and versions of an import: the highest of them ends nothing, for any caller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, insert

import meshport_registry.migrate
from meshport_registry import Settings, running, tables
from meshport_registry.schema_ids import IMPORT_CEILING
from meshport_registry.settings import database_url
from meshport_registry.values import MAX_INT
from tests.plain_http import plain_http
from tests.registry.schemas import record


@pytest.fixture
def importing(http: httpx2.Client) -> httpx2.Client:
    """Return a client of a registry whose subject `s` is in mode IMPORT."""
    http.put("/mode/s", json={"mode": "IMPORT"}).raise_for_status()
    return http


def register(http: httpx2.Client, subject: str, field: str, **more: Any) -> tuple[int, int]:
    """Register a record with one optional field, and return its id and version."""
    answer = http.post(f"/subjects/{subject}/versions", json={"schema": record(f"{field}?")} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"], answer.json()["version"]


def refused(http: httpx2.Client, **more: Any) -> tuple[int, int]:
    """Import a schema that is refused, and return the HTTP status and the error code."""
    answer = http.post("/subjects/s/versions", json={"schema": record("refused?")} | more)
    return answer.status_code, answer.json()["error_code"]


def test_an_import_of_the_highest_id_ends_no_registration(importing: httpx2.Client) -> None:
    """Ids of new schemas do not follow an imported id that leaves no room, and an id beyond 32 bits is refused."""
    assert register(importing, "t", "a") == (1, 1)
    assert register(importing, "s", "b", id=MAX_INT) == (MAX_INT, 1)
    assert register(importing, "t", "c") == (2, 2)
    assert register(importing, "s", "d", id=MAX_INT - 1) == (MAX_INT - 1, 2)
    assert register(importing, "s", "e", id=3) == (3, 3)
    assert register(importing, "t", "f") == (4, 3)
    for number in (MAX_INT + 1, 2**32, 2**63 - 1, 2**63, 2**64, 10**400):
        assert refused(importing, id=number)[0] in {400, 422}, "as Confluent's registry answers a number beyond Java's"
    assert refused(importing, id=MAX_INT) == (422, 42205)
    for number in (1, 2, 3, 4, MAX_INT - 1, MAX_INT):
        assert importing.get(f"/schemas/ids/{number}").status_code == 200


def test_new_ids_follow_imported_ones_and_pass_over_taken_ones(importing: httpx2.Client) -> None:
    """New ids follow the highest import up to a half of all ids; above it they are the lowest that are free."""
    assert register(importing, "s", "a", id=100) == (100, 1)
    assert register(importing, "t", "b") == (101, 1)
    assert register(importing, "s", "c", id=50) == (50, 2)
    assert register(importing, "t", "d") == (102, 2)
    for step in (1, 2, 4):
        register(importing, "s", f"e{step}", id=IMPORT_CEILING + step)
    assert register(importing, "t", "f") == (103, 3)
    register(importing, "s", "g", id=IMPORT_CEILING)
    assert register(importing, "t", "h") == (IMPORT_CEILING + 3, 4)
    assert register(importing, "t", "i") == (IMPORT_CEILING + 5, 5)


def test_an_import_of_a_high_version_ends_no_subject(importing: httpx2.Client) -> None:
    """A version that would leave the subject no further ones is refused, and one below is followed by the next."""
    for number in (IMPORT_CEILING + 1, MAX_INT):
        assert refused(importing, id=1, version=number) == (422, 42202)
    for number in (MAX_INT + 1, 2**63, 10**400):
        assert refused(importing, id=1, version=number)[0] in {400, 422}
    assert register(importing, "s", "a", id=1, version=IMPORT_CEILING)[1] == IMPORT_CEILING
    assert register(importing, "s", "b", id=2)[1] == IMPORT_CEILING + 1


def test_a_registry_whose_ids_had_ended_goes_on(database: str) -> None:
    """A database of an earlier version that has an id without a next one gets new ids after those below it."""
    engine = create_engine(database_url(database))
    config = Config()
    config.set_main_option("script_location", str(Path(meshport_registry.migrate.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        for number in (5, MAX_INT):
            row = {"id": number, "identity": str(number), "fingerprint": str(number), "guid": str(number)}
            connection.execute(insert(tables.schema), row | {"text": '"string"', "created_at": 0})
    engine.dispose()
    with running(Settings(database=database, port=0)) as url, plain_http(url) as http:
        assert [register(http, "s", field)[0] for field in "ab"] == [6, 7]
