"""A mesh on one machine: Kafka, the registry, and the processors of a project, each a process of its own.

No process outlives the one that started it (`meshport.local.guardian`). A processor, registry or broker that ends before
is started again, the first two by `meshport.local.supervisor`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self
from uuid import uuid4

from meshport.access import caller_name, login
from meshport.address import Address
from meshport.archive.place import VARIABLE as ARCHIVE_VARIABLE
from meshport.errors import BrokerUnavailable, RegistryUnavailable, TopicError
from meshport.kafka.admins import ClusterAdmins
from meshport.kafka.config import KafkaConfig
from meshport.kafka.one_machine import OneMachineAdmin
from meshport.local.cluster import Cluster, open_cluster
from meshport.local.embedded import EmbeddedKafka
from meshport.local.kraft import free_ports, is_free
from meshport.local.listeners import Listeners, PlainListeners
from meshport.local.process_logins import SOURCES, ProcessLogins
from meshport.local.process_metrics import ProcessMetrics
from meshport.local.secured import OPERATOR
from meshport.local.supervisor import Options, Pause, Say, Supervisor
from meshport.project.apply import carry_out, plan
from meshport.project.glossary import glossary_plans, project_glossary
from meshport.project.policies import policy_plans, policy_texts
from meshport.project.project import Project
from meshport.registry import Registry

# Ends a hang only: a registry that ends is seen at once. With a twentieth of a core its start took more than 30 s.
_START_S: Final = 180.0
_POLL_EVERY_S: Final = 0.2
_REGISTRY: Final = "registry"
_ACCESS: Final = "access"
_OBSERVE: Final = "observe"
_ARCHIVE: Final = "archive"
_COMMIT_EVERY_S: Final = "5"
# Every variable about a Kafka cluster begins with it.
_VARIABLES: Final = "MESHPORT_KAFKA"


@dataclass(frozen=True)
class LocalMesh:
    """A running mesh.

    Attributes:
        cluster: the Kafka cluster.
        registry_url: the registry's URL.
        registry: a client of the registry.
        processors: supervises the processors, by the names of their products.
        archive_store: the store of ports whose archive names none.
    """

    cluster: Cluster
    registry_url: str
    registry: Registry
    processors: Supervisor = field(repr=False)
    _services: Supervisor = field(repr=False)
    _brokers: _Brokers | None = field(repr=False)
    _name: str = field(repr=False)
    _logins: ProcessLogins = field(repr=False)
    _metrics: ProcessMetrics | None = field(default=None, repr=False)
    _database: str = field(default="", repr=False)
    archive_store: str = ""

    @property
    def metrics(self) -> dict[str, str]:
        """Where each process serves its metrics, by name, whether it runs or is to be started again; none if not `measured`."""
        finished = self.processors.finished
        urls = self._metrics.urls if self._metrics else {}
        return {name: url for name, url in urls.items() if name not in finished}

    def _measured(self, name: str) -> Options:
        return partial(self._metrics.options, name) if self._metrics else list

    @property
    def pids(self) -> dict[str, int]:
        """The process ids by name: `kafka-1` to `kafka-3`, `registry`, `access`, and the products whose processors run."""
        brokers = self._brokers.pids if self._brokers else {}
        return {**brokers, **self._services.pids, **self.processors.pids}

    def apply(self, project: Project, say: Say) -> None:
        """Register the project's products and make their topics, as `meshport apply` does: all of them, or none.

        Where Kafka asks for logins, the policies of the project are applied too, and the process of each product gets a login
        of its own, with the rights that it needs and that the policies permit.

        Raises:
            MeshError: as `meshport.project.apply.plan` and `carry_out`.
        """
        admins = ClusterAdmins(self.cluster.config, OneMachineAdmin)
        planned = plan(project.products, self.registry, admins)
        policies = policy_plans(policy_texts(project), self.registry.policies) if self.cluster.principals else []
        for each in planned:
            carry_out(each, self.registry, admins)
        for scope in policies:
            if scope.changed:
                self.registry.policies.apply(scope.domain, scope.texts)
            for line in scope.changed:
                say(line)
        for glossary in glossary_plans(project_glossary(project), self.registry.glossary):
            if glossary.changed:
                self.registry.glossary.declare(glossary.domain, glossary.terms)
        self._logins.admit(each.product for each in project.products)
        for change in (change for each in planned for change in each.ids if change.before is not None):
            say(str(change))
        made = sum(change.new for each in planned for change in each.topics)
        registered = sum(bool(each.registration.changed) for each in planned)
        say(f"products: {len(project.products)}, of which registered or changed: {registered}; topics made: {made}")

    @contextmanager
    def publishing_changes(self, project: Project, say: Say) -> Iterator[None]:
        """Publish the registry's own changes while the context is open, from its database.

        Where the cluster has no topic as the product declares it, which is said, nothing is published: the mesh runs without.

        Args:
            project: has the product of the changes, which is registered, and whose topic is made.
            say: called with lines for people.

        Raises:
            MeshError: as `meshport.project.apply.plan` and `carry_out`.
        """
        from meshport.outbox.relay import Relay  # noqa: PLC0415 - slow to import

        admins = ClusterAdmins(self.cluster.config, OneMachineAdmin)
        try:
            for each in plan(project.products, self.registry, admins):
                carry_out(each, self.registry, admins)
        except TopicError as error:  # such as that of the in-memory stand-in, whose topics have four partitions
            say(f"the registry's changes are not published: {error.message}")
            yield
            return
        with Relay(self._database, self.registry, kafka=self.cluster.config):
            yield

    def enforce_grants(self, root: Path) -> None:
        """Have grants carried out at Kafka while the mesh runs, if Kafka asks for logins.

        Args:
            root: the directory in which the mesh runs.
        """
        if operator := self.cluster.principals.get(OPERATOR):
            command = ["access", "enforce", "--registry", self.registry_url, "--kafka-config", str(operator)]
            self.processors.keep(
                _ACCESS, [sys.executable, "-m", "meshport", *command], options=self._measured(_ACCESS), cwd=root
            )

    def observe(self, root: Path) -> None:
        """Measure service levels while the mesh runs, if what that needs is installed (the extra `observe`).

        Args:
            root: the directory in which the mesh runs.
        """
        if find_spec("datasketches") is None:
            return
        command = ["observe", "--registry", self.registry_url]
        operator = self.cluster.principals.get(OPERATOR)
        command += ["--kafka-config", str(operator)] if operator else ["--kafka", self.cluster.bootstrap_servers]
        self.processors.keep(
            _OBSERVE, [sys.executable, "-m", "meshport", *command], options=self._measured(_OBSERVE), cwd=root
        )

    def archive(self, project: Project) -> None:
        """Archive the ports of a project that declare it while the mesh runs, if the extra `archive` is installed.

        Args:
            project: in which the mesh runs.
        """
        declared = any(port.archive is not None for each in project.products for port in each.product.output_ports)
        if not declared or find_spec("pyiceberg") is None:
            return
        command = ["archive", "run", "--commit-every", _COMMIT_EVERY_S, "--registry", self.registry_url]
        if operator := self.cluster.principals.get(OPERATOR):
            command += ["--kafka-config", str(operator)]
        self.processors.keep(
            _ARCHIVE, [sys.executable, "-m", "meshport", *command], options=self._measured(_ARCHIVE), cwd=project.root
        )

    def run(self, address: Address, project: Project) -> None:
        """Start the processor of a product, and keep it running.

        On the batch engine it is a static member of its group, so that it is assigned its partitions at once after a kill.
        """
        product = project.product(address).product
        process = product.process
        self._logins.admit([product])
        member = ["--member", self._name] if process is not None and process.engine == "batch" else []
        self.processors.keep(
            address.key,
            self._command(address.key, *member),
            options=self._measured(address.key),
            cwd=project.root,
            variables=self._logins.variables(login(caller_name(address))),
        )

    def run_sources(self, addresses: Sequence[Address], project: Project, speed: float) -> None:
        """Run the project's sources in one process; their time passes `speed` times as fast as the wall clock."""
        command = self._command(*(each.key for each in addresses), "--speed", str(speed))
        self._logins.admit_sources(project.product(each).product for each in addresses)
        self.processors.run(
            SOURCES,
            command,
            options=self._measured(SOURCES),
            cwd=project.root,
            variables=self._logins.variables(SOURCES),
        )

    def _command(self, *arguments: str) -> list[str]:
        here = ["--registry", self.registry_url, "--kafka", self.cluster.bootstrap_servers]
        return [sys.executable, "-m", "meshport", "run", *arguments, *here]


@contextmanager
def open_mesh(
    *,
    folder: Path,
    cache_dir: Path,
    kafka: KafkaConfig | None,
    brokers: int,
    say: Say,
    environment: Mapping[str, str],
    listeners: Callable[[Path], Listeners] = PlainListeners,
    measured: bool = False,
    download: Callable[[str, int, int], None] | None = None,
    java_home: str | None = None,
) -> Iterator[LocalMesh]:
    """Start Kafka and the registry; both stop with the context.

    Args:
        folder: directory of the brokers' data, the registry's database and all logs, kept from run to run.
        cache_dir: directory of downloads.
        kafka: the connection to a running Kafka; None starts one.
        brokers: how many brokers to start.
        say: called with lines for people.
        environment: of the mesh's processes. What it says of Kafka holds for a running Kafka; with one that is started here,
            each processor logs in under a principal of its own, if it asks for a login; see `meshport.local.process_logins`.
        listeners: of a started Kafka, see `EmbeddedKafka`.
        measured: whether each process serves its metrics; `LocalMesh.metrics` says where.
        download: called with the progress of the first download: (what, bytes done, bytes in all).
        java_home: the value of JAVA_HOME.

    Raises:
        BrokerUnavailable: no broker could be started.
        RegistryUnavailable: the registry did not start; the message has its last lines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        cluster = stack.enter_context(
            open_cluster(
                kafka,
                brokers=brokers,
                cache_dir=cache_dir,
                data_dir=folder / "kafka",
                progress=download,
                notice=say,
                java_home=java_home,
                listeners=listeners,
            )
        )
        say(cluster.describe())
        kept = stack.enter_context(_Brokers(cluster.embedded, say)) if cluster.embedded else None
        services = stack.enter_context(Supervisor(folder / "logs", say))
        metrics = ProcessMetrics() if measured else None
        options = partial(metrics.options, _REGISTRY) if metrics else list
        url = _start_registry(services, folder, cluster.bootstrap_servers, options)
        registry = stack.enter_context(Registry(url))
        say(f"registry at {url}")
        archive = environment.get(ARCHIVE_VARIABLE) or (folder / "archive").resolve().as_uri()
        env = {**_of_processors(cluster, environment), ARCHIVE_VARIABLE: archive}
        processors = stack.enter_context(Supervisor(folder / "logs", say, env))
        logins = ProcessLogins(cluster, registry)
        yield LocalMesh(
            cluster,
            url,
            registry,
            processors,
            services,
            kept,
            _kept_name(folder),
            logins,
            metrics,
            _database(folder),
            archive,
        )


def _of_processors(cluster: Cluster, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment of processors and sources, in which nothing leads to another cluster than that of the mesh."""
    if cluster.kind == "given":
        return environment
    return {name: value for name, value in environment.items() if not name.startswith(_VARIABLES)}


class _Brokers:
    """Starts each broker again that ends, on its own data.

    Attributes:
        pids: the process ids of the brokers that ran when they were last polled, by name.
    """

    def __init__(self, kafka: EmbeddedKafka, say: Say) -> None:
        self._kafka = kafka
        self._say = say
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keep brokers")
        self.pids = self._poll()

    def _poll(self) -> dict[str, int]:
        return {f"kafka-{node}": pid for node, pid in self._kafka.pids.items()}

    def _watch(self) -> None:
        pause = Pause()
        while not self._closed.wait(_POLL_EVERY_S):
            self.pids = self._poll()
            for node in range(1, self._kafka.brokers + 1):
                if f"kafka-{node}" not in self.pids and not self._closed.is_set():
                    self._restart(node, pause)

    def _restart(self, node: int, pause: Pause) -> None:
        seconds = pause.next()
        self._say(f"broker {node} of {self._kafka.brokers} has ended; it starts again in {seconds:g} s")
        if self._closed.wait(seconds):
            return
        try:
            self._kafka.restart(node)
        except BrokerUnavailable as error:
            self._say(f"broker {node} could not be started: {error}")
        else:
            pause.started()
            self._say(f"broker {node} of {self._kafka.brokers} runs again")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()


def _start_registry(services: Supervisor, folder: Path, bootstrap_servers: str, options: Options) -> str:
    port = _kept_port(folder)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "meshport", "registry", "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--database", _database(folder), "--kafka", bootstrap_servers]
    services.keep(_REGISTRY, command, options=options)
    deadline = time.monotonic() + _START_S
    with Registry(url) as client:
        while not _healthy(client):
            if _REGISTRY not in services.pids or time.monotonic() > deadline:
                words = services.last_lines(_REGISTRY)
                raise RegistryUnavailable(f"the registry did not come up; its last lines:{words or ' none'}")
            time.sleep(0.05)
    return url


def _database(folder: Path) -> str:
    return f"sqlite:///{(folder / 'registry.db').resolve()}"


def _healthy(client: Registry) -> bool:
    try:
        return client.health().status == "ok"
    except RegistryUnavailable:
        return False


def _kept_port(folder: Path) -> int:
    """Return the registry's port of the last run, if it is still free, so that its URL stays the same."""
    file = folder / "registry.port"
    try:
        port = int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        port = 0
    if not port or not is_free(port):
        (port,) = free_ports(1, ())
        file.write_text(str(port), encoding="utf-8")
    return port


def _kept_name(folder: Path) -> str:
    """Return the static member name of this mesh's processors: the same in every run, and unique."""
    file = folder / "member"
    if not file.exists():
        file.write_text(f"up-{uuid4().hex}", encoding="utf-8")
    return file.read_text(encoding="utf-8")
