"""The secured embedded Kafka: who is let in, what a principal may do, and where its secrets are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from meshport.errors import BrokerUnavailable, KafkaError, MeshError
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.probe import ClusterProbe
from meshport.kafka.producer import Message, Producer
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import Transactions
from meshport.local.authority import certify, is_current
from meshport.local.cluster import Cluster, open_cluster
from meshport.local.jars import JarsUnavailable
from meshport.local.secured import SecuredListeners
from tests.connections import read_properties
from tests.waiting import PATIENCE_S

REFUSED_S = 2.0


@pytest.fixture(scope="module")
def files(secured: Cluster) -> dict[str, Path]:
    """The `client.properties` of each principal."""
    assert secured.embedded is not None
    return dict(secured.embedded.principals)


@pytest.fixture(scope="module")
def topic(secured: Cluster) -> str:
    """A topic with one event."""
    name = f"secured-{uuid4().hex[:8]}"
    Admin(secured.config).ensure_topic(name, 1)
    write(secured.config, name)
    return name


def write(kafka: KafkaConfig, topic: str) -> None:
    """Send one event; raises where it is refused."""
    with Producer(kafka) as producer:
        producer.deliver([Message(topic, None, b"value")], timeout_s=PATIENCE_S)


def read(kafka: KafkaConfig, topic: str) -> None:
    """Read an event without a group; raises where that is refused."""
    with Consumer(kafka) as consumer:
        consumer.assign({TopicPartition(topic, 0): 0})
        while not consumer.read(1, 0.5):
            pass


def join(kafka: KafkaConfig, topic: str, group: str) -> None:
    """Read an event as a member of a group; raises where that is refused."""
    with Consumer(kafka, group=group) as consumer:
        consumer.subscribe(topic, on_assign=lambda numbers: dict.fromkeys(numbers, 0), on_revoke=lambda _: None)
        while not consumer.read(1, 0.5):
            pass


def transact(kafka: KafkaConfig, name: str) -> None:
    """Write in a transaction; raises where that is refused."""
    with closing(Transactions(kafka, name)) as transactions:
        transactions.start()


def create(kafka: KafkaConfig, topic: str) -> None:
    """Create a topic; raises where that is refused."""
    Admin(kafka).ensure_topic(f"{topic}-{uuid4().hex[:8]}", 1)


def change(kafka: KafkaConfig, topic: str) -> None:
    """Change a topic's settings; raises where that is refused."""
    Admin(kafka).set_config(topic, {"retention.ms": "-1"})


def grow(kafka: KafkaConfig, topic: str) -> None:
    """Add a partition; raises where that is refused."""
    admin = Admin(kafka)
    admin.add_partitions(topic, admin.partitions()[topic] + 1)


ATTEMPTS: dict[str, Callable[[KafkaConfig, str], None]] = {
    "write": write,
    "read": read,
    "join a group": lambda kafka, topic: join(kafka, topic, f"dashboard-{topic}"),
    "join a processor's group": lambda kafka, topic: join(kafka, topic, f"meshport.process.{topic}"),
    "take a transactional id": lambda kafka, topic: transact(kafka, f"mine-{topic}"),
    "take a processor's transactional id": lambda kafka, topic: transact(kafka, f"meshport.process.{topic}"),
    "create a topic": create,
    "add partitions": grow,
    "change settings": change,
}
ALLOWED = {
    "producer": {"write"},
    "reader": {"read", "join a group", "join a processor's group"},
    "processor": {
        "write",
        "read",
        "join a processor's group",
        "take a processor's transactional id",
        "create a topic",
        "add partitions",
    },
    "operator": set(ATTEMPTS),
}


@pytest.mark.parametrize("principal", ALLOWED)
def test_a_principal_may_do_what_its_acls_say(files: dict[str, Path], topic: str, principal: str) -> None:
    """A producer writes, a reader reads, a processor does both under names of its own, an operator everything; no more."""
    kafka = read_properties(files[principal])
    found = set()
    for name, attempt in ATTEMPTS.items():
        with suppress(MeshError):
            attempt(kafka, topic)
            found.add(name)
    assert found == ALLOWED[principal]


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param({"security.protocol": "SASL_SSL", "sasl.password": "guessed"}, id="wrong password"),
        pytest.param({"security.protocol": "SASL_SSL", "sasl.username": "nobody"}, id="unknown principal"),
        pytest.param({"security.protocol": "SSL"}, id="no login"),
    ],
)
def test_a_stranger_is_not_let_in(secured: Cluster, stranger: dict[str, str]) -> None:
    """Nobody gets as far as the cluster's metadata without the password of a principal."""
    login = {name: value for name, value in secured.config.properties.items() if not name.startswith("sasl")}
    if stranger["security.protocol"] == "SASL_SSL":
        login = {**secured.config.properties}
    with pytest.raises(KafkaError):
        ClusterProbe(KafkaConfig(secured.bootstrap_servers, login | stranger)).look(REFUSED_S)


def test_a_client_without_tls_is_not_let_in(secured: Cluster) -> None:
    """A client that speaks no TLS gets no answer."""
    with pytest.raises(BrokerUnavailable):
        ClusterProbe(KafkaConfig(secured.bootstrap_servers)).look(REFUSED_S)


def test_another_authority_is_not_trusted(secured: Cluster, tmp_path: Path) -> None:
    """A client that trusts another authority does not send its password."""
    other = tmp_path / "other.pem"
    other.write_bytes(certify("other", "127.0.0.1").authority)
    with pytest.raises(KafkaError):
        ClusterProbe(
            KafkaConfig(secured.bootstrap_servers, {**secured.config.properties, "ssl.ca.location": str(other)})
        ).look(REFUSED_S)


def test_secrets_are_in_the_files_of_their_principals_only(secured: Cluster, files: dict[str, Path]) -> None:
    """The files are the user's alone; no password is in the brokers' settings, logs or command lines, or in what is shown."""
    kafka = secured.embedded
    assert kafka is not None
    passwords = [read_properties(file).properties["sasl.password"].get_secret_value() for file in files.values()]
    assert len(set(passwords)) == len(files)
    private = [path for path in (kafka.data_dir / "security").iterdir() if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    assert (kafka.data_dir / "security").stat().st_mode & 0o777 == 0o700
    node = kafka.data_dir / "node-1"
    shown = [(node / name).read_text() for name in ("server.properties", "server.log", "console.log")]
    shown += [Path(f"/proc/{pid}/cmdline").read_text() for pid in kafka.pids.values()]
    shown += [repr(secured), secured.describe()]
    assert not [text[:200] for text in shown for password in passwords if password in text]


def test_a_directory_keeps_its_logins_and_its_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that is used again has the same passwords and certificates; new certificates come before the old ones end."""
    first = SecuredListeners(tmp_path).config("k:1").properties
    for principal in ("producer", "reader", "processor", "operator"):
        file = tmp_path / "security" / f"{principal}.properties"
        file.write_text(f"security.protocol=SASL_SSL\nsasl.password=secret of {principal}\n")
    authority = tmp_path / "security" / "ca.pem"
    made = authority.read_bytes()
    again = SecuredListeners(tmp_path).config("k:1").properties
    assert again["sasl.password"] == SecretStr("secret of operator") != first["sasl.password"]
    assert authority.read_bytes() == made
    assert is_current(made)
    monkeypatch.setattr("meshport.local.authority._RENEWED_BEFORE_END", timedelta(days=366))
    SecuredListeners(tmp_path)
    assert authority.read_bytes() != made


def test_no_stand_in_takes_the_place_of_a_secured_kafka(tmp_path: Path, closed_port: int) -> None:
    """Where the jars cannot be had, a secured Kafka is refused: the in-memory cluster has neither TLS nor logins."""
    nowhere = f"http://127.0.0.1:{closed_port}"
    with (
        pytest.raises(JarsUnavailable),
        open_cluster(None, cache_dir=tmp_path, repository=nowhere, listeners=SecuredListeners),
    ):
        pass
