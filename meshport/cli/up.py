"""`meshport up`: the whole mesh of the current project, until interrupted."""

from __future__ import annotations

import json as jsonlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from meshport.address import Address
from meshport.cli.metrics import MetricsOption
from meshport.cli.output import emit, people, say
from meshport.cli.registry_changes import changes_project
from meshport.cli.session import (
    STATE,
    JsonOption,
    KafkaConfigOption,
    KafkaOption,
    cache_dir,
    given_kafka,
    only_mesh,
    state_file,
)
from meshport.cli.signals import interrupt_on_signal, stop_on_signal
from meshport.errors import MeshError, NotRegistered, ProjectError, RegistryUnavailable
from meshport.kafka.config import KafkaConfig
from meshport.kafka.sources import CONFIG_VARIABLE
from meshport.local.listeners import Listeners, PlainListeners
from meshport.local.mesh import LocalMesh, open_mesh
from meshport.local.secured import OPERATOR, SecuredListeners
from meshport.project.project import Project

BrokersOption = Annotated[int, typer.Option(min=1, max=3, help="How many brokers to start.")]
# How soon the processor of a product is started after `meshport apply` registered it in another terminal.
_LOOK_EVERY_S = 2.0


def up(
    kafka: KafkaOption = None,
    kafka_config: KafkaConfigOption = None,
    brokers: BrokersOption = 1,
    secure: Annotated[
        bool, typer.Option("--secure", help="Start Kafka with TLS, logins and access control; see the files of --json.")
    ] = False,
    speed: Annotated[
        float, typer.Option(min=0.001, help="World seconds per second, for products with a `source`.")
    ] = 600.0,
    metrics: MetricsOption = None,
    json: JsonOption = False,
) -> None:
    """Run Kafka, the registry, an observer and this project's processors and sources, until interrupted.

    The observer does what `meshport observe` does. Ports that declare an archive are archived, in .meshport/archive where they
    name no store. Outside of a project it runs Kafka and the registry alone. Events and registrations are kept in .meshport/. A
    project that `meshport apply` would refuse is refused.

    With --secure, Kafka takes TLS and SCRAM logins only, and allows what its ACLs allow. Each principal has a
    client.properties under .meshport/kafka/security/: `DOMAIN.PRODUCT` is the process of a product, which may read its inputs,
    unless a policy of the project forbids it, and write its outputs and nothing else; `sources` publishes for all sources; the
    operator may do everything, and commands that run in this project log in as it; producer, reader and processor reach every
    topic.

    Example: meshport up --json
    """
    project = find_project()
    root = project.root if project else Path.cwd()
    given = given_kafka(kafka_config, kafka)
    if secure and given.bootstrap_servers:
        raise typer.BadParameter(
            f"it starts a Kafka, and {given.bootstrap_servers} runs already", param_hint="--secure"
        )
    interrupt_on_signal()
    with (
        only_mesh(root),
        start_mesh(
            root / STATE,
            kafka=given,
            config_file=kafka_config,
            brokers=brokers,
            listeners=SecuredListeners if secure else PlainListeners,
            measured=metrics is not None,
        ) as local,
        metrics_of_all(metrics, "up", local) as metrics_url,
        local.publishing_changes(changes_project(), say),
    ):
        if project is not None:
            local.apply(project, say)
        stopped = stop_on_signal()
        with _state(root, local, kafka_config, metrics_url) as facts:
            local.enforce_grants(root)
            local.observe(root)
            if project is not None:
                local.archive(project)
            started: set[Address] = set()
            if project is not None:
                _start_new(local, project, started)
                if with_source := [each.product.address for each in project.products if each.product.source]:
                    local.run_sources(with_source, project, speed)
            for name, file in local.cluster.principals.items():
                say(f"{name} logs in with {file}")
            if json:
                emit(facts())
            say("ready; Ctrl-C ends it")
            while not stopped.wait(_LOOK_EVERY_S):
                if project is not None:
                    _start_new(local, Project(project.root), started)
                    facts()
            say("stopping")
    say("stopped")


def find_project() -> Project | None:
    """Return the project around the working directory, or None."""
    try:
        return Project.find(Path.cwd())
    except ProjectError as error:
        say(f"{error.message}; running Kafka and the registry alone")
        return None


@contextmanager
def start_mesh(
    folder: Path,
    *,
    kafka: KafkaConfig,
    config_file: Path | None,
    brokers: int,
    listeners: Callable[[Path], Listeners] = PlainListeners,
    measured: bool = False,
) -> Iterator[LocalMesh]:
    """Run a mesh in `folder` while the block runs, with a progress bar for the first download.

    Args:
        folder: see `open_mesh`.
        kafka: the connection to a running Kafka; one is started where it has no servers.
        config_file: of `--kafka-config`; the mesh's processes connect by it too.
        brokers: see `open_mesh`.
        listeners: see `open_mesh`.
        measured: see `open_mesh`.
    """
    named = {CONFIG_VARIABLE: str(config_file.resolve())} if config_file else {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=people(), transient=True, disable=not people().is_terminal) as bar:
        task = bar.add_task("Apache Kafka", total=None, visible=False)

        def download(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total, visible=done < total)

        with open_mesh(
            folder=folder,
            cache_dir=cache_dir(),
            kafka=kafka if kafka.bootstrap_servers else None,
            brokers=brokers,
            say=say,
            environment={**os.environ, **named},
            listeners=listeners,
            measured=measured,
            download=download,
            java_home=os.environ.get("JAVA_HOME"),
        ) as local:
            bar.stop()
            yield local


@contextmanager
def metrics_of_all(at: str | None, own: str, local: LocalMesh) -> Iterator[str | None]:
    """Serve the metrics and the readiness of all processes of a mesh while the context is open, and yield the URL.

    Args:
        at: of `--metrics`; None serves nothing.
        own: the name of this process.
        local: the mesh.

    Raises:
        MetricsUnavailable: the port is taken.
    """
    if at is None:
        yield None
        return
    from meshport.metrics.gathered import served_together  # noqa: PLC0415 - slow to import

    with served_together(at, own, lambda: local.metrics) as url:
        say(f"metrics at {url}/metrics")
        yield url


def _start_new(local: LocalMesh, project: Project, started: set[Address]) -> None:
    """Start the processors of registered products that are not running yet."""
    try:
        products = project.products
    except MeshError:
        return  # a file is being edited; `meshport check` reports what is wrong with it
    for each in products:
        address = each.product.address
        if address in started or not each.product.process:
            continue
        try:
            local.registry.product(address)
        except (NotRegistered, RegistryUnavailable):
            continue  # tried again at the next look
        local.run(address, project)
        started.add(address)


@contextmanager
def _state(
    root: Path, local: LocalMesh, config_file: Path | None, metrics_url: str | None
) -> Iterator[Callable[[], dict[str, Any]]]:
    """Keep the state file by which other commands find this mesh; the yielded function updates it and returns its facts."""
    file = state_file(root)
    given = {OPERATOR: config_file.resolve()} if config_file and local.cluster.kind == "given" else {}
    written: dict[str, Any] = {}

    def write() -> dict[str, Any]:
        nonlocal written
        facts: dict[str, Any] = {
            "bootstrap_servers": local.cluster.bootstrap_servers,
            "registry_url": local.registry_url,
            "broker": local.cluster.describe(),
            "pid": os.getpid(),
            "processes": local.pids,
            "archive": local.archive_store,
        }
        if metrics_url is not None:
            facts["metrics_url"] = metrics_url
        if logins := {**local.cluster.principals, **given}:
            facts["config"] = {name: str(each) for name, each in logins.items()}
        if facts == written:
            return facts
        partial = file.with_suffix(".part")
        partial.write_text(jsonlib.dumps(facts), encoding="utf-8")
        partial.replace(file)
        written = facts
        return facts

    write()
    try:
        yield write
    finally:
        file.unlink(missing_ok=True)
