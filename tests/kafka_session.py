"""The Kafka of the test session: pytest fixtures and hooks, imported by `tests/conftest.py`.

`kafka` is one real broker for the whole session; `kafka3` three that can be killed, for a module, as they cost when idle.
Variables of the environment:

    MESHPORT_KAFKA=HOST:PORT     `kafka` is that cluster; no answer from it is a failure
    MESHPORT_CACHE=DIR           where the embedded broker's jars are kept
    MESHPORT_REQUIRE_KAFKA=1     no real Kafka is a failure, not a skip
    MESHPORT_TEST_SECURED=1      both are secured: TLS, SCRAM and ACLs; tests connect as its operator

`secured` is one secured broker for the session; `tests/secured` runs a part of the suites on it.

Without a given cluster it is the embedded one, and where that cannot be had a container, if Docker answers. It is never
librdkafka's mock cluster. Tests that ask for either fixture carry the marker `kafka`; the summary names the broker that ran
and counts the tests that passed on it. Where the suite runs in several processes they share one broker: the controller of
pytest-xdist starts it (with MESHPORT_REQUIRE_KAFKA=1 only, since it does not know yet which tests are there).
"""

from __future__ import annotations

import fcntl
import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NoReturn

import platformdirs
import pytest

from meshport.errors import BrokerUnavailable
from meshport.kafka.config import KafkaConfig
from meshport.local.cluster import Cluster, open_cluster
from meshport.local.embedded import EmbeddedKafka
from meshport.local.jars import JarsUnavailable, ensure_jars, read_lock
from meshport.local.listeners import PlainListeners
from meshport.local.secured import OPERATOR, SecuredListeners
from tests import connections
from tests.summary import note

__all__ = [
    "jars",
    "kafka",
    "kafka3",
    "kafka_cache",
    "pytest_collection_modifyitems",
    "pytest_configure_node",
    "secured",
]

CONTAINER_IMAGE = "confluentinc/cp-kafka:7.9.2"  # testcontainers' start script knows Confluent's image only
FIXTURES = {"kafka", "kafka3", "secured"}
LISTENERS = SecuredListeners if os.environ.get("MESHPORT_TEST_SECURED") == "1" else PlainListeners

_shared = pytest.StashKey[str]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for a Kafka fixture, so that `-m kafka` and the summary know them."""
    for item in items:
        if FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """In the controller: give each worker the address of one broker, which is started for the first and stops with the session.

    Where it cannot be started, the workers try for themselves and say why not.
    """
    config: pytest.Config = node.config
    if os.environ.get("MESHPORT_REQUIRE_KAFKA") != "1" or os.environ.get("MESHPORT_KAFKA"):
        return
    if _shared not in config.stash:
        opened = ExitStack()
        try:
            cluster = opened.enter_context(_real_cluster(_cache_folder()))
        except BrokerUnavailable:
            return
        config.add_cleanup(opened.close)
        config.stash[_shared] = cluster.bootstrap_servers
        note(config, "Kafka", cluster.describe())
    node.workerinput["kafka"] = config.stash[_shared]
    node.workerinput["connections"] = os.environ.get(connections.VARIABLE, "")


@pytest.fixture(scope="session")
def kafka_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache directory; it holds the jars of the embedded broker, if they can be downloaded and no cluster is given."""
    cache = _cache_folder()
    if not os.environ.get("MESHPORT_KAFKA"):
        with (tmp_path_factory.getbasetemp().parent / "jars.lock").open("w") as lock, suppress(BrokerUnavailable):
            fcntl.flock(lock, fcntl.LOCK_EX)  # one process of the session fetches them, the others wait for it
            ensure_jars(cache, read_lock())
    return cache


@pytest.fixture(scope="session")
def jars(kafka_cache: Path) -> Path:
    """The cache, filled and verified: for tests that would go on with a stand-in where the jars are missing."""
    try:
        ensure_jars(kafka_cache, read_lock())
    except JarsUnavailable as error:
        if os.environ.get("MESHPORT_REQUIRE_KAFKA") == "1":
            raise
        pytest.skip(f"no jars of Apache Kafka: {error.message}")
    return kafka_cache


@pytest.fixture(scope="session")
def kafka(kafka_cache: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One real Kafka for the session: given, embedded, or in a container."""
    given = getattr(request.config, "workerinput", {})
    shared = given.get("kafka")
    with ExitStack() as opened:
        if known := given.get("connections"):
            opened.enter_context(connections.remembered(*map(Path, known.split(os.pathsep))))
        try:
            cluster = opened.enter_context(_real_cluster(kafka_cache, shared))
        except BrokerUnavailable as error:
            _do_without(error, request.session)
        if shared is None:
            note(request.config, "Kafka", cluster.describe())
        yield cluster


@pytest.fixture(scope="module")
def kafka3(kafka_cache: Path, request: pytest.FixtureRequest) -> Iterator[EmbeddedKafka]:
    """Three embedded brokers for a module's tests; a test that kills one restarts it."""
    with ExitStack() as opened:
        try:
            cluster = opened.enter_context(
                EmbeddedKafka(
                    cache_dir=kafka_cache, brokers=3, java_home=os.environ.get("JAVA_HOME"), listeners=LISTENERS
                )
            )
        except BrokerUnavailable as error:
            _do_without(error, request.session)
        opened.enter_context(_remembered(cluster))
        what = "secured, " if cluster.principals else ""
        what += f"3 brokers, {cluster.bootstrap_servers}"
        note(request.config, "Kafka", f"Apache Kafka {cluster.version}, embedded, {what}")
        yield cluster


@pytest.fixture(scope="session")
def secured(kafka_cache: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One secured embedded broker for the session: with TLS, SCRAM, Kafka's own authorizer and its four principals."""
    with ExitStack() as opened:
        try:
            cluster = opened.enter_context(
                open_cluster(
                    None, cache_dir=kafka_cache, java_home=os.environ.get("JAVA_HOME"), listeners=SecuredListeners
                )
            )
        except BrokerUnavailable as error:
            _do_without(error, request.session)
        opened.enter_context(_remembered(cluster.embedded))
        note(request.config, "Kafka", cluster.describe())
        yield cluster


def _cache_folder() -> Path:
    return Path(os.environ.get("MESHPORT_CACHE") or platformdirs.user_cache_path("meshport"))


@contextmanager
def _real_cluster(cache: Path, shared: str | None = None) -> Iterator[Cluster]:
    """Shared, given or embedded; a container where the embedded broker cannot be had; never the in-memory stand-in."""
    servers = shared or os.environ.get("MESHPORT_KAFKA")
    given = connections.connection(servers) if servers else None
    with ExitStack() as opened:
        try:
            cluster = opened.enter_context(
                open_cluster(given, cache_dir=cache, java_home=os.environ.get("JAVA_HOME"), listeners=LISTENERS)
            )
            if cluster.kind == "in-memory":
                raise BrokerUnavailable(f"Apache Kafka is neither in the cache ({cache}) nor to be downloaded")
        except BrokerUnavailable as error:
            if given is not None or LISTENERS is SecuredListeners:
                raise
            cluster = opened.enter_context(_container(error))
        opened.enter_context(_remembered(cluster.embedded))
        yield cluster


def _remembered(kafka: EmbeddedKafka | None) -> AbstractContextManager[None]:
    """Let the tests and their processes know a secured cluster until the context ends."""
    if kafka is not None and kafka.principals:
        return connections.remembered(kafka.principals[OPERATOR])
    return nullcontext()


@contextmanager
def _container(reason: BrokerUnavailable) -> Iterator[Cluster]:
    """A Kafka container where a Docker engine answers; else the reason why there is no embedded broker stands."""
    from docker.errors import DockerException  # type: ignore[import-untyped]  # noqa: PLC0415 - no stubs; needed for a container only
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415 - needed for a container only

    refused = ""
    try:
        container = KafkaContainer(CONTAINER_IMAGE).with_kraft()
        container.start()
    except DockerException as error:
        refused = str(error)
    if refused:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ResourceWarning
            )  # the Docker client leaves its socket open if no engine answers
            gc.collect()
        raise BrokerUnavailable(f"{reason.message}; and no Docker engine answers ({refused})", hint=reason.hint)
    try:
        with open_cluster(KafkaConfig(container.get_bootstrap_server()), cache_dir=Path()) as cluster:
            yield cluster
    finally:
        container.stop()


def _do_without(error: BrokerUnavailable, session: pytest.Session) -> NoReturn:
    if os.environ.get("MESHPORT_REQUIRE_KAFKA") == "1" or os.environ.get("MESHPORT_KAFKA"):
        session.shouldfail = f"a real Kafka was asked for, and there is none: {error}"  # ends all of its processes
        pytest.fail(session.shouldfail, pytrace=False)
    pytest.skip(f"no real Kafka: {error.message}")
