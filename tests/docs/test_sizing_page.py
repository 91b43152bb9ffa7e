"""docs/sizing.md, executed: a backup is restored beside a registry that runs, and both have the same; its arithmetic."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from meshport.kafka.properties import REPLICAS
from meshport.project.clusters import kafka_clusters
from tests.bench.__main__ import PARTS
from tests.deploy.ports import free_port
from tests.docs.shell import shell
from tests.running import environment
from tests.waiting import wait_for

PAGE = Path(__file__).parents[2] / "docs" / "sizing.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh(?: serve)?)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
BACKUPS = re.findall(r"^```(sh(?: serve)?)\n(.*?)^```", TEXT.partition("## Backups")[2], re.MULTILINE | re.DOTALL)


@contextmanager
def serving(command: str, folder: Path, url: str, **more: str) -> Iterator[None]:
    """Run a command that serves a registry until the context ends."""
    with (folder / "registry.log").open("ab") as log:
        process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=folder, env=environment() | more, stderr=log)
    try:
        wait_for(lambda: answers(f"{url}/health"), f"{url} to answer")
        yield
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    """Return whether a URL is answered with success."""
    try:
        return httpx2.get(url, trust_env=False).is_success
    except httpx2.TransportError:
        return False


def test_the_drill_of_a_backup(tmp_path: Path) -> None:
    """The blocks of the page run: what is restored has the ids and versions of what runs, and a whole audit."""
    live, drill = free_port(), free_port()
    variables = {
        "DATABASE": f"sqlite:///{tmp_path / 'live.db'}",
        "RESTORED": f"sqlite:///{tmp_path / 'restored.db'}",
        "MESHPORT_REGISTRY": f"http://127.0.0.1:{live}",
    }

    def here(text: str) -> str:
        return text.replace("8091", str(drill))

    serve = f"meshport registry serve --port {live} --database $DATABASE"
    with serving(serve, tmp_path, variables["MESHPORT_REGISTRY"], **variables):
        for number in range(3):
            schema = {"type": "record", "name": f"R{number}", "fields": [{"name": "id", "type": "string"}]}
            subject = f"{variables['MESHPORT_REGISTRY']}/subjects/orders-{number}/versions"
            httpx2.post(subject, json={"schema": json.dumps(schema)}, trust_env=False).raise_for_status()
        (_, restore), (kind, served), (_, compare) = BACKUPS
        assert kind == "sh serve"
        shell(here(restore), tmp_path, **variables)
        with serving(here(served).strip(), tmp_path, f"http://127.0.0.1:{drill}", **variables):
            shell(here(compare), tmp_path, **variables)
    exported = [json.loads(file.read_text()) for file in (tmp_path / "restored").rglob("*orders*.json")]
    assert len(exported) == 3


@pytest.mark.parametrize("fewer", [True, False])
def test_the_variable_of_replicas(fewer: bool, tmp_path: Path) -> None:
    """The variable that the page names is the property of a connection; a port's own declaration is beside it in another page."""
    (block,) = [text for _kind, text in BLOCKS if "REPLICATION_FACTOR" in text]
    name, value = re.findall(r"^export (\w+)=(\w+)$", block, re.MULTILINE)[0]
    given = {} if fewer else {name: value}
    assert kafka_clusters(tmp_path, environment=given).default.replicas == (None if fewer else 3)
    assert f"`{REPLICAS}`" in (PAGE.parent / "connections.md").read_text(encoding="utf-8")


def test_the_figures_can_be_measured_again() -> None:
    """Each part of the bench that the page names exists."""
    named = {*re.findall(r"\(`([a-z]+)`\)", TEXT), *re.findall(r"tests\.bench ([a-z-]+)`", TEXT)}
    assert named >= {"processors", "state", "registry", "ports", "outbox"}
    assert named <= PARTS.keys()


def test_the_arithmetic_of_disks() -> None:
    """The page's example is what its factors give."""
    rate, size, days, replicas, total = re.findall(
        r"^    ([\d,]+) events/s x (\d+) bytes x (\d+) days x (\d) = ([\d.]+) TB$", TEXT, re.MULTILINE
    )[0]
    seconds = int(days) * 24 * 3600
    assert round(int(rate.replace(",", "")) * int(size) * seconds * int(replicas) / 1e12, 1) == float(total)


def test_every_link_leads_somewhere() -> None:
    """Files and sections that the page links to exist."""
    for target, section in re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", TEXT):
        text = (PAGE.parent / target).read_text(encoding="utf-8")
        headings = {
            re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in re.findall(r"^#+ (.*)$", text, re.M)
        }
        assert not section or section in headings, f"{target}#{section}"
