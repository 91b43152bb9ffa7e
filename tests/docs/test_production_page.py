"""docs/production.md, executed from its top to its end: on a secured Kafka, PostgreSQL, HTTPS, keys and tokens."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx2
import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from pydantic import SecretStr

from meshport.kafka.admin import Admin
from meshport.kafka.logins import Logins
from meshport.local.cluster import Cluster
from meshport.product.lines import utc_today
from meshport.registry import Registry
from meshport.registry.login import RegistryLogin
from tests.connections import connection, read_properties
from tests.docs.shell import shell
from tests.postgres_session import NewDatabase
from tests.postgres_session import postgres as postgres  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.registry.certificates import Authority
from tests.registry.issuer import issuer
from tests.running import environment
from tests.waiting import PATIENCE_S, wait_for

TEXT = (Path(__file__).parents[2] / "docs" / "production.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+(?: \w+)?)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
# The embedded Kafka of the tests has principals with rights to every topic besides.
STANDING = tuple(f"the default cluster: unexpected User:{each} " for each in ("processor", "producer", "reader"))
SERVERS = "kafka-1.example.com:9093,kafka-2.example.com:9093"


def databases(postgres: NewDatabase, *names: str) -> list[str]:
    """Return the URLs of new, empty databases of the session's server."""
    base = postgres().partition("&options")[0]
    with psycopg.connect(base, autocommit=True) as server:
        for name in names:
            server.execute(f"CREATE DATABASE {name}".encode())
    return [base.replace("/postgres?", f"/{name}?") for name in names]


@contextmanager
def serving(block: str, folder: Path, url: str, authority: Authority, **more: str) -> Iterator[None]:
    """Run the block that serves the registry until the context ends."""
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(["bash", "-c", f"exec {block}"], cwd=folder, env=environment() | more, stderr=log)
    try:
        with httpx2.Client(verify=RegistryLogin(ca=authority.file).tls(), trust_env=False) as http:
            wait_for(lambda: _healthy(http, url))
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _healthy(http: httpx2.Client, url: str) -> bool:
    try:
        return http.get(f"{url}/health").is_success
    except httpx2.TransportError:
        return False


@pytest.mark.kafka
@pytest.mark.postgres
def test_a_platform_team_gets_what_the_page_says(secured_page: Cluster, postgres: NewDatabase, tmp_path: Path) -> None:
    """Every block of the page runs, in order, and the mesh is as the page says: least rights, an audit, a backup that works."""
    assert secured_page.embedded is not None
    operator = read_properties(secured_page.embedded.principals["operator"]).client_properties({})
    (tmp_path / "kafka-ca.pem").write_bytes(Path(operator["ssl.ca.location"]).read_bytes())
    (tmp_path / "orders.jsonl").write_text('{"id": "a", "cents": 5}\n{"id": "b", "cents": 7}\n')
    (tmp_path / "orders.password").write_text("of-the-orders")
    Logins(connection(secured_page.bootstrap_servers)).set_password("shop.orders", SecretStr("of-the-orders"))
    authority = Authority(tmp_path, "registry-ca")
    server = authority.server()
    server.certificate.rename(tmp_path / "registry.crt")
    server.key.rename(tmp_path / "registry.key")
    (tmp_path / "clients-ca.pem").write_bytes(authority.file.read_bytes())
    database, restored = databases(postgres, "page", "restored")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"https://127.0.0.1:{port}"
    variables = {
        "DATABASE": database,
        "RESTORED": restored,
        "KAFKA_USER": operator["sasl.username"],
        "KAFKA_PASSWORD": operator["sasl.password"],
        "MESHPORT_OIDC_CLIENT_SECRET": "of-the-catalog",
        "LAST_DAY": str(utc_today() + timedelta(days=90)),
    }
    with issuer() as provider:
        (tmp_path / "bea.token").write_text(provider.token(sub="bea@example.org", groups=["shop-team"]))

        def here(text: str) -> str:
            for name, meant in (
                (SERVERS, secured_page.bootstrap_servers),
                ("https://login.example.com", provider.url),
                ("https://registry.example.com:8443", url),
                ("--host 0.0.0.0 --port 8443", f"--port {port}"),
            ):
                text = text.replace(name, meant)
            return text

        blocks = iter(BLOCKS)
        for kind, text in blocks:
            if kind == "toml":
                (tmp_path / "meshport.toml").write_text(here(text))
            elif kind == "sh":
                shell(here(text), tmp_path, **variables)
            else:
                assert kind == "sh serve"
                break
        with serving(here(text), tmp_path, url, authority, **variables):
            shown: dict[str, str] = {}
            for kind, text in blocks:
                assert kind == "sh"
                if "adopt legacy.payments" in text:
                    _fill("legacy.payments", secured_page, url, authority, tmp_path)
                shown[text] = shell(here(text), tmp_path, **variables)
            (audit,) = (shown[text] for text in shown if "audit --what" in text)
            assert [line.split()[2] for line in audit.splitlines()[1:-1]] == ["bea@example.org"]
            (noted,) = (tmp_path / "noted-hashes").read_text().split()
            assert audit.splitlines()[-1] == noted
            payments = [json.loads(line)["data"] for line in (tmp_path / "payments.jsonl").read_text().splitlines()]
            assert sorted(each["id"] for each in payments) == ["p1", "p2", "p3"]
            drift = (tmp_path / "drift.log").read_text().splitlines()
            assert [each for each in drift if not each.startswith(STANDING)] == []
            _check_rights(url, authority, tmp_path)


def _fill(topic: str, secured: Cluster, url: str, authority: Authority, folder: Path) -> None:
    """Write records to a topic as programs do that know nothing of the mesh: by Confluent's serializer, with a key."""
    secret = (folder / "ann.key").read_text().strip()
    key_id, _, password = secret.removeprefix("mpk_").partition("_")
    settings = {"url": url, "ssl.ca.location": str(authority.file), "basic.auth.user.info": f"{key_id}:{password}"}
    kafka = connection(secured.bootstrap_servers)
    Admin(kafka).ensure_topic(topic, 2, {"retention.ms": "-1"})
    schema = json.dumps({"type": "record", "name": "Payment", "fields": [{"name": "id", "type": "string"}]})
    with SchemaRegistryClient(settings) as registry:
        serializer = AvroSerializer(registry, schema)
        producer = Producer({**kafka.client_properties({}), "partitioner": "murmur2_random"})
        for number in ("p1", "p2", "p3"):
            value = serializer({"id": number}, SerializationContext(topic, MessageField.VALUE))
            producer.produce(topic, value, number)
        assert producer.flush(PATIENCE_S) == 0


def _check_rights(url: str, authority: Authority, folder: Path) -> None:
    """Check that the process of the orders has its key's rights, and that the chain of the audit is whole at the end."""
    admin = RegistryLogin(token=SecretStr((folder / "ann.key").read_text().strip()), ca=authority.file)
    with Registry(url, login=admin) as registry:
        assert {each.caller for each in registry.audit.entries()} >= {"ann@example.org", "bea@example.org"}
        registry.audit.verify((folder / "noted-hashes").read_text().split()[0])
