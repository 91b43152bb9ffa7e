"""Topics as people run them: replicas, settings and compression, planned and applied on the session's broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshport.errors import KafkaError, TopicError
from meshport.kafka.admin import Admin
from meshport.kafka.admins import ClusterAdmins
from meshport.kafka.config import KafkaConfig
from meshport.kafka.one_machine import OneMachineAdmin
from meshport.kafka.topic import Topic
from meshport.product.topic_settings import NAMES
from tests.mesh_session import Mesh
from tests.project.declared import Declared


@pytest.fixture
def declared(tmp_path: Path, mesh: Mesh) -> Declared:
    """An empty project over the session's mesh."""
    return Declared(tmp_path, mesh)


def found(declared: Declared) -> Topic:
    """Return the topic of the project's product."""
    topic = declared.admin.topic(declared.topic())
    assert topic is not None
    return topic


def test_the_settings_that_config_knows_are_those_of_the_broker(declared: Declared) -> None:
    """The names of topic settings are exactly those that the embedded Kafka has."""
    declared.write()
    declared.apply()
    topic = found(declared)
    assert {*topic.config, *topic.defaults} == NAMES


def test_each_change_is_planned_from_what_is_to_what_is_declared(declared: Declared) -> None:
    """A plan names the value of a setting now and then, a default as such; applying it once leaves nothing to do."""
    declared.write()
    declared.apply()
    config = "      segment.ms: 3600000\n      max.message.bytes: 2000000\n"
    declared.write(port=f"    retention: 7d\n    compression: zstd\n    config:\n{config}")
    default = "(the cluster's default)"
    assert declared.plan()[0] == (
        f"change topic {declared.topic()}: compression.type producer {default} -> zstd, "
        f"max.message.bytes 1048588 {default} -> 2000000, retention.ms -1 -> 604800000, "
        f"segment.ms 604800000 {default} -> 3600000"
    )
    declared.apply()
    assert found(declared).config == {
        "cleanup.policy": "delete",
        "compression.type": "zstd",
        "max.message.bytes": "2000000",
        "retention.ms": "604800000",
        "segment.ms": "3600000",
    }
    assert declared.plan() == []


def test_a_setting_that_is_declared_no_more_gets_the_clusters_default(declared: Declared) -> None:
    """What the registered product declared and the present one does not is removed from the topic; other settings stay."""
    declared.write(port="    compression: lz4\n    config: {segment.ms: 3600000, flush.ms: 60000}\n")
    declared.apply()
    declared.admin.set_config(declared.topic(), {"index.interval.bytes": "8192"})
    declared.write(port="    config: {flush.ms: 60000}\n")
    default = "the cluster's default"
    said = declared.plan()
    assert said[0] == (
        f"change topic {declared.topic()}: compression.type lz4 -> {default}, segment.ms 3600000 -> {default}"
    )
    assert any("config.segment.ms: 3600000 is dropped" in each for each in said)
    declared.apply()
    assert {*found(declared).config} == {"cleanup.policy", "retention.ms", "flush.ms", "index.interval.bytes"}
    assert declared.plan() == []


@pytest.mark.parametrize(
    ("keys", "line", "reason"),
    [
        ("    replicationFactor: 3\n", 10, "replication factor of 3 cannot be reached"),
        ("    config: {segment.bytes: 1}\n", 10, "Invalid value 1 for configuration segment.bytes"),
        ("    config: {min.insync.replicas: 2}\n", 10, "has 1 replica: no event could be stored"),
        ("    config: {confluent.tier.enable: true}\n", 10, "Unknown topic config name: confluent.tier.enable"),
    ],
)
def test_a_topic_that_the_cluster_would_refuse_is_refused_in_the_plan(
    declared: Declared, keys: str, line: int, reason: str
) -> None:
    """More replicas than brokers, and what a broker does not take, end the plan with file and line; nothing is made."""
    declared.write("derived", reads=f"{declared.domain}/source")
    declared.write(port=keys)
    with pytest.raises(TopicError) as refused:
        declared.apply()
    assert f"source/product.yaml:{line}: " in refused.value.message
    assert reason in refused.value.message
    assert declared.admin.topic(declared.topic()) is None
    assert declared.admin.topic(declared.topic("derived")) is None


def test_replicas_of_the_connection_are_asked_for_and_refused_where_brokers_are_missing(declared: Declared) -> None:
    """A mesh that needs three replicas gets no topic with one while brokers are away; what a port declares wins."""
    kafka = declared.admin.kafka
    three = Admin(KafkaConfig(kafka.bootstrap_servers, {**kafka.properties, "replication.factor": 3}))
    assert (three.replicas(None), three.replicas(1), declared.admin.replicas(None)) == (3, 1, 1)
    with pytest.raises(KafkaError, match="replication factor of 3 cannot be reached"):
        three.ensure_topic(declared.topic(), 2)
    assert declared.admin.topic(declared.topic()) is None


@pytest.mark.parametrize(
    ("keys", "line", "reason"),
    [
        ("    config: {segment.bytes: 1}\n", 10, "Invalid value 1 for configuration segment.bytes"),
        ("    config: {min.insync.replicas: 2}\n", 10, "has 1 replica: no event could be stored"),
    ],
)
def test_a_change_that_kafka_cannot_make_is_refused_in_the_plan(
    declared: Declared, keys: str, line: int, reason: str
) -> None:
    """A setting that the broker refuses, and more replicas in sync than there are, end the plan; the topic stays as it was."""
    declared.write()
    declared.apply()
    before = found(declared)
    declared.write(port=f"{keys}    retention: 7d\n")
    with pytest.raises(TopicError) as refused:
        declared.apply()
    assert f"source/product.yaml:{line}: " in refused.value.message
    assert reason in refused.value.message
    assert found(declared) == before


def test_another_number_of_replicas_names_the_command_that_changes_it(declared: Declared) -> None:
    """Kafka changes the number of replicas by a reassignment alone: the refusal shows its command and file."""
    declared.write(port="    replicationFactor: 1\n")
    declared.apply()
    assert declared.plan() == []
    declared.write(port="    replicationFactor: 2\n")
    with pytest.raises(TopicError, match=r"has 1 replica of each partition, .*product\.yaml:10 declares 2") as refused:
        declared.plan()
    hint = str(refused.value.hint)
    assert f"kafka-reassign-partitions.sh --bootstrap-server {declared.servers} --reassignment-json-file FILE" in hint
    assert f'"partitions":[{{"topic":"{declared.topic()}","partition":0,"replicas":[1,2]}},...]' in hint
    assert f"meshport rebuild {declared.domain}/source --partitions 2 --swap always" in hint


def test_a_setting_of_the_topic_that_would_lose_events_is_set_back(declared: Declared) -> None:
    """What every port promises is planned where a topic breaks it: no limit of size, no unclean leader, its own timestamps."""
    declared.write()
    declared.apply()
    wrong = {
        "retention.bytes": "1000000",
        "unclean.leader.election.enable": "true",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "3",
    }
    declared.admin.set_config(declared.topic(), wrong)
    assert declared.plan() == [
        f"change topic {declared.topic()}: message.timestamp.type LogAppendTime -> CreateTime, "
        "min.insync.replicas 3 -> 1, retention.bytes 1000000 -> -1, unclean.leader.election.enable true -> false"
    ]
    declared.apply()
    assert declared.plan() == []


def test_a_sealed_topic_stays_sealed(declared: Declared) -> None:
    """While a copy seals a topic, applying its product does not let publishers write into it again."""
    declared.write(port="    config: {max.message.bytes: 2000000}\n")
    declared.apply()
    declared.admin.set_config(declared.topic(), {"max.message.bytes": "100"})
    assert declared.plan() == []


def test_a_mesh_on_one_machine_makes_do_with_its_brokers(declared: Declared) -> None:
    """What is declared for three brokers runs on a mesh of one: the plan shows how many replicas there are of those declared."""
    declared.admins = ClusterAdmins(declared.admins.kafka, OneMachineAdmin)
    declared.write(port="    replicationFactor: 3\n    config: {min.insync.replicas: 2}\n")
    made = "(2 partitions, 1 replica of the 3 declared, cleanup.policy=delete, min.insync.replicas=1, retention.ms=-1)"
    assert f"make topic {declared.topic()} {made}" in declared.plan()
    declared.apply()
    assert declared.plan() == []
