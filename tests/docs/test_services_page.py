"""docs/services.md, executed: its programs run against a mesh, and every call that it names exists."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from meshport import AsyncPublisher, AsyncRegistry, AsyncSubscriber
from meshport.errors import EncodeError
from meshport.outbox import COLUMNS
from meshport.outbox.databases import look_at
from meshport.ports.replay import Replay
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.schema import parse_schema
from tests.cli.conftest import cli as cli  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.running import Run
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.served import served
from tests.waiting import PATIENCE_S, wait_for

TEXT = (Path(__file__).parents[2] / "docs" / "services.md").read_text(encoding="utf-8")
OUTBOX = TEXT[TEXT.index("## With a database") : TEXT.index("## On an event loop")]
LOOP = TEXT[TEXT.index("## On an event loop") :]
SERVICE, PROGRAM = re.findall(r"^```python\n(.*?)^```", LOOP, re.MULTILINE | re.DOTALL)[:2]
FLIGHT = (
    '{"type":"record","name":"Departure","fields":[{"name":"origin","type":"string"},{"name":"delay","type":"int"}]}'
)


@pytest.fixture(scope="module")
def address(in_memory_mesh: Mesh) -> str:
    """The port of the page, under a name of its own."""
    found = f"operations/departures-{uuid4().hex[:8]}"
    product = Product.model_validate(
        {
            "address": f"mesh://{found}",
            "id": str(uuid4()),
            "archetype": "source-aligned",
            "description": "made by a test",
            "owner": "tests",
            "outputPorts": [{"name": "events", "key": "origin"}],
        }
    )
    in_memory_mesh.apply(ProjectProduct(product, in_memory_mesh.folder, {("events", 1): parse_schema(FLIGHT)}))
    return found


def test_the_service_on_an_event_loop(in_memory_mesh: Mesh, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The service stores what its requests bring, refuses what does not fit, and handles what it reads; the program reads it."""
    notified: list[int] = []

    async def notify(_origin: str, delay: int) -> None:
        notified.append(delay)

    page: dict[str, Any] = {"registry_url": in_memory_mesh.url, "notify": notify}
    exec(SERVICE.replace("operations/departures", address), page)
    app: FastAPI = page["app"]

    async def serve() -> None:
        async with served(app) as client:
            answers = await asyncio.gather(
                *(client.post("/departures", json={"origin": "SFO", "delay": delay}) for delay in range(20))
            )
            assert len({each.json() for each in answers}) == 20
            refused = await client.post("/departures", json={"origin": "SFO"})
            assert (refused.status_code, "delay" in refused.json()["error"]) == (422, True)
            while len(notified) < 20:
                await asyncio.sleep(0.01)
            assert (await client.get("/ready")).json() == {"ready": True}

    asyncio.run(asyncio.wait_for(serve(), PATIENCE_S))
    assert sorted(notified) == list(range(20))
    exec(PROGRAM.replace("operations/departures", address), page)
    assert capsys.readouterr().out == f"{notified[:3]}\n"


def test_every_call_of_the_page_exists() -> None:
    """Each option and method that the section on event loops names is one."""
    methods = {
        "publish",
        "submit",
        "run",
        "seek",
        "resolve",
        "product",
        "search",
        "lineage",
        "readers",
        "past",
        "health",
    }
    kinds = (AsyncPublisher, AsyncSubscriber, AsyncRegistry)
    for name in methods:
        assert f"`{name}" in LOOP, name
        assert any(hasattr(kind, name) for kind in kinds), name


def test_the_outbox(
    cli: Run, in_memory_mesh: Mesh, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands make the table; the programs add an event with its row, and publish it; the migration is one."""
    monkeypatch.chdir(tmp_path)
    database = "sqlite:///operations.db"
    for command in re.findall(r"^meshport (outbox .*)$", OUTBOX, re.MULTILINE):
        assert cli(*command.split()).code == 0
    add, migration, relay = re.findall(r"^```python\n(.*?)^```", OUTBOX, re.MULTILINE | re.DOTALL)

    class Base(DeclarativeBase):
        pass

    class Departure(Base):
        __tablename__ = "departure"
        flight: Mapped[str] = mapped_column(primary_key=True)
        origin: Mapped[str]
        delay: Mapped[int]

    engine = create_engine(database)
    Base.metadata.create_all(engine)
    page: dict[str, Any] = {"registry_url": in_memory_mesh.url, "database_url": database, "Departure": Departure}
    exec(add.replace("operations/departures", address), page)
    page["depart"](engine, "SF7", "SFO", 41)
    with pytest.raises(EncodeError):
        page["depart"](engine, "SF8", "SFO", "late")
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT flight FROM departure")).all() == ["SF7"]
    engine.dispose()

    exec(relay, page)
    page["serve_with_relay"](lambda: wait_for(lambda: not look_at(database, 1).state.waiting))
    with Replay(address, in_memory_mesh.registry, kafka=CONNECTIONS) as replay:
        assert [event.data["delay"] for event in replay.history() if event.data["delay"] == 41] == [41]

    page["registry"].close()
    exec(migration, page)
    assert [type(each).__name__ for each in page["Migration"].operations] == ["CreateOutbox"]


def test_debezium_reads_columns_that_are_there() -> None:
    """Every column that the router's configuration names is one of the outbox, and every header one of CloudEvents."""
    (placed,) = re.findall(r"additional\.placement=(.*)", OUTBOX)
    for each in placed.split(","):
        column, where, header = each.split(":")
        assert (column in COLUMNS, where, header.startswith("ce_")) == (True, "header", True)
    assert {"id", "aggregatetype", "aggregateid", "type", "payload"} <= set(COLUMNS)
