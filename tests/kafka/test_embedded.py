"""The embedded broker: real Apache Kafka, started, killed, restarted and kept."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from meshport.address import Address
from meshport.errors import BrokerUnavailable, JarRejected, TopicError
from meshport.kafka.admin import Admin
from meshport.kafka.topic import Topic
from meshport.local.embedded import EmbeddedKafka
from meshport.local.jars import read_lock
from meshport.local.kraft import broker_settings, free_ports, is_free
from meshport.product import OutputPort
from meshport.project.topic_plan import DeclaredPort, make_change, topic_change
from meshport.rebuild.generation_topic import make_generation_topic
from tests.connections import client_settings, connection
from tests.kafka.processes import ended, python, words
from tests.waiting import PATIENCE_S, wait_for


def create_topic(kafka: EmbeddedKafka, name: str, partitions: int = 1) -> None:
    """Create a topic with the cluster's own defaults for replicas."""
    admin = AdminClient(client_settings(kafka.bootstrap_servers))
    admin.create_topics([NewTopic(name, partitions)])[name].result(PATIENCE_S)


def read_all(kafka: EmbeddedKafka, topic: str, count: int) -> list[bytes]:
    """The values of the first `count` records of a topic."""
    consumer = Consumer(
        {
            **client_settings(kafka.bootstrap_servers),
            "group.id": "reader",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    while len(values) < count:
        batch = consumer.consume(count - len(values), PATIENCE_S)
        assert batch, f"only {len(values)} of {count} records arrived"
        values.extend(value for message in batch if isinstance(value := message.value(), bytes))
    consumer.close()
    return values


def config_of(kafka: EmbeddedKafka, kind: ResourceType, name: str, key: str) -> str:
    """One effective setting of a broker or topic."""
    admin = AdminClient(client_settings(kafka.bootstrap_servers))
    resource = ConfigResource(kind, name)
    return str(admin.describe_configs([resource])[resource].result(PATIENCE_S)[key].value)


@pytest.mark.kafka
def test_kept_directory_keeps_records_and_address(jars: Path, tmp_path: Path) -> None:
    """A cluster stopped and started on the same directory has its records, cluster id and ports; the next one too."""
    folder = tmp_path / "data"
    with EmbeddedKafka(cache_dir=jars, data_dir=folder) as kafka:
        first = kafka.bootstrap_servers
        create_topic(kafka, "kept")
        producer = Producer({"bootstrap.servers": first})
        producer.produce("kept", b"record")
        assert producer.flush(PATIENCE_S) == 0
        identity = AdminClient({"bootstrap.servers": first}).list_topics(timeout=PATIENCE_S).cluster_id
    assert folder.is_dir()
    with EmbeddedKafka(cache_dir=jars, data_dir=folder) as kafka:
        assert kafka.bootstrap_servers == first
        assert AdminClient({"bootstrap.servers": first}).list_topics(timeout=PATIENCE_S).cluster_id == identity
        assert read_all(kafka, "kept", 1) == [b"record"]
    with (
        socket.create_server(("127.0.0.1", int(first.rpartition(":")[2]))),
        EmbeddedKafka(cache_dir=jars, data_dir=folder) as kafka,
    ):
        assert kafka.bootstrap_servers != first
        assert read_all(kafka, "kept", 1) == [b"record"]


def test_directory_of_another_number_of_brokers_is_refused(jars: Path, tmp_path: Path) -> None:
    """Replicas and quorum are placed on the brokers that were formatted; another number is an error, not a new cluster."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "cluster.json").write_text('{"cluster_id": "x", "brokers": 1, "kafka": "4.3.1", "ports": [29092]}')
    with pytest.raises(BrokerUnavailable, match=r"holds a cluster of 1 broker\(s\), and 3 were asked for"):
        EmbeddedKafka(cache_dir=jars, brokers=3, data_dir=folder).start()


@pytest.mark.kafka
def test_nothing_is_left_of_a_temporary_cluster(jars: Path) -> None:
    """After the context its process has ended, its port is free and its directory removed."""
    with EmbeddedKafka(cache_dir=jars) as kafka:
        (pid,) = kafka.pids.values()
        folder = kafka.data_dir
        port = int(kafka.bootstrap_servers.rpartition(":")[2])
        assert folder.is_dir()
        assert not is_free(port)
    assert ended(pid, 0)
    assert kafka.pids == {}
    assert not folder.exists()
    assert is_free(port)


@pytest.mark.kafka
def test_nothing_is_left_when_the_parent_is_killed(jars: Path) -> None:
    """Kill -9 of the process that started Kafka ends the broker and removes its temporary directory."""
    source = """
import sys, time
from pathlib import Path
from meshport.local.embedded import EmbeddedKafka
kafka = EmbeddedKafka(cache_dir=Path(sys.argv[1])).start()
process = next(iter(kafka._processes.values()))
print(process.pid, process.guardian_pid, kafka.data_dir, flush=True)
time.sleep(600)
"""
    with python(source, jars) as parent:
        broker, guardian, folder = words(parent)
        assert Path(folder).is_dir()
        parent.kill()
        assert ended(int(guardian))
        assert ended(int(broker), 0)
    assert not Path(folder).exists()


def test_taken_port_is_named(jars: Path) -> None:
    """An explicit port that is taken is an error that names it, before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(BrokerUnavailable, match=f"port {port} of 127.0.0.1 is taken by another process"):
            EmbeddedKafka(cache_dir=jars, base_port=port).start()


@pytest.mark.kafka
def test_port_lost_between_choice_and_start_is_chosen_anew(jars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that another process takes before the broker binds it costs a second attempt, not an error."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        choices = iter([(taken,)])
        monkeypatch.setattr(
            "meshport.local.embedded.free_ports", lambda count, others: next(choices, None) or free_ports(count, others)
        )
        with EmbeddedKafka(cache_dir=jars) as kafka:
            assert str(taken) not in kafka.bootstrap_servers
            assert len(kafka.pids) == 1


@pytest.mark.kafka
def test_broker_that_dies_while_starting_shows_its_own_words(jars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error holds exit code and log lines of the broker, and no process remains."""
    monkeypatch.setattr(
        "meshport.local.embedded.broker_settings", lambda brokers: broker_settings(brokers) | {"num.io.threads": -1}
    )
    kafka = EmbeddedKafka(cache_dir=jars)
    with pytest.raises(BrokerUnavailable, match=r"broker 1 ended while starting \(exit code 1\)") as raised:
        kafka.start()
    assert "Invalid value -1 for configuration num.io.threads" in raised.value.message
    assert 2 <= len(raised.value.message.splitlines()) <= 16
    assert kafka.pids == {}


def test_start_is_bounded(jars: Path) -> None:
    """A start that exceeds its timeout is given up, and no process remains."""
    kafka = EmbeddedKafka(cache_dir=jars, start_timeout=0.01)
    with pytest.raises(BrokerUnavailable, match=r"0 of 1 embedded brokers answered within 0 s"):
        kafka.start()
    assert kafka.pids == {}


@pytest.mark.kafka
def test_broker_without_a_quorum_is_given_up(jars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that runs and never answers is an error that counts the answers and shows its log."""
    absent = {"controller.quorum.voters": "1@127.0.0.1:1,2@127.0.0.1:2,3@127.0.0.1:3"}
    monkeypatch.setattr("meshport.local.embedded.broker_settings", lambda brokers: broker_settings(brokers) | absent)
    kafka = EmbeddedKafka(cache_dir=jars, start_timeout=8)
    with pytest.raises(BrokerUnavailable, match="0 of 1 embedded brokers answered within 8 s; their log says:\n2"):
        kafka.start()
    assert kafka.pids == {}


def test_tampered_jar_is_never_run(cache_copy: Path) -> None:
    """The jars are checked before a process is started."""
    lock = read_lock()
    (cache_copy / "jars" / lock.directory / lock.jars[-1].path).write_bytes(b"tampered")
    kafka = EmbeddedKafka(cache_dir=cache_copy)
    with pytest.raises(JarRejected, match=lock.jars[-1].coordinate):
        kafka.start()
    assert kafka.pids == {}


@pytest.mark.parametrize("brokers", [0, 4])
def test_number_of_brokers_is_one_to_three(brokers: int, tmp_path: Path) -> None:
    """More than three brokers on one machine prove nothing; fewer than one is none."""
    with pytest.raises(ValueError, match=f"brokers must be 1 to 3, not {brokers}"):
        EmbeddedKafka(cache_dir=tmp_path, brokers=brokers)


def test_three_brokers_replicate_everything(kafka3: EmbeddedKafka) -> None:
    """With three brokers every topic, internal ones too, has three replicas, two of which must be in sync."""
    assert len(kafka3.pids) == 3
    assert len({(kafka3.data_dir / f"node-{node}" / "data").resolve() for node in kafka3.pids}) == 3
    create_topic(kafka3, "replicated", partitions=2)
    made = known_topic(Admin(connection(kafka3.bootstrap_servers)), "replicated")
    assert (made.partitions, made.replication, made.setting("min.insync.replicas")) == (2, 3, "2")
    for key in ("offsets.topic.replication.factor", "transaction.state.log.replication.factor"):
        assert config_of(kafka3, ResourceType.BROKER, "1", key) == "3"


def declared_port(name: str, **keys: Any) -> DeclaredPort:
    """Return an output port that no file declares, with the topic of a name."""
    product = Address.parse("mesh://tests/replicas/events@1")
    return DeclaredPort(OutputPort.model_validate({"partitions": 2, **keys}), product, name, frozenset(), Path("p"), 0)


def known_topic(admin: Admin, name: str) -> Topic:
    """Return a topic that was made just now, once the broker that is asked knows of it."""
    found: list[Topic] = []

    def known() -> bool:
        with suppress(TopicError):
            found.extend(filter(None, [admin.topic(name)]))
        return bool(found)

    wait_for(known, f"{name} to be known")
    return found[0]


@pytest.mark.parametrize(
    ("keys", "replicas", "in_sync"),
    [
        ({}, 3, "2"),
        ({"replicationFactor": 1}, 1, "1"),
        ({"replicationFactor": 2}, 2, "1"),
        ({"replicationFactor": 2, "config": {"min.insync.replicas": 2}}, 2, "2"),
        ({"replicationFactor": 3, "config": {"min.insync.replicas": 3}}, 3, "3"),
    ],
)
def test_a_topic_is_kept_on_as_many_brokers_as_its_port_declares(
    kafka3: EmbeddedKafka, keys: dict[str, Any], replicas: int, in_sync: str
) -> None:
    """By default three replicas, of which two store an event; of one or two declared ones, one, whatever the brokers' default."""
    name = f"declared-{replicas}-{in_sync}-{len(keys)}"
    admin, port = Admin(connection(kafka3.bootstrap_servers)), declared_port(name, **keys)
    planned = topic_change(port, admin)
    assert planned is not None
    assert f"(2 partitions, {replicas} replica" in str(planned)
    make_change(planned, port, admin)
    made = known_topic(admin, name)
    assert (made.replication, made.setting("min.insync.replicas")) == (replicas, in_sync)

    def is_as_declared() -> bool:
        with suppress(TopicError):
            return topic_change(port, admin) is None
        return False

    wait_for(is_as_declared, f"{name} to be known to every broker")


def test_another_number_of_replicas_is_refused_and_a_new_generation_has_it(kafka3: EmbeddedKafka) -> None:
    """More replicas than brokers, and another number for an existing topic, are refused; a rebuilt generation has the new one."""
    admin, before = Admin(connection(kafka3.bootstrap_servers)), declared_port("moved", replicationFactor=1)
    with pytest.raises(TopicError, match="replication factor of 4 cannot be reached because only 3 broker"):
        topic_change(declared_port("unmade", replicationFactor=4), admin)
    planned = topic_change(before, admin)
    assert planned is not None
    make_change(planned, before, admin)
    after = declared_port("moved", replicationFactor=3)
    with pytest.raises(TopicError, match="has 1 replica of each partition, p declares 3") as refused:
        topic_change(after, admin)
    assert '"partition":0,"replicas":[1,2,3]' in str(refused.value.hint)
    assert make_generation_topic(admin, "moved-2", 2, known_topic(admin, "moved"), after.port)
    moved = known_topic(admin, "moved-2")
    assert (moved.replication, moved.setting("min.insync.replicas")) == (3, "2")


def test_a_new_topic_keeps_its_promises_whatever_the_cluster_s_defaults_are(kafka3: EmbeddedKafka) -> None:
    """Where a default of the brokers would lose events, the topic gets a setting of its own."""
    risky = {"log.retention.bytes": "1000000", "unclean.leader.election.enable": "true"}
    set_defaults(kafka3, {name: (value, AlterConfigOpType.SET) for name, value in risky.items()})
    admin, port = Admin(connection(kafka3.bootstrap_servers)), declared_port("kept")

    def are_set() -> bool:
        return all(
            config_of(kafka3, ResourceType.BROKER, str(broker), name) == value
            for broker in kafka3.pids
            for name, value in risky.items()
        )

    try:
        wait_for(are_set, "the brokers to have their defaults")
        planned = topic_change(port, admin)
        assert planned is not None
        make_change(planned, port, admin)
        kept = {"retention.bytes": "-1", "unclean.leader.election.enable": "false"}

        def is_kept() -> bool:
            return kept.items() <= known_topic(admin, "kept").config.items()

        wait_for(is_kept, "the settings to be known to every broker")
    finally:
        set_defaults(kafka3, dict.fromkeys(risky, ("", AlterConfigOpType.DELETE)))


def set_defaults(kafka: EmbeddedKafka, settings: dict[str, tuple[str, AlterConfigOpType]]) -> None:
    """Change the defaults of each broker."""
    entries = [ConfigEntry(name, value, incremental_operation=how) for name, (value, how) in settings.items()]
    brokers = [ConfigResource(ResourceType.BROKER, str(each), incremental_configs=entries) for each in kafka.pids]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for each in brokers:
        admin.incremental_alter_configs([each])[each].result(PATIENCE_S)


def test_killed_broker_loses_nothing_and_comes_back(kafka3: EmbeddedKafka) -> None:
    """Kill -9 of one of three brokers within 20,000 idempotent sends: all delivered once; it rejoins with its data."""
    create_topic(kafka3, "survives", partitions=3)
    producer = Producer(
        {
            **client_settings(kafka3.bootstrap_servers),
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "log_level": 0,
        }
    )  # fmt: skip - librdkafka's log of the lost connection is no news
    failed: list[KafkaError] = []
    delivered: list[int] = []

    def on_delivery(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error)
        else:
            delivered.append(message.offset() or 0)

    victim = 2
    try:
        for number in range(20_000):
            producer.produce("survives", str(number).encode(), partition=number % 3, on_delivery=on_delivery)
            producer.poll(0)
            if number == 7_000:
                while len(delivered) < 1_000:
                    producer.poll(1)
                kafka3.kill(victim)
                assert sorted(kafka3.pids) == [1, 3]
        assert producer.flush(PATIENCE_S) == 0
    finally:
        kafka3.restart(victim)
    assert failed == []
    assert len(delivered) == 20_000
    assert sorted(map(int, read_all(kafka3, "survives", 20_000))) == list(range(20_000))
    assert sorted(kafka3.pids) == [1, 2, 3]
    brokers = AdminClient(client_settings(kafka3.bootstrap_servers)).list_topics(timeout=PATIENCE_S).brokers
    assert sorted(brokers) == [1, 2, 3]


def test_running_broker_is_not_started_twice(kafka3: EmbeddedKafka) -> None:
    """Restart is for a killed broker; a running one, or a started cluster, is left alone."""
    before = kafka3.pids
    with pytest.raises(BrokerUnavailable, match="broker 1 runs already"):
        kafka3.restart(1)
    with pytest.raises(BrokerUnavailable, match="started already"):
        kafka3.start()
    assert kafka3.pids == before


@pytest.mark.kafka
def test_library_says_nothing(jars: Path) -> None:
    """Starting and stopping prints nothing, on stdout and on stderr: librdkafka's log neither."""
    source = f"""
from pathlib import Path
from meshport.local.embedded import EmbeddedKafka
with EmbeddedKafka(cache_dir=Path({os.fspath(jars)!r})): pass
"""
    answer = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert (answer.stdout, answer.stderr) == ("", "")
