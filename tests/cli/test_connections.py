"""Commands take the connection to Kafka from files and the environment, and name what cannot be used without its secrets."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from uuid import uuid4

import pytest

from meshport.cli import VERBS, load_verb
from meshport.cli.session import STATE, leads_elsewhere, only_mesh, open_clusters, state_file, topics_clusters
from meshport.kafka.config import KafkaConfig
from tests.cli.running import Run, on
from tests.connections import clusters_file
from tests.mesh_session import Mesh

CANARY = "c4n4ry-s3cr3t"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def project(cli: Run, tmp_path: Path) -> Path:
    """An empty project, the working directory."""
    assert cli("init").code == 0
    return tmp_path


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("as_json", [False, True])
def test_a_wrong_property_ends_a_command_with_its_place(cli: Run, tmp_path: Path, as_json: bool) -> None:
    """The exit code is 2; the error has file and line and the nearest right name, and no secret."""
    (tmp_path / "client.properties").write_text(f"client.id=a\nsasl.pasword={CANARY}\n")
    named = ["--registry", NOWHERE, "--kafka-config", "client.properties"]
    ended = cli("apply", *named, *(["--json"] if as_json else []))
    assert (ended.code, ended.out) == (2, "")
    assert CANARY not in ended.err
    if as_json:
        (error,) = (json.loads(line) for line in ended.err.splitlines())
        assert error["error"] == "KafkaConfigError"
        assert error["facts"] == {"property": "sasl.pasword", "source": "client.properties:2"}
        assert error["hint"] == "did you mean sasl.password?"
    else:
        assert "error: client.properties:2: Kafka's client has no property sasl.pasword" in ended.err


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"MESHPORT_KAFKA_ACKS": "1"}, "MESHPORT_KAFKA_ACKS: acks cannot be changed"),
        ({"MESHPORT_KAFKA_SASL_PASSWORD": CANARY}, "has no effect with security.protocol=plaintext"),
        ({"MESHPORT_KAFKA_CONFIG": "none.properties"}, "none.properties cannot be read"),
        ({"MESHPORT_KAFKA_SASL_PASWORD": CANARY}, "did you mean sasl.password?"),
    ],
)
def test_a_wrong_variable_ends_a_command_with_its_name(cli: Run, environment: dict[str, str], shown: str) -> None:
    """The exit code is 2, and no value is shown."""
    ended = cli("apply", "--registry", NOWHERE, **environment)
    assert (ended.code, ended.out) == (2, "")
    assert shown in ended.err
    assert CANARY not in ended.err


def taking_a_config() -> set[str]:
    """The commands that take a connection to Kafka, without those that start a mesh."""
    found = set()
    for verb in VERBS:
        command = load_verb(verb)
        members = {f"{verb} {name}": each for name, each in getattr(command, "commands", {}).items()} | {verb: command}
        found |= {name for name, each in members.items() if any(one.name == "kafka_config" for one in each.params)}
    return found - {"up", "demo"}


def test_no_command_shows_a_secret(cli: Run, mesh: Mesh, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every command that takes a connection is given secrets of every kind; outputs and logs, at their finest, have none."""
    address = f"d{uuid4().hex[:8]}/things"
    assert cli("init").code == cli("new", address).code == 0
    assert cli("apply", "--kafka", mesh.bootstrap_servers, **on(mesh)).code == 0
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "happened_at": "2026-01-01T00:00:00Z"}\n')
    secrets = [f"{CANARY}-{number}" for number in range(6)]
    (tmp_path / "password").write_text(secrets[0])
    (tmp_path / "client.properties").write_text(
        "bootstrap.servers=127.0.0.1:1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n"
        "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="u" password="{secrets[1]}";\nsasl.oauthbearer.client.secret={secrets[2]}\n'
        f"ssl.key.password=${{file:password}}\nbasic.auth.user.info=u:{secrets[3]}\n"
        f"ssl.keystore.key=-----BEGIN PRIVATE KEY-----{secrets[4]}-----END PRIVATE KEY-----\n"
    )
    arguments = {
        "apply": ["--kafka", "127.0.0.1:1"],
        "publish": [address, "--from", "rows.jsonl"],
        "tail": [address, "--until-end"],
        "replay now": [address],
        "replay start": [address, "--purpose", "to look"],
        "replay resume": ["0" * 32],
        "archive run": [address, "--once"],
        "archive verify": [address],
        "archive restore": [address, "--to", "again"],
        "query": [address],
        "quarantine": [address],
        "redrive": [address],
        "lag": [address],
        "observe": ["--once"],
        "readers": [address, "--observed"],
        "retire": [address, "--plan"],
        "relay": ["--database", f"sqlite:///{tmp_path / 'none.db'}"],
        "registry relay": ["--database", f"sqlite:///{tmp_path / 'none.db'}"],
        "doctor": [],
        "mcp": [],
        "rebuild": [address],
        "recount": [address],
        "run": [address],
        "drop": [address],
        "gate check": ["--history"],
        "access drift": [],
        "access enforce": ["--once"],
        "access grant": ["1", "--until", "2099-12-31"],
        "access revoke": ["1", "--reason", "it has ended"],
        "adopt": ["orders", "--as", "shop/orders"],
    }
    assert set(arguments) == taking_a_config()
    given = {
        "MESHPORT_REGISTRY": mesh.url,
        "MESHPORT_KAFKA_SASL_OAUTHBEARER_ASSERTION_PRIVATE_KEY_PASSPHRASE": secrets[5],
    }
    caplog.set_level(logging.DEBUG)
    for name, more in arguments.items():
        ended = cli(*name.split(), *more, "--kafka-config", "client.properties", **given)
        # Without grants, requests or promised service levels these need no Kafka.
        assert ended.code != 0 or name in {"access enforce", "mcp", "observe"}, name
        assert CANARY not in f"{ended.out}{ended.err}{caplog.text}", name


@pytest.mark.usefixtures("project")
def test_apply_finds_its_kafka_in_a_file(
    cli: Run, mesh: Mesh, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`bootstrap.servers` of meshport.toml is the Kafka in which topics are made; a property of Java's alone is named."""
    assert cli("new", f"d{uuid4().hex[:8]}/things").code == 0
    (tmp_path / "client.properties").write_text("value.serializer=org.Example\nclient.id=of-file\n")
    clusters, secrets = clusters_file({"main": mesh.kafka})
    (tmp_path / "meshport.toml").write_text(clusters)
    ended = cli("apply", "--plan", "--registry", mesh.url, "--kafka-config", "client.properties", **secrets)
    assert ended.code == 0, ended.err
    assert "1 of 1 product would change" in ended.err
    assert [
        each for each in caplog.messages if "client.properties: without effect" in each and "value.serializer" in each
    ]


def test_the_mesh_that_runs_here_is_not_reached_through_meshport_toml(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own Kafka and its operator's login are used by commands that ask its registry; another registry has meshport.toml."""
    monkeypatch.setenv("MESHPORT_KAFKA_CLIENT_RACK", "r")
    (project / "meshport.toml").write_text('[clusters.main]\nbootstrap.servers = "production:9093"\n')
    operator = project / STATE / "operator.properties"
    production = KafkaConfig("production:9093", {"client.rack": "r"})
    assert open_clusters(None).default == production
    with only_mesh(project):
        operator.write_text("client.id=operator\n")
        facts = {
            "bootstrap_servers": "here:9092",
            "registry_url": NOWHERE,
            "pid": 1,
            "config": {"operator": str(operator)},
        }
        state_file(project).write_text(json.dumps(facts))
        own = KafkaConfig(properties={"client.id": "operator", "client.rack": "r"})
        assert open_clusters(None).default == own
        assert open_clusters(None, registry=f"{NOWHERE}/").default == own
        assert open_clusters(None, registry=NOWHERE).named == {}
        assert open_clusters(None, registry="https://registry").default == production
        assert topics_clusters(None, registry=None, servers=None).default == own.at("here:9092")
        assert topics_clusters(None, registry=None, servers="given:9092").default == own.at("given:9092")


@pytest.mark.parametrize(
    "variables",
    [
        {"MESHPORT_KAFKA_BOOTSTRAP_SERVERS": "production:9092", "MESHPORT_KAFKA_CLIENT_RACK": "r"},
        {"MESHPORT_KAFKA_CONFIG": "production.properties"},
        {"MESHPORT_KAFKA": "production:9092"},
    ],
)
def test_variables_for_another_kafka_do_not_win_over_the_mesh_that_runs_here(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], variables: dict[str, str]
) -> None:
    """A command that asks its registry uses its Kafka, and says what it does not use; an argument and another registry win."""
    (project / "production.properties").write_text("bootstrap.servers=production:9092\nclient.id=${env:NAME}\n")
    (project / "given.properties").write_text("client.id=${env:NAME}\n")
    monkeypatch.setenv("NAME", "me")
    for name, each in variables.items():
        monkeypatch.setenv(name, each)
    named = variables.get("MESHPORT_KAFKA_CONFIG")
    file, servers = Path(named) if named else None, variables.get("MESHPORT_KAFKA")
    with only_mesh(project):
        state_file(project).write_text(
            json.dumps({"bootstrap_servers": "here:9092", "registry_url": NOWHERE, "pid": 1})
        )
        capfd.readouterr()
        assert topics_clusters(file, registry=None, servers=servers).default == KafkaConfig("here:9092")
        said = " ".join(capfd.readouterr().err.split())
        assert f"{', '.join(sorted(variables))}: not used, for production:9092" in said
        assert "the mesh that runs here has its own Kafka, here:9092" in said
        assert leads_elsewhere(servers, None) == (servers is not None)
        given = topics_clusters(Path("given.properties"), registry=None, servers="given:9092").default
        assert given == KafkaConfig("given:9092", {"client.id": "me"})
        other = topics_clusters(file, registry="https://registry", servers=servers).default
        assert other.bootstrap_servers == "production:9092"
        assert not leads_elsewhere(servers, "https://registry")
        for name in variables:
            monkeypatch.delenv(name)
        monkeypatch.setenv("MESHPORT_KAFKA_BOOTSTRAP_SERVERS", "here:9092")
        capfd.readouterr()
        assert open_clusters(None).default == KafkaConfig("here:9092")
        assert capfd.readouterr().err == ""
