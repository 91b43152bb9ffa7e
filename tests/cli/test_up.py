"""`meshport up`: a whole mesh by one command, and nothing left of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from meshport.access import ClusterAcls
from meshport.address import Address
from meshport.cli.session import open_clusters
from meshport.errors import BrokerUnavailable
from meshport.grants import AccessRequest, GrantApproval
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.probe import ClusterProbe
from meshport.local.cluster import Cluster
from meshport.registry import Registry
from tests.cli.running import Run, process
from tests.connections import read_properties
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka

ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "order_id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
PRODUCT = """
address: mesh://shop/orders
id: 0d0fd8c2-9a0e-4b0c-9c0d-111111111111
archetype: source-aligned
description: orders
owner: shop
outputPorts:
  - {name: events, key: order_id, time: at, partitions: 1}
"""


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that name this folder: brokers, registry, guardians."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has just ended
        if str(folder) in command:
            found.append(command)
    return found


@pytest.fixture
def started(kafka_cache: Path, tmp_path: Path) -> Callable[..., tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """Start `meshport up --json` in an empty folder; the process and the line that it wrote when ready."""

    def start(*options: str) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
        up = process("up", "--json", *options, cwd=tmp_path, MESHPORT_CACHE=str(kafka_cache))
        assert up.stdout is not None
        line = up.stdout.readline()
        if not line:
            _, err = up.communicate(timeout=PATIENCE_S)
            pytest.fail(err.decode())
        return up, json.loads(line)

    return start


def test_up_runs_until_interrupted(
    started: Callable[..., tuple[subprocess.Popen[bytes], dict[str, Any]]], cli: Run, tmp_path: Path
) -> None:
    """In an empty folder it runs Kafka and the registry alone, writes one line, is found by other commands, and ends at once."""
    up, facts = started("--metrics", "0")
    with up:
        assert facts["broker"].startswith("Apache Kafka")
        metrics = httpx2.get(f"{facts['metrics_url']}/metrics", trust_env=False).text
        assert {'process="up"', 'process="registry"'} <= set(re.findall(r'process="\w+"', metrics))
        where = f"{facts['metrics_url']}/ready"
        wait_for(lambda: httpx2.get(where, trust_env=False).status_code == 200, "every part to be ready")
        ready = httpx2.get(where, trust_env=False)
        assert {each["name"] for each in ready.json()["parts"]} == {"registry", "observe"}
        assert Admin(KafkaConfig(facts["bootstrap_servers"])).brokers() == 1
        assert httpx2.get(f"{facts['registry_url']}/health", trust_env=False).json()["status"] == "ok"
        found = cli("search", "--json")  # without a name: the mesh that runs here
        assert "mesh://mesh/changes" in [each["address"] for each in found.lines]
        changes = cli("tail", "mesh/changes", "--from-beginning", "--limit", "1", "--json")
        assert [each["data"]["summary"] for each in changes.lines] == ["mesh://mesh/changes is registered"]
        second = cli("up")
        assert second.code == 2
        assert "a mesh runs here already" in second.err
        assert processes_of(tmp_path)
        up.send_signal(signal.SIGINT)
        out, err = up.communicate(timeout=PATIENCE_S)
    assert (up.returncode, out) == (0, b"")
    assert b"Traceback" not in err
    assert processes_of(tmp_path) == []
    assert cli("search").code == 3, "nobody looks for a mesh that has ended"


def test_nothing_is_left_when_it_is_killed(
    started: Callable[..., tuple[subprocess.Popen[bytes], dict[str, Any]]], cli: Run, tmp_path: Path
) -> None:
    """After kill -9 its brokers and registry end by themselves, and the folder is free for the next one."""
    up, _ = started()
    with up:
        os.kill(up.pid, signal.SIGKILL)
    wait_for(lambda: not processes_of(tmp_path), lambda: str(processes_of(tmp_path)))
    assert cli("search").code == 3


def test_a_secured_mesh_has_a_login_for_each_principal(
    started: Callable[..., tuple[subprocess.Popen[bytes], dict[str, Any]]], cli: Run, tmp_path: Path
) -> None:
    """Only who has a password is let in; it is in the file of its principal, by which commands and processes log in."""
    project = tmp_path / "producers" / "shop" / "orders"
    project.mkdir(parents=True)
    (tmp_path / "processors").mkdir()
    (tmp_path / "schemas" / "shop").mkdir(parents=True)
    (tmp_path / "schemas" / "shop" / "orders.events.avsc").write_text(json.dumps(ORDER))
    (project / "product.yaml").write_text(PRODUCT)
    (tmp_path / "orders.jsonl").write_text('{"order_id": "o1", "at": "2026-01-01T00:00:00Z"}\n')
    up, facts = started("--secure")
    with up:
        files = {name: Path(file) for name, file in facts["config"].items()}
        assert set(files) == {"producer", "reader", "processor", "operator", "shop.orders"}
        passwords = {name: file.read_text().partition("sasl.password=")[2].split()[0] for name, file in files.items()}
        with pytest.raises(BrokerUnavailable):
            ClusterProbe(KafkaConfig(facts["bootstrap_servers"])).look(1)
        assert cli("publish", "shop/orders", "--from", "orders.jsonl").code == 0, "as the operator"
        read = cli("replay", "shop/orders", MESHPORT_KAFKA_CONFIG=str(files["reader"]))
        assert (read.code, "o1" in read.out) == (0, True)
        refused = cli("publish", "shop/orders", "--from", "orders.jsonl", MESHPORT_KAFKA_CONFIG=str(files["reader"]))
        assert refused.code != 0
        assert "authorization failed" in refused.err
        grants_are_carried_out(facts)
        up.send_signal(signal.SIGINT)
        out, err = up.communicate(timeout=PATIENCE_S)
    assert up.returncode == 0
    shown = (out + err).decode() + json.dumps(facts) + refused.err
    assert not [name for name, password in passwords.items() if password in shown]


def grants_are_carried_out(facts: dict[str, Any]) -> None:
    """Grant access to a port, and revoke it, at the registry alone: the mesh's own process has Kafka follow."""
    acls = ClusterAcls(read_properties(Path(facts["config"]["operator"])))

    def let_in() -> bool:
        return any(each.principal == "User:billing.invoices" for each in acls.all() or ())

    with Registry(facts["registry_url"]) as registry:
        wanted = AccessRequest(address=Address("shop", "orders"), reader="billing/invoices", purpose="invoices")
        asked = registry.access.request(wanted)
        registry.access.grant(asked.id, GrantApproval(until=datetime.now(UTC) + timedelta(days=1)))
        wait_for(let_in, "the ACLs of the grant")
        registry.access.revoke(asked.id, "enough")
        wait_for(lambda: not let_in(), "the end of the grant's ACLs")


def test_commands_log_in_to_a_kafka_that_was_given_by_a_file(
    started: Callable[..., tuple[subprocess.Popen[bytes], dict[str, Any]]],
    secured: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`up --kafka-config FILE` starts no broker, and other commands in its folder connect by the file."""
    file = tmp_path / "client.properties"
    file.write_bytes(secured.principals["operator"].read_bytes())
    up, facts = started("--kafka-config", str(file))
    with up:
        assert facts["config"] == {"operator": str(file)}
        assert facts["bootstrap_servers"] == secured.bootstrap_servers
        monkeypatch.chdir(tmp_path)
        assert open_clusters(None).default == secured.config
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=PATIENCE_S)
    assert up.returncode == 0


def test_a_running_kafka_is_not_secured(cli: Run) -> None:
    """`--secure` starts a Kafka, so that it is refused beside a Kafka that runs already."""
    refused = cli("up", "--secure", "--kafka", "127.0.0.1:9")
    assert refused.code == 2
    assert "runs already" in refused.err
