"""A whole mesh on this machine: Kafka, the registry, and the processors of a project, each a process of its own.

Nothing outlives the process that runs it (`meshport.kafka.guardian`). A processor that ends is started again, after a
pause that grows while it keeps ending.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from meshport.address import Address
from meshport.apply import carry_out, plan
from meshport.errors import BrokerUnavailable, RegistryUnavailable
from meshport.kafka.admin import Admin
from meshport.kafka.cluster import Cluster, open_cluster
from meshport.kafka.guardian import GuardedProcess, guard
from meshport.project import Project
from meshport.registry import Registry

# A start-up that takes longer than this on any machine has failed; its log says why.
_START_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
# After this long without an end a processor counts as healthy again.
_HEALTHY_S: Final = 60.0
_LOG_LINES: Final = 15

Say = Callable[[str], None]


@dataclass(frozen=True)
class LocalMesh:
    """A running mesh.

    Attributes:
        cluster: its Kafka.
        registry_url: its registry.
        registry: a client of it.
        folder: where its logs are.
        processes: what runs beside the two.
    """

    cluster: Cluster
    registry_url: str
    registry: Registry
    folder: Path
    processes: Supervisor = field(repr=False)

    def apply(self, project: Project, say: Say) -> None:
        """Register the project's products and make their topics, each before its readers.

        Raises:
            MeshError: as `meshport.apply.plan` and `carry_out`.
        """
        admin = Admin(self.cluster.bootstrap_servers)
        made = registered = 0
        for product in project.products:
            (planned,) = plan([product], self.registry, admin, self.cluster.bootstrap_servers)
            made += sum(change.new for change in planned.topics)
            registered += bool(planned.registration.changed)
            carry_out(planned, self.registry, admin, self.cluster.bootstrap_servers)
        say(f"applied {len(project.products)} products: {registered} registered or changed, {made} topics made")

    def run(self, address: Address, project: Project) -> None:
        """Start what builds a product, and keep it running."""
        self._run(address.key, [address.key], project)

    def tell(self, addresses: Sequence[Address], project: Project, speed: float) -> None:
        """Run the project's own sources in one process, world time passing `speed` times as fast as it went."""
        self._run("sources", [*(each.key for each in addresses), "--speed", str(speed)], project)

    def _run(self, name: str, arguments: Sequence[str], project: Project) -> None:
        command = [sys.executable, "-m", "meshport", "run", *arguments, "--registry", self.registry_url]
        self.processes.start(name, command, cwd=project.root)


@contextmanager
def open_mesh(
    *,
    folder: Path,
    cache_dir: Path,
    kafka: str | None,
    brokers: int,
    say: Say,
    download: Callable[[str, int, int], None] | None = None,
    java_home: str | None = None,
) -> Iterator[LocalMesh]:
    """Start Kafka and the registry; both end with the context.

    Args:
        folder: keeps the broker's data, the registry's database and all logs, from one run to the next.
        cache_dir: keeps what was downloaded.
        kafka: a Kafka that runs already; None starts one.
        brokers: how many to start.
        say: gets lines for people.
        download: progress of the first download: (what, done, total).
        java_home: the value of JAVA_HOME.

    Raises:
        BrokerUnavailable: no broker could be had.
        RegistryUnavailable: the registry did not come up; its last lines are in the message.
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
            )
        )
        say(cluster.describe())
        url = stack.enter_context(_registry_process(folder, cluster.bootstrap_servers))
        registry = stack.enter_context(Registry(url))
        say(f"registry at {url}")
        processes = stack.enter_context(Supervisor(folder / "logs", say))
        yield LocalMesh(cluster, url, registry, folder, processes)


@contextmanager
def _registry_process(folder: Path, bootstrap_servers: str) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = folder / "logs" / "registry.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    database = f"sqlite:///{(folder / 'registry.db').resolve()}"
    command = [sys.executable, "-m", "meshport", "registry", "serve", "--host", "127.0.0.1", "--port", str(port)]
    process = guard([*command, "--database", database, "--kafka", bootstrap_servers], output=log)
    try:
        with Registry(url) as client:
            deadline = time.monotonic() + _START_S
            while not _healthy(client):
                if not process.running or time.monotonic() > deadline:
                    raise RegistryUnavailable(f"the registry did not come up; its last lines:\n{last_lines(log)}")
                time.sleep(0.05)
        yield url
    finally:
        process.stop()


def _healthy(client: Registry) -> bool:
    try:
        return client.health().status == "ok"
    except RegistryUnavailable:
        return False


class Supervisor:
    """Keeps named processes running until it is closed.

    Args:
        folder: gets one log file a process.
        say: told of every end and every new start.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self._say = say
        self._running: dict[str, GuardedProcess] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def pids(self) -> dict[str, int]:
        """Process id by name, of those that run now."""
        with self._lock:
            return {name: process.pid for name, process in self._running.items()}

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self._folder / f"{name.replace('/', '.')}.log"

    def start(self, name: str, command: list[str], *, cwd: Path) -> None:
        """Run a command, again and again if it ends."""
        first = guard(command, output=self.log(name), cwd=cwd)
        with self._lock:
            self._running[name] = first
        thread = threading.Thread(target=self._keep, args=(name, command, cwd, first), name=f"keep {name}", daemon=True)
        self._threads.append(thread)
        thread.start()
        self._say(f"running {name} (process {first.pid})")

    def _keep(self, name: str, command: list[str], cwd: Path, process: GuardedProcess) -> None:
        pause, since = _FIRST_PAUSE_S, time.monotonic()
        while not self._closed.is_set():
            if process.running:
                self._closed.wait(0.1)
                continue
            if time.monotonic() - since > _HEALTHY_S:
                pause = _FIRST_PAUSE_S
            code = process.returncode
            if code == 0:
                self._say(f"{name} has finished")
                with self._lock:
                    self._running.pop(name, None)
                return
            self._say(
                f"{name} ended with {code}; started again in {pause:g} s. Its last lines:\n{last_lines(self.log(name))}"
            )
            if self._closed.wait(pause):
                return
            pause, since = min(pause * 2, _LONGEST_PAUSE_S), time.monotonic()
            with self._lock:
                if self._closed.is_set():
                    return
                process = self._running[name] = guard(command, output=self.log(name), cwd=cwd)
            self._say(f"running {name} (process {process.pid})")

    def close(self) -> None:
        """Stop all, together, and wait for them."""
        self._closed.set()
        with self._lock:
            running = list(self._running.values())
        for process in running:
            process.request_stop()
        for process in running:
            process.stop()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def last_lines(log: Path, count: int = _LOG_LINES) -> str:
    """The end of a log file, for an error's message."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
    except OSError as error:
        raise BrokerUnavailable(f"the log {log} cannot be read: {error}") from error
