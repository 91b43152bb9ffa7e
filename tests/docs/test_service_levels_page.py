"""docs/service-levels.md, executed: its product is measured, its commands show that, and its programs read it."""

from __future__ import annotations

import json
import re
import shlex
import time
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from meshport.binding import Binding
from meshport.observe.levels.promises import Promises
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import Subscriber
from meshport.product import parse_product
from meshport.project.project import ProjectProduct
from meshport.schema import parse_schema
from tests.cli.conftest import cli as cli  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.conftest import on_mesh as on_mesh  # noqa: PLC0414 - as above
from tests.cli.running import Run
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh

TEXT = (Path(__file__).parents[2] / "docs" / "service-levels.md").read_text(encoding="utf-8")
(DESCRIPTOR,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(COMMANDS,) = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
REPORTING, FOLLOWING, REQUIRING = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
CONTRACT = parse_schema(
    json.dumps(
        {
            "type": "record",
            "name": "Departure",
            "namespace": "operations",
            "fields": [
                {"name": "number", "type": "long"},
                {"name": "delay_minutes", "type": "int"},
                {"name": "terminal", "type": "string"},
                {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            ],
        }
    )
)


@pytest.fixture
def mesh(mesh_alone: Mesh) -> Mesh:
    """A mesh that this page's observer can look at as a whole."""
    return mesh_alone


def departures(mesh: Mesh, domain: str) -> Binding:
    """Register the page's product in a domain of the test's own, and publish some departures."""
    text = DESCRIPTOR.replace("operations/departures", f"{domain}/departures").replace(
        "0d8e6a52-3b51-4a3e-8a2d-1c2f7a9f4b10", str(uuid4())
    )
    binding = mesh.apply(ProjectProduct(parse_product(text), mesh.folder, {("events", 1): CONTRACT}))
    now = datetime.fromtimestamp(time.time(), UTC)
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        for number in range(20):
            publisher.publish({"number": number, "delay_minutes": 3, "terminal": "A", "at": now})
    return binding


@pytest.mark.kafka
def test_the_page(on_mesh: Run, mesh: Mesh) -> None:
    """The commands measure the product, whose states are as the page says; the programs follow and require them."""
    domain = f"d{uuid4().hex[:8]}"
    binding = departures(mesh, domain)
    shown = {}
    for command in COMMANDS.splitlines():
        words = shlex.split(command.replace("operations/departures", f"{domain}/departures"))[1:]
        more = ["--kafka", mesh.bootstrap_servers] if words[0] == "observe" else []
        shown[command] = ended = on_mesh(*words, *more)
        assert ended.code == 0, ended.out + ended.err
    once, people, json_lines = shown.values()
    assert "timeliness 5 m" in once.out
    assert "completeness 99.5 percent: met" in people.out
    (facts,) = json_lines.lines
    levels = {each["property"]: each for each in facts["service_levels"]["levels"]}
    states = {name: each["state"] for name, each in levels.items()}
    assert states == dict.fromkeys(levels, "met") | {"drift": "unknown", "volume": "unknown"}
    assert levels["completeness"]["measured_by"] == "sequence"
    assert levels["timeliness"]["budget_left"] == 1
    assert facts["service_levels"]["state"] == "unknown"
    assert facts["service_levels"]["measurement"]["completeness"] == 1

    hour = datetime(2026, 1, 1, tzinfo=UTC)
    told = {"registry_url": mesh.url, "begin": hour, "end": hour + timedelta(hours=1), "rows": 7}
    exec(REPORTING.replace("operations/departures", f"{domain}/departures"), told)
    assert [each.count for each in mesh.registry.service_levels.counts(binding.address)] == [7]

    mesh.registry.refresh(binding.address)
    given: dict[str, Any] = {"mesh": mesh.registry, "kafka": CONNECTIONS, "show": print}
    said = StringIO()
    with redirect_stdout(said):
        exec(REQUIRING.replace("operations/departures", f"{domain}/departures").replace("boards", domain), given)
    assert said.getvalue().startswith("unknown ")
    with Subscriber("mesh/service-levels", mesh.registry, kafka=CONNECTIONS) as results:
        event = next(each for each in results if each.data["address"] == str(binding.address))
    assert "timeliness 5 m" in event.data["changed"]


def test_following_is_python() -> None:
    """The program that follows the states compiles, and names fields of the contract."""
    compile(FOLLOWING, "following", "exec")
    contract = (Path(__file__).parents[2] / "meshport/observe/levels/results/results.avsc").read_text(encoding="utf-8")
    fields = {each["name"] for each in json.loads(contract)["fields"]}
    assert {*re.findall(r'event\.data\["(\w+)"\]', FOLLOWING)} <= fields


def test_every_promise_of_the_table_is_measured() -> None:
    """The page's product promises what the table has, and its promises are read as the page says."""
    product = parse_product(DESCRIPTOR)
    promises = Promises.of(product, product.default_port)
    (table,) = re.findall(r"^\| promise \| what.*\n\|.*\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert {each.property for each in promises.levels} <= {*re.findall(r"`(\w+)`", table)}
    assert promises.number_field == "number"
    assert promises.drift_fields == ("delay_minutes", "terminal")
    assert promises.delays_ms == (300_000.0,)
