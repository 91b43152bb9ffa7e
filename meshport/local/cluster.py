"""Opens a Kafka cluster: the given one, else an embedded Apache Kafka, else librdkafka's in-memory cluster.

A given broker that does not answer is an error: a user who names a cluster does not want to write to another one. A jar
that is refused is an error too. Only where the jars of Apache Kafka cannot be downloaded, for want of a network on the
first start, the in-memory cluster is used, and the caller is notified of its limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from meshport.errors import BrokerUnavailable, KafkaError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.in_memory import in_memory_cluster
from meshport.kafka.probe import ClusterProbe
from meshport.local.embedded import EmbeddedKafka
from meshport.local.jars import JarsUnavailable, Progress
from meshport.local.listeners import Listeners, PlainListeners

__all__ = ["IN_MEMORY_LIMITS", "Cluster", "open_cluster"]

ANSWER_SECONDS = 10.0

IN_MEMORY_LIMITS = (
    "librdkafka's in-memory cluster stands in for Kafka: topics make themselves with 4 partitions and cannot be "
    "created as declared, about 5 MB a partition are retained, nothing is compacted, records of aborted transactions "
    "are visible, and everything is gone when this process ends"
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Kafka cluster that answers.

    Attributes:
        config: the connection to it.
        kind: `given`, `embedded` (Apache Kafka, started here) or `in-memory` (librdkafka's).
        embedded: the brokers, where they were started here.
    """

    config: KafkaConfig
    kind: Literal["given", "embedded", "in-memory"]
    embedded: EmbeddedKafka | None
    _what: str

    @property
    def principals(self) -> Mapping[str, Path]:
        """A `client.properties` for each principal of a secured cluster that was started here, by name."""
        return self.embedded.principals if self.embedded else {}

    @property
    def bootstrap_servers(self) -> str:
        """The bootstrap servers, as Kafka's clients take them: `host:port[,host:port...]`."""
        return self.config.bootstrap_servers

    def describe(self) -> str:
        """Return one line for people on the cluster: kind, version, brokers and servers."""
        return self._what


@contextmanager
def open_cluster(
    given: KafkaConfig | None,
    *,
    brokers: int = 1,
    cache_dir: Path,
    data_dir: Path | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    base_port: int | None = None,
    java_home: str | None = None,
    repository: str | None = None,
    listeners: Callable[[Path], Listeners] = PlainListeners,
) -> Iterator[Cluster]:
    """Open the first Kafka that works; one that was started here stops with the context.

    Args:
        given: the connection to a running cluster; None starts one.
        brokers: how many brokers to start, 1 to 3.
        cache_dir: Meshport's cache directory of the user.
        data_dir: directory of a started cluster's data, which is kept; None uses a temporary one.
        progress: called for each jar that is downloaded.
        notice: called with a line for people when the in-memory cluster is used: why, and its limits.
        base_port: client port of the first broker; free ports by default.
        java_home: the value of JAVA_HOME.
        repository: URL of a Maven repository to download from; jgo's default without it.
        listeners: of a started cluster, see `EmbeddedKafka`.

    Yields:
        The cluster.

    Raises:
        BrokerUnavailable: the given cluster does not answer, or a broker could not be started.
        JarRejected: a jar of Apache Kafka is not the locked one.
        JarsUnavailable: listeners other than the plain ones were asked for, and the jars cannot be downloaded.
    """
    if given is not None:
        yield _given(given)
        return
    kafka = EmbeddedKafka(
        cache_dir=cache_dir,
        brokers=brokers,
        data_dir=data_dir,
        base_port=base_port,
        java_home=java_home,
        progress=progress,
        repository=repository,
        listeners=listeners,
    )
    try:
        kafka.start()
    except JarsUnavailable as error:
        if listeners is not PlainListeners:
            raise  # the in-memory cluster has neither TLS nor logins
        if notice is not None:
            notice(f"{error.message}; {IN_MEMORY_LIMITS}")
    else:
        try:
            yield _embedded(kafka)
        finally:
            kafka.stop()
        return
    with in_memory_cluster(brokers) as config:
        what = f"in-memory stand-in for Kafka (librdkafka), {_count(brokers)}, {config.bootstrap_servers}"
        yield Cluster(config, "in-memory", None, what)


def _embedded(kafka: EmbeddedKafka) -> Cluster:
    servers = kafka.bootstrap_servers
    secured = ", TLS, SCRAM-SHA-512 and ACLs" if kafka.principals else ""
    what = (
        f"Apache Kafka {kafka.version}, embedded, {_count(kafka.brokers)}, {servers} "
        f"(KRaft, Java {kafka.java_major}{secured})"
    )
    return Cluster(kafka.config, "embedded", kafka, what)


def _given(config: KafkaConfig) -> Cluster:
    servers = config.bootstrap_servers
    try:
        state = ClusterProbe(config).require(ANSWER_SECONDS)
    except KafkaError as error:
        raise BrokerUnavailable(
            f"the given Kafka at {servers} did not answer within {ANSWER_SECONDS:.0f} s: {error.message}",
            servers=servers,
            code=error.code,
            hint=error.hint or "check the address and that the broker runs, or leave the address out to start one",
        ) from error
    what = f"Kafka at {servers}, given, {_count(state.brokers)}, cluster id {state.cluster_id or 'unknown'}"
    return Cluster(config, "given", None, what)


def _count(brokers: int) -> str:
    return f"{brokers} broker" if brokers == 1 else f"{brokers} brokers"
