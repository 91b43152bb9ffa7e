"""docs/majors.md, executed: its descriptor, its commands, its program, and what the gate refuses."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshport.ports.publisher import Publisher
from tests.cli.conftest import cli as cli  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.running import Run, on
from tests.connections import CONNECTIONS
from tests.lines import KELVIN, TwoLines, ago, kelvins, publish_then, two_lines
from tests.mesh_session import READING, Mesh
from tests.repository import git

TEXT = (Path(__file__).parents[2] / "docs" / "majors.md").read_text(encoding="utf-8")
(SHELL,) = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(REFUSED,) = re.findall(r"^```text\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
PORTS: list[dict[str, Any]] = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)[0])[
    "outputPorts"
]
FIELDS = PORTS[1]["migration"]["fields"]


@pytest.fixture(scope="module")
def lines(mesh: Mesh) -> TwoLines:
    """The lines of the page: twenty readings in the first, ten in the second."""
    found = two_lines(mesh, ago(60), fields=FIELDS)
    publish_then(found.first, range(20), ago(120))
    with Publisher(found.second.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        for number in range(20, 30):
            publisher.publish(kelvins(number))
    return found


@pytest.mark.kafka
def test_the_commands(cli: Run, mesh: Mesh, lines: TwoLines) -> None:
    """The replay has both lines in the words of the second, and the query counts them as one table."""
    replay, query = (
        line.replace("sensors/readings", lines.second.address.of_product.key) for line in SHELL.strip().splitlines()
    )
    ended = cli(*replay.split()[1:], **on(mesh))
    assert ended.code == 0, ended.err
    found = [json.loads(each)["data"] for each in ended.out.splitlines()]
    assert sorted(round(each["kelvin"] - 273.15) for each in found) == [*range(30)]
    words = re.findall(r'"([^"]*)"', query)
    ended = cli(*query.split('"')[0].split()[1:], *words, **on(mesh))
    assert ended.code == 0, ended.err
    rows = [each.split() for each in ended.out.splitlines()]
    assert rows[0] == ["sensor", "readings", "warmest"]
    assert rows[1:] == [[f"s{each}", "3", str(round(each + 20 + 273.15, 2))] for each in range(10)]


@pytest.mark.kafka
def test_the_program(mesh: Mesh, lines: TwoLines) -> None:
    """A group gets the events of both lines with the fields of the second."""
    drawn: Counter[str] = Counter()

    class Enough(Exception):  # noqa: N818 - ends the program's loop
        """Raised at the last event."""

    def draw(sensor: str, kelvin: float) -> None:
        drawn[sensor] += 1
        assert kelvin >= 273
        if drawn.total() == 30:
            raise Enough

    named = {"registry_url": mesh.url, "address": lines.second.address, "kafka": CONNECTIONS, "draw": draw}
    with pytest.raises(Enough):
        exec(PROGRAM, named)
    assert drawn == {f"s{each}": 3 for each in range(10)}


def test_what_the_gate_refuses(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's descriptor passes; without a field's expression it is refused as the page shows."""
    folder = tmp_path / "producers/sensors/readings"
    schemas = tmp_path / "schemas/sensors"
    for each in (folder, schemas, tmp_path / "processors"):
        each.mkdir(parents=True)
    product = {
        "address": "mesh://sensors/readings",
        "id": "5a1e0c3e-2f0c-4d0e-9d57-6f1f7d9b4a10",
        "archetype": "source-aligned",
        "description": "made by a test",
        "owner": "tests",
    }

    def write(ports: list[dict[str, Any]], contract: dict[str, Any]) -> None:
        (folder / "product.yaml").write_text(yaml.safe_dump(product | {"outputPorts": ports}, sort_keys=False))
        (schemas / "readings.events.v2.avsc").write_text(json.dumps(contract))

    (schemas / "readings.events.avsc").write_text(json.dumps(READING))
    write([PORTS[0], {key: value for key, value in PORTS[1].items() if key != "migration"}], KELVIN)
    git(tmp_path, "init", "--initial-branch=main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message=without a migration")
    monkeypatch.chdir(tmp_path)
    write(PORTS, KELVIN)
    passed = cli("gate", "check", "--against", "HEAD")
    assert passed.code == 0, passed.out + passed.err
    (folder / "product.yaml").write_text(
        (folder / "product.yaml").read_text().replace('coalesce(note, "none")', "note")
    )
    refused = cli("gate", "check", "--against", "HEAD")
    assert refused.code == 1
    assert REFUSED in refused.out
