"""docs/history.md, executed: a job on the command line, its programs, and the options that it names."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from meshport.address import Address
from meshport.event import Event
from meshport.ports.publisher import Publisher
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.replay_jobs import ReplayOutput
from meshport.replaying import ReplayOptions, ReplayRun, TopicOutput, start
from meshport.schema import parse_schema
from tests.cli.conftest import cli as cli  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.running import Run, on
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.waiting import wait_for

TEXT = (Path(__file__).parents[2] / "docs" / "history.md").read_text(encoding="utf-8")
SHELL = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(YAML,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
PROGRAM, READER = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
DEPARTURE = (
    '{"type":"record","name":"Departure","fields":[{"name":"origin","type":"string"},{"name":"delay","type":"int"}]}'
)
pytestmark = pytest.mark.kafka


def departures(mesh: Mesh, **port: Any) -> Address:
    """Register the port of the page under a name of its own, and publish thirty departures."""
    document = {
        "address": f"mesh://operations/departures-{uuid4().hex[:8]}",
        "id": str(uuid4()),
        "archetype": "source-aligned",
        "description": "made by a test",
        "owner": "tests",
        "outputPorts": [{"name": "events", "key": "origin"} | port],
    }
    product = Product.model_validate(document)
    binding = mesh.apply(ProjectProduct(product, mesh.folder, {("events", 1): parse_schema(DEPARTURE)}))
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        for delay in range(30):
            publisher.publish({"origin": f"airport-{delay % 3}", "delay": delay})
    return binding.address


@pytest.fixture(scope="module")
def address(mesh: Mesh) -> Address:
    """The port of the page."""
    return departures(mesh)


def test_the_commands(cli: Run, mesh: Mesh, address: Address, tmp_path: Path) -> None:
    """The job is started and listed as the page has it, and its file has the late departures."""
    first, second = SHELL
    for line in first.strip().splitlines():
        words = re.findall(r'"[^"]*"|\S+', line.replace("operations/departures", address.of_product.key))
        ended = cli(*(each.strip('"') for each in words[1:]), **on(mesh))
        assert ended.code == 0, ended.err
    assert "complete" in ended.out
    found = [json.loads(each) for each in (tmp_path / "late.jsonl").read_text().splitlines()]
    assert sorted(each["data"]["delay"] for each in found) == list(range(16, 30))
    assert second.split() == ["meshport", "replay", "resume", "JOB"]


def test_the_programs(mesh: Mesh, address: Address, capsys: pytest.CaptureFixture[str]) -> None:
    """The function is called with each late departure; the named reader handles what the topic of a job has."""
    indexed, handled = list[Event](), list[Event]()
    scope: dict[str, Any] = {
        "registry_url": mesh.url,
        "address": address,
        "kafka": CONNECTIONS,
        "index": indexed.append,
    }
    exec(PROGRAM, scope)
    assert capsys.readouterr().out == "14 events, complete\n"
    assert {each.data["delay"] for each in indexed} == set(range(16, 30))
    options = ReplayOptions(address=address, purpose="again", output=ReplayOutput.TOPIC, readers=("billing",))
    job = start(options, mesh.registry, kafka=CONNECTIONS)
    ReplayRun(job, mesh.registry, TopicOutput(job, mesh.kafka), kafka=CONNECTIONS).run()
    scope |= {"job_id": job.job, "handle": handled.append}
    thread = threading.Thread(target=exec, args=(READER, scope))
    thread.start()
    wait_for(lambda: len(handled) == 30, "the events of the job")
    scope["replayed"].stop()
    thread.join()
    scope["registry"].close()


def test_the_port_that_asks_for_approval(mesh: Mesh) -> None:
    """The key of product.yaml is as the page has it: a job of such a port is requested first."""
    assert "replay: approval" in YAML
    address = departures(mesh, replay="approval")
    options = ReplayOptions(address=address, purpose="again", output=ReplayOutput.CALLBACK)
    assert start(options, mesh.registry, kafka=CONNECTIONS).state == "requested"


def test_the_options(cli: Run) -> None:
    """Each option that the page names is one of `start`."""
    shown = cli("replay", "start", "--help", COLUMNS="200", TERMINAL_WIDTH="200").out
    for option in set(re.findall(r"`(--[a-z-]+)", TEXT)) - {"--reason"}:
        assert option in shown, option
