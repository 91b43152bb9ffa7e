"""docs/connections.md, executed on a secured Kafka: its files, commands and programs, and its table of what cannot be changed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from meshport.errors import KafkaConfigError
from meshport.kafka.properties import OWN, canonical
from meshport.kafka.sources import file_layer, kafka_config
from meshport.local.cluster import Cluster
from meshport_registry import Settings, running
from tests.connections import read_properties
from tests.docs.shell import shell
from tests.running import environment
from tests.waiting import PATIENCE_S

TEXT = (Path(__file__).parents[2] / "docs" / "connections.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
SERVERS = "kafka-1.example.com:9093,kafka-2.example.com:9093"


def blocks(kind: str) -> list[str]:
    """The page's blocks of a kind, in order."""
    return [text for each, text in BLOCKS if each == kind]


@pytest.mark.kafka
def test_the_commands_and_the_program_connect(secured_page: Cluster, tmp_path: Path) -> None:
    """The page's client.properties, meshport.toml and program reach a Kafka that asks for TLS and a login."""
    assert secured_page.embedded is not None
    file = secured_page.embedded.principals["operator"]
    login = read_properties(file).client_properties({})
    secrets = {"KAFKA_USER": login["sasl.username"], "KAFKA_PASSWORD": login["sasl.password"]}
    (tmp_path / "ca.pem").write_bytes(Path(login["ssl.ca.location"]).read_bytes())
    (tmp_path / "orders.jsonl").write_text('{"id": "a", "cents": 5}\n{"id": "b", "cents": 7}\n')
    properties, toml = (
        text.replace(SERVERS, secured_page.bootstrap_servers) for text in (blocks("properties")[0], *blocks("toml"))
    )
    (tmp_path / "client.properties").write_text(properties)
    with_file, with_toml = blocks("sh")
    shell("meshport init && meshport new shop/orders --sample orders.jsonl --key id", tmp_path)
    settings = Settings(database=f"sqlite:///{tmp_path / 'registry.db'}", port=0, bootstrap_servers="kafka.inside:9093")
    with running(settings) as url:
        mesh = {"MESHPORT_REGISTRY": url} | secrets
        shell(with_file, tmp_path, **mesh)
        (tmp_path / "meshport.toml").write_text(toml)
        (tmp_path / "client.properties").unlink()
        program = f"registry_url = {url!r}\norder = {{'id': 'c', 'cents': 9}}\n{blocks('python')[0]}"
        subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=tmp_path,
            env=environment() | secrets,
            timeout=PATIENCE_S,
            check=True,
        )
        shown = shell(with_toml, tmp_path, **mesh)
    assert sorted(json.loads(line)["data"]["id"] for line in shown.splitlines()) == ["a", "b", "c"]


def test_the_token_function_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's module gives the token of the file that the page's properties name."""
    (tmp_path / "tokens.py").write_text(blocks("python")[1])
    (tmp_path / "token").write_text("a.b.c\n")
    file = tmp_path / "client.properties"
    file.write_text(blocks("properties")[1].replace("/var/run/secrets/kafka/token", str(tmp_path / "token")))
    monkeypatch.chdir(tmp_path)
    found = kafka_config([file_layer(file, {})]).client_properties({})
    token, ends = found["oauth_cb"](found["sasl.oauthbearer.config"])
    assert token == "a.b.c"
    assert ends > 0


def test_the_table_has_what_cannot_be_changed(tmp_path: Path) -> None:
    """Each property of the table is refused, and each property that is refused is in the table."""
    table = TEXT.partition("## What cannot be changed")[2]
    named = {
        name
        for row in table.splitlines()
        for name in re.findall(r"`([a-z.]+)`", row.split("|")[1] if "|" in row else "")
    }
    assert {canonical(name) for name in named} == {name for name in OWN if "." in name or name == "partitioner"}
    for name in named:
        (tmp_path / "client.properties").write_text(f"{name}=other\n")
        with pytest.raises(KafkaConfigError, match=f"{name} cannot be changed"):
            file_layer(tmp_path / "client.properties", {})
