"""The registry and the Kafka of a command: from flags, then the environment, then the mesh that runs in the project."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Annotated, Any, Final

import platformdirs
import typer

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import ProjectError, RegistryUnavailable
from meshport.kafka.clusters import KafkaClusters
from meshport.kafka.config import KafkaConfig
from meshport.kafka.sources import CONFIG_VARIABLE, file_layer
from meshport.ports.history import Missing
from meshport.project.clusters import cluster_tables, combined, later_layers
from meshport.project.project import Project
from meshport.registry import Registry

STATE: Final = ".meshport"
_LOCK_TRIES: Final = 10
_LOCK_PAUSE_S: Final = 0.05

RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="URL",
        envvar="MESHPORT_REGISTRY",
        help="The registry; by default the one that `meshport up` runs here.",
    ),
]
KafkaOption = Annotated[
    str | None,
    typer.Option(
        "--kafka",
        metavar="HOST:PORT",
        envvar="MESHPORT_KAFKA",
        help="A running Kafka to use; by default an embedded one is started.",
    ),
]
TopicsKafkaOption = Annotated[
    str | None,
    typer.Option(
        "--kafka",
        metavar="HOST:PORT",
        envvar="MESHPORT_KAFKA",
        help="The Kafka in which topics are created; by default the one that `meshport up` runs here.",
    ),
]
KafkaConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kafka-config",
        metavar="FILE",
        envvar=CONFIG_VARIABLE,
        help="A Kafka client.properties with TLS and login, by the names of Java's client or librdkafka's.",
    ),
]
MissingOption = Annotated[
    bool,
    typer.Option(
        "--allow-missing",
        help="Go on with what there is, where part of the history is removed or hidden by an open transaction.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]


def missing_history(allowed: bool) -> Missing:
    """Return what a reader does where history is missing."""
    return Missing.ALLOW if allowed else Missing.REFUSE


@dataclass(frozen=True)
class RunningMesh:
    """The mesh that `meshport up` runs in a project, from its state file.

    Attributes:
        bootstrap_servers: its Kafka.
        registry_url: its registry.
        pid: of the process that runs it.
        config_file: the `client.properties` of its operator, or the one that `up` was given, where its Kafka asks for a login.
        logins: the names of the principals that can log in.
    """

    bootstrap_servers: str
    registry_url: str
    pid: int
    config_file: Path | None = None
    logins: frozenset[str] = frozenset()


def state_file(root: Path) -> Path:
    """Return the file in which `meshport up` describes what it runs."""
    return root / STATE / "up.json"


@contextmanager
def only_mesh(root: Path) -> Iterator[None]:
    """Hold the lock of the one mesh that may run in a project; the kernel releases it when this process ends.

    Raises:
        ProjectError: another process holds the lock.
    """
    (root / STATE).mkdir(exist_ok=True)
    with _lock_file(root).open("w", encoding="utf-8") as lock:
        for _ in range(_LOCK_TRIES):
            if _is_locked(lock, fcntl.LOCK_EX):
                break
            time.sleep(_LOCK_PAUSE_S)  # another command holds the lock while it looks for a mesh
        else:
            mesh = running_mesh(root)
            where = f"(process {mesh.pid}), its registry at {mesh.registry_url}" if mesh else "or is being started"
            raise ProjectError(f"a mesh runs here already {where}", hint="Ctrl-C in its terminal ends it")
        yield


def _lock_file(root: Path) -> Path:
    return root / STATE / "up.lock"


def _is_locked(lock: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def running_mesh(start: Path) -> RunningMesh | None:
    """Return the mesh that runs in the project around `start`, or in `start` itself outside of a project; None if none runs."""
    try:
        root = Project.find(start).root
    except ProjectError:
        root = start.resolve()
    try:
        # The file outlives a mesh that was killed, and its process id may be reused; the lock is released by the kernel.
        with _lock_file(root).open(encoding="utf-8") as lock:
            if _is_locked(lock, fcntl.LOCK_SH):
                return None
        facts: dict[str, Any] = json.loads(state_file(root).read_text(encoding="utf-8"))
        logins = facts.get("config", {})
        operator = logins.get("operator")
        return RunningMesh(
            str(facts["bootstrap_servers"]),
            str(facts["registry_url"]),
            int(facts["pid"]),
            Path(operator) if operator else None,
            frozenset(logins),
        )
    except (OSError, ValueError, KeyError):
        return None


def open_registry(url: str | None, *, timeout_s: float = 30.0) -> Registry:
    """Return a client of the registry that is named, else of the one that runs here, which waits so long for an answer.

    It logs in as the environment and `meshport login` say.

    Raises:
        RegistryUnavailable: none was named, and no mesh runs here.
        LoginRefused: see `meshport.registry.login.registry_login`.
    """
    return Registry(url_of_registry(url), timeout=timeout_s)


def url_of_registry(url: str | None) -> str:
    """Return the URL of the registry that is named, else of the one that runs here.

    Raises:
        RegistryUnavailable: none was named, and no mesh runs here.
    """
    if url is None:
        mesh = running_mesh(Path.cwd())
        if mesh is None:
            raise RegistryUnavailable(
                "no registry was named, and no mesh runs here",
                hint="--registry URL, MESHPORT_REGISTRY, or `meshport up` in this project",
            )
        url = mesh.registry_url
    return url


def resolve_at(url: str | None) -> Callable[[Address], Binding]:
    """Return a function that resolves an address at the registry; nothing is asked before it is called.

    The function raises RegistryUnavailable as `open_registry` does, and NotRegistered.
    """

    def resolve(address: Address) -> Binding:
        with open_registry(url) as registry:
            return registry.resolve(address)

    return resolve


def open_clusters(
    config_file: Path | None, *, registry: str | None = None, servers: str | None = None
) -> KafkaClusters:
    """Return the connections to the Kafka clusters of a command.

    The Kafka of the mesh that runs here takes the place of the clusters in `meshport.toml`, where the command asks that mesh's
    registry; see `meshport.project.clusters` for what wins over them.

    Args:
        config_file: of `--kafka-config`.
        registry: the URL of the registry that the command asks, as `open_registry` takes it.
        servers: of `--kafka`.

    Raises:
        KafkaConfigError: a property cannot be used; the message says where it was written.
        ProjectError: `meshport.toml` cannot be read.
    """
    here = Path.cwd()
    later = later_layers(config_file, servers, os.environ)
    mesh = running_mesh(here)
    if mesh is None or (registry is not None and registry.rstrip("/") != mesh.registry_url.rstrip("/")):
        return combined(cluster_tables(here, os.environ), later)
    own = [file_layer(mesh.config_file, os.environ)] if mesh.config_file else []
    return combined({}, [*own, *later])


def given_kafka(config_file: Path | None, servers: str | None) -> KafkaConfig:
    """Return the connection to one Kafka that has the topics of every port, whatever clusters `meshport.toml` has.

    Its servers are "" where none were named.

    Raises:
        KafkaConfigError: as `open_clusters`.
    """
    return combined({}, later_layers(config_file, servers, os.environ)).default


def topics_clusters(config_file: Path | None, *, registry: str | None, servers: str | None) -> KafkaClusters:
    """Return the connections to the clusters in which topics are created.

    The default cluster is the Kafka that was named, else that of the mesh which runs here, else it has no servers.

    Raises:
        KafkaConfigError: as `open_clusters`.
        ProjectError: as `open_clusters`.
    """
    mesh = running_mesh(Path.cwd())
    clusters = open_clusters(config_file, registry=registry, servers=servers)
    return replace(clusters, default=clusters.default.at(mesh.bootstrap_servers)) if mesh else clusters


def cache_dir() -> Path:
    """Return the directory of downloads: `MESHPORT_CACHE`, else the user's cache directory."""
    given = os.environ.get("MESHPORT_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("meshport")
