"""docs/services.md, executed: its programs run against a mesh, and every call that it names exists."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI

from meshport import AsyncPublisher, AsyncRegistry, AsyncSubscriber
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.schema import parse_schema
from tests.mesh_session import Mesh
from tests.served import served
from tests.waiting import PATIENCE_S

TEXT = (Path(__file__).parents[2] / "docs" / "services.md").read_text(encoding="utf-8")
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
