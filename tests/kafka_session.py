"""The Kafka of the test session: pytest fixtures and hooks, imported by `tests/conftest.py`.

`kafka` is one real broker for the whole session, `kafka3` three that can be killed. What the environment says:

    MESHPORT_KAFKA=HOST:PORT     `kafka` is that cluster; no answer from it is a failure
    MESHPORT_CACHE=DIR           where the embedded broker's jars are kept
    MESHPORT_REQUIRE_KAFKA=1     no real Kafka is a failure, not a skip

Without a given cluster it is the embedded one, and where that cannot be had a container, if Docker answers. It is never
librdkafka's mock cluster. Tests that ask for either fixture carry the marker `kafka`; the summary says which broker ran
and how many tests passed on it.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

import platformdirs
import pytest

from meshport.errors import BrokerUnavailable
from meshport.kafka.cluster import Cluster, open_cluster
from meshport.kafka.embedded import EmbeddedKafka

__all__ = [
    "kafka",
    "kafka3",
    "kafka_cache",
    "pytest_collection_modifyitems",
    "pytest_terminal_summary",
]

CONTAINER_IMAGE = "confluentinc/cp-kafka:7.9.2"  # testcontainers' start script knows Confluent's image only
FIXTURES = {"kafka", "kafka3"}

_ran = pytest.StashKey[list[str]]()
_on_kafka = pytest.StashKey[set[str]]()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Mark every test that asks for a Kafka fixture, so that `-m kafka` and the summary know them."""
    for item in items:
        if FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)
    yield  # -k and -m take their choice
    config.stash[_on_kafka] = {item.nodeid for item in items if item.get_closest_marker("kafka")}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which broker ran, and how many tests passed on it."""
    tests = config.stash.get(_on_kafka, set[str]())
    if not tests:
        return
    passed = sum(report.nodeid in tests for report in terminalreporter.stats.get("passed", ()))
    brokers = config.stash.get(_ran, []) or ["brokers of the tests' own, or none"]
    terminalreporter.section("Kafka")
    for line in brokers:
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"{passed} of {len(tests)} tests that need Kafka passed")


@pytest.fixture(scope="session")
def kafka_cache() -> Path:
    """The cache directory that holds the jars of the embedded broker."""
    return Path(os.environ.get("MESHPORT_CACHE") or platformdirs.user_cache_path("meshport"))


@pytest.fixture(scope="session")
def kafka(kafka_cache: Path, pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """One real Kafka for the session: given, embedded, or in a container."""
    with ExitStack() as opened:
        try:
            cluster = opened.enter_context(_real_cluster(kafka_cache))
        except BrokerUnavailable as error:
            _do_without(error)
        _note(pytestconfig, cluster.describe())
        yield cluster


@pytest.fixture(scope="session")
def kafka3(kafka_cache: Path, pytestconfig: pytest.Config) -> Iterator[EmbeddedKafka]:
    """Three embedded brokers for the session; who kills one has it restarted before the test ends."""
    with ExitStack() as opened:
        try:
            cluster = opened.enter_context(
                EmbeddedKafka(cache_dir=kafka_cache, brokers=3, java_home=os.environ.get("JAVA_HOME"))
            )
        except BrokerUnavailable as error:
            _do_without(error)
        _note(pytestconfig, f"Apache Kafka {cluster.version}, embedded, 3 brokers, {cluster.bootstrap_servers}")
        yield cluster


@contextmanager
def _real_cluster(cache: Path) -> Iterator[Cluster]:
    """Given or embedded; a container where the embedded broker cannot be had; never the in-memory stand-in."""
    given = os.environ.get("MESHPORT_KAFKA") or None
    with ExitStack() as opened:
        try:
            cluster = opened.enter_context(open_cluster(given, cache_dir=cache, java_home=os.environ.get("JAVA_HOME")))
            if cluster.kind == "in-memory":
                raise BrokerUnavailable(f"Apache Kafka is neither in the cache ({cache}) nor to be downloaded")
        except BrokerUnavailable as error:
            if given is not None:
                raise
            cluster = opened.enter_context(_container(error))
        yield cluster


@contextmanager
def _container(reason: BrokerUnavailable) -> Iterator[Cluster]:
    """A Kafka container where a Docker engine answers; else the reason why there is no embedded broker stands."""
    from docker.errors import DockerException  # type: ignore[import-untyped]  # noqa: PLC0415 - no stubs; this way only
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415 - needed on this way only

    refused = ""
    try:
        container = KafkaContainer(CONTAINER_IMAGE).with_kraft()
        container.start()
    except DockerException as error:
        refused = str(error)
    if refused:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the Docker client forgets its socket when nobody answers
            gc.collect()
        raise BrokerUnavailable(f"{reason.message}; and no Docker engine answers ({refused})", hint=reason.hint)
    try:
        with open_cluster(container.get_bootstrap_server(), cache_dir=Path()) as cluster:
            yield cluster
    finally:
        container.stop()


def _do_without(error: BrokerUnavailable) -> NoReturn:
    if os.environ.get("MESHPORT_REQUIRE_KAFKA") == "1" or os.environ.get("MESHPORT_KAFKA"):
        pytest.exit(f"a real Kafka was asked for, and there is none: {error}", returncode=1)
    pytest.skip(f"no real Kafka: {error.message}")


def _note(config: pytest.Config, line: str) -> None:
    config.stash.setdefault(_ran, []).append(line)
