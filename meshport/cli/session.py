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
from meshport.archive.place import VARIABLE as ARCHIVE_VARIABLE
from meshport.binding import Binding
from meshport.cli.output import say
from meshport.errors import ProjectError, RegistryUnavailable
from meshport.kafka.clusters import KafkaClusters
from meshport.kafka.config import KafkaConfig
from meshport.kafka.properties import SERVERS, canonical
from meshport.kafka.sources import CONFIG_VARIABLE, Layer, file_layer
from meshport.ports.history import Missing
from meshport.project.clusters import cluster_tables, combined, later_layers
from meshport.project.project import Project
from meshport.registry import Registry

STATE: Final = ".meshport"
KAFKA_VARIABLE: Final = "MESHPORT_KAFKA"
"""The variable that names the servers of a Kafka; the names of all others about one begin with it."""
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
        envvar=KAFKA_VARIABLE,
        help="A running Kafka to use; by default an embedded one is started.",
    ),
]
TopicsKafkaOption = Annotated[
    str | None,
    typer.Option(
        "--kafka",
        metavar="HOST:PORT",
        envvar=KAFKA_VARIABLE,
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
        archive: the store of ports whose archive names none.
    """

    bootstrap_servers: str
    registry_url: str
    pid: int
    config_file: Path | None = None
    logins: frozenset[str] = frozenset()
    archive: str | None = None


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
            facts.get("archive"),
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
        if mesh.archive is not None:
            os.environ.setdefault(ARCHIVE_VARIABLE, mesh.archive)  # of ports of this mesh whose archive names no store
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
    registry; see `meshport.project.clusters` for what wins over them. Variables that name servers of another Kafka do not
    count for it, which is said: a shell that has them for a cluster elsewhere would send topics and events there.

    Args:
        config_file: of `--kafka-config`.
        registry: the URL of the registry that the command asks, as `open_registry` takes it.
        servers: of `--kafka`.

    Raises:
        KafkaConfigError: a property cannot be used; the message says where it was written.
        ProjectError: `meshport.toml` cannot be read.
    """
    mesh = _asked_mesh(registry)
    if mesh is None:
        return combined(cluster_tables(Path.cwd(), os.environ), later_layers(config_file, servers, os.environ))
    own = [file_layer(mesh.config_file, os.environ)] if mesh.config_file else []
    return combined({}, [*own, *_later_layers(mesh, config_file, servers)])


def _asked_mesh(registry: str | None) -> RunningMesh | None:
    """Return the mesh that runs here; None if there is none, or the registry is another's."""
    mesh = running_mesh(Path.cwd())
    other = mesh and registry is not None and registry.rstrip("/") != mesh.registry_url.rstrip("/")
    return None if other else mesh


def _later_layers(mesh: RunningMesh, config_file: Path | None, servers: str | None) -> list[Layer]:
    """Return what wins over the Kafka of the mesh that runs here; of variables, those that are not for another."""
    of_variables = later_layers(None, os.environ.get(KAFKA_VARIABLE), os.environ)
    others = {_servers(each) for each in of_variables} - {frozenset(), _names(mesh.bootstrap_servers)}
    if not others:
        return later_layers(config_file, servers, os.environ)
    named = [each for each in os.environ if each.startswith(KAFKA_VARIABLE)]
    say(
        f"{', '.join(sorted(named))}: not used, for {', '.join(sorted(set().union(*others)))}; the mesh that runs here has its "
        f"own Kafka, {mesh.bootstrap_servers}. --kafka, --kafka-config or --registry lead elsewhere"
    )
    file = None if config_file and str(config_file) == os.environ.get(CONFIG_VARIABLE) else config_file
    others_too = {name: each for name, each in os.environ.items() if name not in named}
    return later_layers(file, None if servers == os.environ.get(KAFKA_VARIABLE) else servers, others_too)


def _servers(layer: Layer) -> frozenset[str]:
    """Return the bootstrap servers that a layer names."""
    setting = layer.get(canonical(SERVERS))
    return frozenset() if setting is None else _names(setting.text)


def _names(servers: str) -> frozenset[str]:
    return frozenset(each.strip() for each in servers.split(","))


def leads_elsewhere(servers: str | None, registry: str | None) -> bool:
    """Return whether servers are those of a variable for another Kafka than that of the mesh that runs here and is asked."""
    mesh = _asked_mesh(registry) if servers and servers == os.environ.get(KAFKA_VARIABLE) else None
    return mesh is not None and _names(servers or "") != _names(mesh.bootstrap_servers)


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
