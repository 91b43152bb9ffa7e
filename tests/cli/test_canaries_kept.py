"""Secrets that are right, through commands that succeed: none is in an output, a log, a database or a topic."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from meshport.cli.output import FINDINGS
from meshport.cli.session import state_file
from meshport.kafka.acls import ANY_NAME, CLUSTER, Acl, ClusterAcls, Resource
from meshport.kafka.logins import Logins
from meshport.local.cluster import Cluster
from meshport_registry import Settings, running
from tests.cli.canaries import Canaries, command_lines
from tests.cli.canary_commands import LAST_DAY, NOWHERE, ORDERS, Looked, properties
from tests.cli.canary_commands import canaries as canaries  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.canary_commands import looked as looked  # noqa: PLC0414 - as above
from tests.cli.canary_commands import shop as shop  # noqa: PLC0414 - as above
from tests.cli.running import process
from tests.cli.shop import order
from tests.connections import client_settings, connection, read_properties
from tests.plain_http import plain_http
from tests.postgres_session import NewDatabase
from tests.postgres_session import postgres as postgres  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.registry.door import bearer, made_key
from tests.waiting import PATIENCE_S, patiently, wait_for


@dataclass
class Guarded:
    """A registry that asks for a key.

    Attributes:
        url: of it.
        database: its file.
        key: of an admin.
        key_id: the first part of the key, the user of HTTP basic.
        secret: the second part, the password.
    """

    url: str
    database: Path
    key: str
    key_id: str
    secret: str


@contextmanager
def guarded(folder: Path, canaries: Canaries, kafka: str) -> Iterator[Guarded]:
    """Run a registry that asks for a key, and look for the key too."""
    folder.mkdir()
    database = folder / "registry.db"
    key = made_key(f"sqlite:///{database}", "ann@example.org", "mesh-admins", "mesh-stewards", "shop")
    canaries.add(key.secret)
    with running(Settings(database=f"sqlite:///{database}", port=0, bootstrap_servers=kafka)) as url:
        yield Guarded(url, database, key.text, key.id, key.secret)


@pytest.fixture
def login(secured: Cluster, canaries: Canaries) -> Iterator[str]:
    """The password of the Kafka login `canary`, which may do everything while the test runs."""
    kafka = connection(secured.bootstrap_servers)
    password = canaries.new()
    Logins(kafka).set_password("canary", SecretStr(password))
    names: dict[Resource, str] = {
        "topic": ANY_NAME,
        "group": ANY_NAME,
        "transactional-id": ANY_NAME,
        "cluster": CLUSTER,
    }
    allowed = [Acl("User:canary", "all", kind, name) for kind, name in names.items()]
    acls = ClusterAcls(kafka)
    before = acls.all() or frozenset()
    acls.create(allowed)
    yield password
    acls.delete(
        (acls.all() or frozenset()) - before
    )  # those that `apply` created too: other tests have the same topics


SUCCEEDING: Final = (
    ("init", "../made"),
    ("new", "shop/cents", "--from", ORDERS, "--by", "customer", "--value", "cents=sum(cents)", "--owner", "shop"),
    ("check",),
    ("apply", "--plan"),
    ("apply",),
    ("publish", ORDERS, "--from", "orders.jsonl"),
    ("tail", ORDERS, "--from-beginning", "--until-end"),
    ("replay", ORDERS),
    ("run", "shop/cents"),
    ("quarantine", "shop/cents"),
    ("redrive", "shop/cents"),
    ("rebuild", "shop/cents"),
    ("generations", "shop/cents"),
    ("lag", "shop/cents"),
    ("observe", "--once"),
    ("dashboards",),
    ("export", "--format", "asyncapi", ORDERS),
    ("doctor",),
    ("resolve", ORDERS),
    ("search",),
    ("catalog", "--no-browser"),
    ("readers", ORDERS),
    ("lineage", ORDERS),
    ("schema", ORDERS),
    ("generate", ORDERS, "--language", "python", "--output", "clients"),
    ("json-schema",),
    ("gate check", "--history"),
    ("gate check", "--against", "PEER"),
    ("gate rules",),
    ("gate explain", "TYPE_MISMATCH"),
    ("gate waive", ORDERS, "--rule", "TYPE_MISMATCH", "--until", LAST_DAY, "--reason", "it is a test"),
    ("gate waivers",),
    ("gate revoke", "1"),
    ("policy explain", "ann@example.org", "read", "--on", ORDERS),
    ("access request", ORDERS, "--purpose", "to look at it", "--as", "bea@example.org"),
    ("access list",),
    ("access grant", "1", "--until", LAST_DAY),
    ("access enforce", "--once"),
    ("access drift",),
    ("access revoke", "1", "--reason", "it has ended"),
    ("access request", ORDERS, "--purpose", "to look again", "--as", "bea@example.org"),
    ("access refuse", "2", "--reason", "it has ended"),
    ("adopt", "raw", "--as", "shop/adopted", "--from-registry", "PEER", "--owner", "shop"),
    ("registry export", "copy", "--from", "PEER"),
    ("registry import", "--from", "PEER"),
    ("registry key create", "billing/invoices"),
    ("registry key list",),
    ("audit", "--verify"),
    ("login", "--token-file", "-"),
    ("logout",),
    ("deprecate", "shop/cents", "--on", LAST_DAY),
    ("retire", "shop/cents", "--yes"),
    ("drop", "shop/cents", "--yes"),
    ("up",),
)


def test_a_command_that_succeeds_leaves_no_secret(
    looked: Looked, canaries: Canaries, shop: Path, tmp_path: Path, secured: Cluster, login: str
) -> None:
    """The same with secrets that are right: neither the registries' databases nor any record at Kafka have one either."""
    file = tmp_path / "client.properties"
    ca = read_properties(secured.principals["operator"]).client_properties({})["ssl.ca.location"]
    with (
        command_lines(canaries) as seen,
        guarded(tmp_path / "own", canaries, secured.bootstrap_servers) as own,
        guarded(tmp_path / "peer", canaries, NOWHERE) as peer,
    ):
        prepare(peer, secured)
        for name, *words in SUCCEEDING:
            jaas = "org.apache.kafka.common.security.scram.ScramLoginModule"
            file.write_text(
                properties(
                    canaries,
                    **{
                        "bootstrap.servers": secured.bootstrap_servers,
                        "sasl.jaas.config": f'{jaas} required username="canary" password="{login}";',
                        "ssl.ca.location": ca,
                    },
                )
            )
            given = {
                "MESHPORT_REGISTRY": own.url,
                "MESHPORT_REGISTRY_TOKEN": own.key,
                "MESHPORT_REGISTRY_HEADER": f"X-Gateway: {canaries.new()}",
                "MESHPORT_KAFKA_CONFIG": str(file),
                "MESHPORT_PEER_AUTH": f"{peer.key_id}:{peer.secret}",
            }
            arguments = [peer.url if each == "PEER" else each for each in words]
            if name == "run":
                code = looked.interrupted(
                    name, *arguments, cwd=shop, ready=lambda: has_records(secured, "shop.cents."), **given
                )
            elif name == "up":
                made = tmp_path / "made"
                code = looked.interrupted(name, cwd=made, ready=state_file(made).exists, **given)
            else:
                code = looked.run(name, *arguments, **given, stdin=f"{own.key}\n".encode())
            # The broker has principals of its own, which no product needs.
            assert code == (FINDINGS if name == "access drift" else 0), name
        events = records(secured)
    looked.end()
    assert len(events) > 2
    assert not [each for each in events if canaries.found_in(each)]
    assert len(canaries.made) > 200
    assert not seen
    assert not canaries.files_with(tmp_path, besides=(file,))


def prepare(peer: Guarded, secured: Cluster) -> None:
    """Make a topic, and the subject of its values at another registry."""
    admin = AdminClient(client_settings(secured.bootstrap_servers))
    admin.create_topics([NewTopic("raw", 1)])["raw"].result(PATIENCE_S)
    with plain_http(peer.url) as http:
        http.headers.update(bearer(peer.key))
        assert http.put("/mode", json={"mode": "IMPORT"}).is_success
        body = {"schema": json.dumps(order({"name": "customer", "type": "string"})), "id": 5000, "version": 1}
        assert http.post("/subjects/raw-value/versions", json=body).is_success


def ends(secured: Cluster, begin: str = "") -> dict[tuple[str, int], int]:
    """The ends of the partitions that are not empty, of topics whose names begin so."""
    consumer = Consumer(client_settings(secured.bootstrap_servers) | {"group.id": "canaries"})
    try:
        partitions = [
            TopicPartition(name, each)
            for name, topic in consumer.list_topics(timeout=PATIENCE_S).topics.items()
            if name.startswith(begin)
            for each in topic.partitions
        ]
        found = {
            (each.topic, each.partition): consumer.get_watermark_offsets(each, timeout=PATIENCE_S)
            for each in partitions
        }
    finally:
        consumer.close()
    return {each: high for each, (low, high) in found.items() if high > low}


def has_records(secured: Cluster, begin: str) -> bool:
    """Whether topics whose names begin so have records; a topic that is being made has none."""
    try:
        return bool(ends(secured, begin))
    except KafkaException:
        return False


def records(secured: Cluster) -> list[bytes]:
    """All records of the cluster: keys, values and headers, those of aborted transactions too."""
    until = ends(secured)
    settings = {"group.id": "canaries", "enable.auto.commit": False, "isolation.level": "read_uncommitted"}
    consumer = Consumer(client_settings(secured.bootstrap_servers) | settings | {"auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(*each, OFFSET_BEGINNING) for each in until])
    found: list[bytes] = []
    try:
        for _ in patiently("all records"):
            for each in consumer.consume(1000, 0.1):
                assert each.error() is None, each.error()
                found.append(repr((each.key(), each.value(), each.headers())).encode())
            if all(one.offset >= until[one.topic, one.partition] for one in consumer.position(consumer.assignment())):
                break
    finally:
        consumer.close()
    return found


@pytest.mark.postgres
@pytest.mark.parametrize("where", ["a file", "a variable"])
def test_the_password_of_a_database_is_not_in_the_list_of_processes(
    canaries: Canaries, postgres: NewDatabase, tmp_path: Path, where: str
) -> None:
    """A registry runs on PostgreSQL with its password from a file, or the whole URL from a variable."""
    before, _, after = postgres().partition("://")[2].partition("@")
    user, secret = before.partition(":")[0], canaries.new()
    (tmp_path / "password").write_text(secret)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["registry", "serve", "--port", str(port)]
    given = {}
    if where == "a file":
        command += ["--database", f"postgresql://{user}:${{file:password}}@{after}"]
    else:
        given["MESHPORT_REGISTRY_DATABASE"] = f"postgresql://{user}:{secret}@{after}"
    with command_lines(canaries) as seen, process(*command, cwd=tmp_path, **given) as serve:
        with plain_http(f"http://127.0.0.1:{port}") as http:
            wait_for(lambda: serve.poll() is not None or answers(http), "the registry")
            assert http.get("/health").json()["database"] == "postgresql"
        serve.send_signal(signal.SIGINT)
        out, err = serve.communicate(timeout=PATIENCE_S)
    assert not canaries.found_in(out + err)
    assert not seen


def answers(http: httpx2.Client) -> bool:
    """Whether a registry answers."""
    try:
        return http.get("/health").is_success
    except httpx2.HTTPError:
        return False
