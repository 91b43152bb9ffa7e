"""The connections of a project: meshport.toml, a client.properties, the environment and an argument, later ones first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshport.binding import Binding
from meshport.errors import KafkaConfigError, ProjectError, UnknownCluster
from meshport.kafka.clusters import KafkaClusters
from meshport.kafka.config import KafkaConfig
from meshport.project.clusters import kafka_clusters

ONE = """
[clusters.main]
bootstrap.servers = "toml:9093"
security.protocol = "sasl_ssl"
sasl.mechanism = "PLAIN"
sasl.username = "of-toml"
client.id = "of-toml"
"""


def binding(cluster: str | None, servers: str = "registry:9092") -> Binding:
    """A binding that names a cluster."""
    return Binding(
        address="mesh://tests/rows/events",
        bootstrap_servers=servers,
        cluster=cluster,
        topic="tests.rows",
        partitions=1,
        type="Row",
        subject="tests.rows-value",
        schema_id=1,
        fingerprint="0" * 64,
        schema_text='"string"',
        owner="tests",
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, with the working directory in a folder of it."""
    (tmp_path / "producers/shop").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "producers/shop")
    return tmp_path


def test_later_sources_win_property_by_property(project: Path) -> None:
    """meshport.toml, the file, the environment and the argument each keep what no later one sets."""
    (project / "meshport.toml").write_text(ONE)
    file = project / "client.properties"
    file.write_text("bootstrap.servers=file:9093\nsasl.username=of-file\nclient.id=of-file\n")
    environment = {"MESHPORT_KAFKA_CONFIG": str(file), "MESHPORT_KAFKA_CLIENT_ID": "of-environment"}
    clusters = kafka_clusters(environment=environment)
    assert clusters.default == clusters.named["main"]
    assert clusters.default.bootstrap_servers == "file:9093"
    assert clusters.default.properties == {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "of-file",
        "client.id": "of-environment",
    }
    assert kafka_clusters(environment={}).default.bootstrap_servers == "toml:9093"
    assert kafka_clusters(bootstrap_servers="argument:9093", environment=environment).to(
        binding("main")
    ) == KafkaConfig("argument:9093", clusters.default.properties)


def test_another_protocol_takes_a_login_away(project: Path) -> None:
    """A later source may choose a connection without the login, or without the TLS, that an earlier one describes."""
    (project / "meshport.toml").write_text(ONE)
    plain = kafka_clusters(environment={"MESHPORT_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}).default
    assert plain.properties == {"security.protocol": "PLAINTEXT", "client.id": "of-toml"}
    (project / "client.properties").write_text("security.protocol=ssl\nssl.ca.pem=-----BEGIN C-----a-----END C-----\n")
    own = kafka_clusters(config_file=project / "client.properties", environment={}).default
    assert set(own.properties) == {"security.protocol", "ssl.ca.pem", "client.id"}
    with pytest.raises(KafkaConfigError, match=r"sasl\.password has no effect with security\.protocol=ssl"):
        kafka_clusters(config_file=project / "client.properties", environment={"MESHPORT_KAFKA_SASL_PASSWORD": "x"})


def test_an_argument_is_preferred_to_the_variable_that_names_a_file(project: Path) -> None:
    """`--kafka-config` takes the place of MESHPORT_KAFKA_CONFIG."""
    for name in ("one", "two"):
        (project / name).write_text(f"client.id={name}\n")
    clusters = kafka_clusters(config_file=project / "two", environment={"MESHPORT_KAFKA_CONFIG": str(project / "one")})
    assert clusters.default.properties == {"client.id": "two"}


def test_of_several_clusters_each_binding_gets_its_own(project: Path) -> None:
    """A file and the environment describe the cluster `default` alone, which bindings without a name lead to."""
    (project / "meshport.toml").write_text(
        '[clusters.default]\nclient.id = "d"\n[clusters.eu]\n"bootstrap.servers" = "eu:9093"\n[clusters.us]\n'
    )
    clusters = kafka_clusters(environment={"MESHPORT_KAFKA_CLIENT_RACK": "r"})
    assert clusters.to(binding(None)) == KafkaConfig("registry:9092", {"client.id": "d", "client.rack": "r"})
    assert clusters.to(binding("default")) == clusters.to(binding(None))
    assert clusters.to(binding("eu")) == KafkaConfig("eu:9093")
    assert clusters.to(binding("us")) == KafkaConfig("registry:9092")


def test_without_a_file_every_binding_is_reached_at_its_own_servers(project: Path) -> None:
    """A laptop needs no configuration."""
    assert kafka_clusters(project, environment={}) == KafkaClusters()
    assert kafka_clusters(project, environment={}).to(binding("any")) == KafkaConfig("registry:9092")


def test_a_cluster_without_a_connection_is_not_reached_through_another_clusters_servers() -> None:
    """A default with servers of its own is another cluster than one that a binding names and nobody else does."""
    clusters = KafkaClusters(KafkaConfig("eu:9093"), {"eu": KafkaConfig("eu:9093")})
    with pytest.raises(UnknownCluster, match=r"Kafka cluster us, only to eu") as caught:
        clusters.to(binding("us"))
    assert (caught.value.cluster, caught.value.known) == ("us", ("eu",))
    assert "[clusters.us] in meshport.toml" in str(caught.value)
    assert KafkaClusters(KafkaConfig(), clusters.named).to(binding("us")) == KafkaConfig("registry:9092")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("[clusters.main\n", ProjectError, r"meshport\.toml cannot be read: .*line 1"),
        ("[cluster.main]\n", ProjectError, r"(?s)cluster is nothing .* did you mean clusters\?"),
        ("clusters = 1\n", ProjectError, "clusters is a table of tables"),
        (
            "[clusters.main]\nsasl.pasword = 1\n",
            KafkaConfigError,
            r"meshport\.toml \[clusters\.main\]: .* sasl\.pasword",
        ),
        ("[clusters.main]\nacks = 1\n", KafkaConfigError, r"meshport\.toml \[clusters\.main\]: acks cannot be changed"),
        ('[clusters.main]\nsasl.password = "x"\n', KafkaConfigError, "is a secret"),
        (
            '[clusters.main]\nsecurity.protocol = "sasl_ssl"\nsasl.password = "${env:NONE}"\n',
            KafkaConfigError,
            r"\$\{env:NONE\} leads to a variable that is not set",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(project: Path, text: str, kind: type[Exception], message: str) -> None:
    """The error names the file, and the cluster or the line."""
    (project / "meshport.toml").write_text(text)
    with pytest.raises(kind, match=message):
        kafka_clusters(environment={})


def test_paths_begin_at_the_folder_of_the_file(project: Path) -> None:
    """A command may be run in any folder of the project."""
    (project / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (project / "meshport.toml").write_text('[clusters.main]\nsecurity.protocol = "ssl"\nssl.ca.location = "ca.pem"\n')
    found: Any = kafka_clusters(environment={}).default.properties["ssl.ca.location"]
    assert Path(found) == project / "ca.pem"
