"""docs/metrics.md: its blocks are executed, and its tables are the metrics that there are."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import yaml
from prometheus_client.metrics import MetricWrapperBase

from meshport.local.kraft import free_ports
from meshport.metrics import access, archive, levels, outbox, ports, process, rebuild, registry
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.schema import parse_schema
from tests.docs.tables import plain, tables
from tests.mesh_session import Mesh
from tests.running import environment
from tests.waiting import PATIENCE_S, wait_for

TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
FLIGHT = (
    '{"type":"record","name":"Departure","fields":[{"name":"origin","type":"string"},{"name":"delay","type":"int"}]}'
)
ASK = """
import urllib.request
text = urllib.request.urlopen("http://127.0.0.1:9102/metrics").read().decode()
print([line for line in text.splitlines() if "operations/departures" in line and "stored" in line and "_total" in line])
"""


def blocks(kind: str) -> list[str]:
    """The code blocks of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_each_metric_has_a_row() -> None:
    """The tables have each metric with its type, its labels and its help text, and no other."""
    rows = {
        each["metric"]: (each["type"], each["labels"], each["what it is"])
        for table in tables(TEXT)
        for each in table
        if "metric" in each and each["metric"] != "meshport_ready"
    }
    defined = {}
    for module in (ports, process, outbox, registry, rebuild, access, archive, levels):
        for each in vars(module).values():
            if isinstance(each, MetricWrapperBase):
                (family,) = each.describe()
                name = f"{family.name}_total" if family.type == "counter" else family.name
                labels = ", ".join(f"`{label}`" for label in each._labelnames)
                defined[name] = (family.type, plain(labels), family.documentation)
    assert rows == defined


def test_a_registry_is_served_and_ready(tmp_path: Path) -> None:
    """The page's registry answers at the page's URL, with its metrics beside."""
    (serve,), (ask,) = blocks("sh serve"), blocks("sh")
    port, metrics = free_ports(2, ())
    command = serve.replace("8081", str(port)).replace("9101", str(metrics))
    url = ask.split()[-1].replace("9101", str(metrics))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=tmp_path, env=environment(), stderr=log)
    try:
        with httpx2.Client(trust_env=False) as http:
            wait_for(lambda: _status(http, url) == 200)
            assert "meshport_registry_waiting_writes 0.0" in http.get(url.replace("/ready", "/metrics")).text
            assert _status(http, url.replace("/ready", "/health")) == 200
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _status(http: httpx2.Client, url: str) -> int:
    try:
        return http.get(url).status_code
    except httpx2.TransportError:
        return 0


def test_a_service_exposes_what_its_publisher_counts(in_memory_mesh: Mesh) -> None:
    """The page's program has the publisher's events among its metrics, without a line about them."""
    port = {"name": "events", "key": "origin"}
    product = Product.model_validate(
        {
            "address": "mesh://operations/departures",
            "id": "5bd0f3c2-7d0c-4b0f-8d3a-0d6f3f6f1d11",
            "archetype": "source-aligned",
            "description": "made by a test",
            "owner": "tests",
            "outputPorts": [port],
        }
    )
    in_memory_mesh.apply(ProjectProduct(product, in_memory_mesh.folder, {("events", 1): parse_schema(FLIGHT)}))
    (program,) = blocks("python")
    (free,) = free_ports(1, ())
    code = f"registry_url = {in_memory_mesh.url!r}\n{program}{ASK}".replace("9102", str(free))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 'outcome="stored"} 1.0' in done.stdout


def test_the_snippets_are_yaml() -> None:
    """Probes and scrapes of the page ask for paths that are served."""
    probes, scrapes = (yaml.safe_load(each) for each in blocks("yaml"))
    assert {each["httpGet"]["path"] for each in probes.values()} == {"/ready", "/health"}
    assert scrapes["scrape_configs"][0]["static_configs"]
