"""docs/query.md, executed: its commands and its program, and the views that it names."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from meshport.address import Address
from meshport.event import Event
from meshport.ports.publisher import Publisher
from meshport.query.views import ABOUT
from tests.cli.conftest import cli as cli  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.running import Run, on
from tests.connections import CONNECTIONS
from tests.docs.test_history_page import departures
from tests.mesh_session import Mesh

TEXT = (Path(__file__).parents[2] / "docs" / "query.md").read_text(encoding="utf-8")
(SHELL,) = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
PROGRAM, SNAPSHOT = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def address(mesh: Mesh) -> Address:
    """The port of the page: thirty departures of three airports."""
    return departures(mesh)


@pytest.mark.kafka
def test_the_commands(cli: Run, mesh: Mesh, address: Address, tmp_path: Path) -> None:
    """The figures of each airport, all rows as CSV, and the latest row of each airport."""
    ended = []
    for line in SHELL.strip().splitlines():
        words = shlex.split(line.replace("operations/departures", address.of_product.key))
        ended.append(cli(*words[1:], **on(mesh)))
        assert ended[-1].code == 0, ended[-1].err
    assert [each.split() for each in ended[0].out.splitlines()] == [
        ["origin", "flights", "longest"],
        *([f"airport-{each}", "10", str(27 + each)] for each in range(3)),
    ]
    with (tmp_path / "departures.csv").open(encoding="utf-8") as file:
        assert len([*csv.DictReader(file)]) == 30
    latest = {each["origin"]: each["delay"] for each in map(json.loads, ended[2].out.splitlines())}
    assert latest == {f"airport-{each}": 27 + each for each in range(3)}


@pytest.mark.kafka
def test_the_program(mesh: Mesh, address: Address) -> None:
    """It prints the latest delay of each airport."""
    with redirect_stdout(io.StringIO()) as said:
        exec(PROGRAM, {"registry_url": mesh.url, "address": address, "kafka": CONNECTIONS})
    assert said.getvalue() == "airport-0 27\nairport-1 28\nairport-2 29\n"


@pytest.mark.kafka
def test_the_snapshot(mesh: Mesh) -> None:
    """The latest departure of each airport, and then a later one, which the test publishes once the subscriber is there."""
    port = departures(mesh, cleanup="compact")
    kept = list[Event]()

    def keep(event: Event) -> None:
        kept.append(event)
        if len(kept) == 3:
            with Publisher(port, mesh.registry, kafka=CONNECTIONS) as publisher:
                publisher.publish({"origin": "airport-0", "delay": 99})
        if len(kept) == 4:
            scope["subscriber"].stop()

    scope: dict[str, Any] = {"registry_url": mesh.url, "address": port, "kafka": CONNECTIONS, "keep": keep}
    exec(SNAPSHOT, scope)
    assert sorted(each.data["delay"] for each in kept[:3]) == [27, 28, 29]
    assert kept[3].data["delay"] == 99


def test_the_columns() -> None:
    """The page names each column that the views have beside the fields."""
    assert {*re.findall(r"`(_[a-z_]+)`", TEXT)} >= {*ABOUT, "_interval", "_problem"}
