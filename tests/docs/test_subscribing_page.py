"""docs/subscribing.md, executed: its programs and its command run against a mesh, and every call that it names exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from meshport.address import reader_quarantine_name, reader_redrive_name, retry_name
from meshport.cli import app
from meshport.metrics import ports as metrics
from meshport.ports.failed import reading, retries
from meshport.ports.failed.waiting import Retry
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import Subscriber
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.schema import parse_schema
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh

TEXT = (Path(__file__).parents[2] / "docs" / "subscribing.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^```sh\nmeshport (.*?)\n```", TEXT, re.MULTILINE | re.DOTALL)
FLIGHT = (
    '{"type":"record","name":"Departure","fields":[{"name":"origin","type":"string"},{"name":"delay","type":"int"}]}'
)


@pytest.mark.kafka
def test_the_programs_and_the_commands_run(
    mesh: Mesh, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's handler fails once on one event and always on another, which the commands show and redrive."""
    address = f"operations/departures-{uuid4().hex[:8]}"
    product = Product.model_validate(
        {
            "address": f"mesh://{address}",
            "id": str(uuid4()),
            "archetype": "source-aligned",
            "description": "made by a test",
            "owner": "tests",
            "outputPorts": [{"name": "events", "key": "origin"}],
        }
    )
    binding = mesh.apply(ProjectProduct(product, mesh.folder, {("events", 1): parse_schema(FLIGHT)}))
    with Publisher(address, mesh.registry, kafka=CONNECTIONS) as publisher:
        for delay in range(6):
            publisher.publish({"origin": "SFO", "delay": delay}, id=f"flight-{delay}")
    stored: list[int] = []
    failed: list[int] = []
    subscribers: list[Subscriber] = []

    def store(_id: str, data: dict[str, Any]) -> None:
        delay = data["delay"]
        if delay == 3 or (delay == 1 and not failed):
            failed.append(delay)
            raise ConnectionError("no database")
        stored.append(delay)
        if delay == 5:
            subscribers[0].stop()

    class Noted(Subscriber):
        """A subscriber of the page, which the test ends."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            subscribers.append(self)

    monkeypatch.setattr(reading, "_WAIT_S", 0.05)
    given = {"registry_url": mesh.url, "store": store}
    for program in PROGRAMS:
        text = program.replace("operations/departures", address)
        text = text.replace("with (", "Subscriber = Noted\nwith (", 1).replace("tries=5", "tries=2, first_s=0.01")
        exec(compile(text, "docs/subscribing.md", "exec"), {**given, "Noted": Noted})
    assert stored == [0, 1, 2, 4, 5]
    assert failed == [1, 3, 3]
    assert "no database" in caplog.text
    shown, redriven = (
        CliRunner().invoke(app, [*each.replace("operations/departures", address).split(), "--registry", mesh.url])
        for each in COMMANDS
    )
    assert shown.exit_code == 0, shown.output
    assert "ConnectionError: no database" in shown.output
    assert binding.topic in shown.output
    assert "1 events quarantined" in shown.output
    assert redriven.exit_code == 0, redriven.output
    assert "1 events redriven" in redriven.output


def test_every_name_of_the_page_is_right() -> None:
    """Methods, metrics, topics and defaults are those of the library."""
    named = set(re.findall(r"\bsubscriber\.([a-z_]+)", TEXT))
    assert {"run", "seek", "failed", "stop", "waiting"} <= named
    assert [each for each in named if not hasattr(Subscriber, each)] == []
    for each in (metrics.RETRIED, metrics.QUARANTINED):
        assert f"{each._name}_total" in TEXT
    for name in (each("<group>", "<topic>") for each in (retry_name, reader_quarantine_name, reader_redrive_name)):
        assert f"`{name}`" in TEXT
    assert Retry(tries=5, first_s=1, longest_s=300) == Retry()
    assert f"While {retries._MOST_WAITING} events wait" in TEXT
