"""The databases of the tests of the outbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.outbox.shop import Shop
from tests.postgres_session import NewDatabase
from tests.postgres_session import postgres as postgres  # noqa: PLC0414 - pytest finds a fixture by its name here


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """A database with an outbox: every test that asks for it runs on both."""
    if request.param == "sqlite":
        return Shop.create(f"sqlite:///{tmp_path / 'shop.db'}")
    return Shop.create(request.getfixturevalue("postgres")())


@pytest.fixture
def postgres_shop(postgres: NewDatabase) -> Shop:
    """A PostgreSQL with an outbox."""
    return Shop.create(postgres())
