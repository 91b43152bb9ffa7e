"""docs/archive.md, executed: a port is archived, read by an engine, compared and restored."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from meshport.address import Address
from meshport.kafka.admin import Admin
from meshport.product import OutputPort
from tests.cli.conftest import cli as cli  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.running import Run, on
from tests.docs.test_history_page import departures
from tests.mesh_session import Mesh

TEXT = (Path(__file__).parents[2] / "docs" / "archive.md").read_text(encoding="utf-8")
RUN, RESTORE = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(YAML,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def port(mesh: Mesh) -> Address:
    """The port of the page: thirty departures."""
    return departures(mesh, archive={})


@pytest.mark.kafka
def test_the_page(cli: Run, mesh: Mesh, port: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port is archived and verified, the engine finds the late departures, and the restored topic has all."""
    # Its other planner is a package of its own, and the lack of it a warning.
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    variables = {**on(mesh), "MESHPORT_ARCHIVE": (tmp_path / "archive").as_uri()}
    topic = f"departures-{uuid4().hex[:8]}"

    def run(line: str, *more: str) -> Any:
        words = line.replace("operations/departures", port.of_product.key).replace("departures-again", topic).split()
        ended = cli(*words[1:], *more, **variables)
        assert ended.code == 0, ended.err
        return ended

    archive, verify = RUN.strip().splitlines()
    made = json.loads(run(archive, "--json").out)
    assert made["offsets"] == 30
    assert "equals its topic in 30 records" in run(verify).err
    with redirect_stdout(io.StringIO()) as said:
        exec(PROGRAM, {"table": made["table"]})
    assert said.getvalue() == "14 late departures\n"
    assert f"30 records of mesh://{port.of_product.key}/events@1 are in {topic}" in run(RESTORE.strip()).err
    lines = [json.loads(each) for each in (tmp_path / "offsets.jsonl").read_text().splitlines()]
    assert sum(each["length"] for each in lines) == 30
    found = Admin(mesh.kafka).topic(topic)
    assert found is not None
    assert found.setting("retention.ms") == "-1"


def test_the_declaration() -> None:
    """The port of the page is one that product.yaml takes."""
    (declared,) = yaml.safe_load(YAML)["outputPorts"]
    archive = OutputPort.model_validate(declared).archive
    assert archive is not None
    assert archive.store == "file:///srv/archive"
