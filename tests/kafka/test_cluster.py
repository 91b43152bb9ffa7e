"""Which Kafka `open_cluster` uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from confluent_kafka import Producer

from meshport.errors import BrokerUnavailable, JarRejected
from meshport.kafka.config import KafkaConfig
from meshport.local.cluster import IN_MEMORY_LIMITS, Cluster, open_cluster
from meshport.local.jars import read_lock


def test_embedded_broker_says_what_it_is(kafka: Cluster) -> None:
    """The session's Kafka is a real one, and its line names kind, version, brokers and address."""
    if kafka.kind == "embedded":
        assert re.fullmatch(
            r"Apache Kafka 4\.3\.1, embedded, 1 broker, 127\.0\.0\.1:\d+ \(KRaft, Java \d+\)", kafka.describe()
        )
    else:
        assert kafka.kind == "given"


def test_given_broker_is_used_as_it_is(kafka: Cluster, tmp_path: Path) -> None:
    """A given address wins, nothing is fetched or started, and its line has the number of brokers and the cluster id."""
    with open_cluster(kafka.config, cache_dir=tmp_path) as cluster:
        assert cluster.kind == "given"
        assert cluster.bootstrap_servers == kafka.bootstrap_servers
        assert re.search(r", given, \d brokers?, cluster id [\w-]{22}$", cluster.describe())
    assert list(tmp_path.iterdir()) == []


def test_given_broker_that_does_not_answer_is_an_error(
    closed_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named cluster is never silently replaced by another one."""
    monkeypatch.setattr("meshport.local.cluster.ANSWER_SECONDS", 0.5)
    with (
        pytest.raises(BrokerUnavailable, match=rf"given Kafka at 127.0.0.1:{closed_port} did not answer within"),
        open_cluster(KafkaConfig(f"127.0.0.1:{closed_port}"), cache_dir=tmp_path),
    ):
        pass


def test_in_memory_cluster_stands_in_where_jars_cannot_be_had(closed_port: int, tmp_path: Path) -> None:
    """Without network and cache the in-memory cluster is used; a notice has the reason and its limits, and it stores records."""
    notices: list[str] = []
    with open_cluster(
        None, brokers=2, cache_dir=tmp_path, repository=f"http://127.0.0.1:{closed_port}", notice=notices.append
    ) as cluster:
        assert cluster.kind == "in-memory"
        assert cluster.describe().startswith("in-memory stand-in for Kafka (librdkafka), 2 brokers, 127.0.0.1:")
        assert len(notices) == 1
        assert notices[0].endswith(IN_MEMORY_LIMITS)
        assert "could not be downloaded" in notices[0]
        producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
        producer.produce("a.topic", b"value")
        assert producer.flush(10) == 0


def test_refused_jar_is_an_error_and_no_reason_for_the_stand_in(closed_port: int, cache_copy: Path) -> None:
    """A tampered jar stops everything: it must not lead to another broker that seems to work."""
    lock = read_lock()
    jar = cache_copy / "jars" / lock.directory / lock.jars[0].path
    jar.write_bytes(b"tampered")
    with (
        pytest.raises(JarRejected),
        open_cluster(None, cache_dir=cache_copy, repository=f"http://127.0.0.1:{closed_port}"),
    ):
        pass
