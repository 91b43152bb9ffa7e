"""`meshport doctor`: what is wrong between this shell, the registry, the cluster and the project."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Final

import typer

from meshport.address import nearest
from meshport.cli.log_lines import VARIABLE as LOG_FORMAT
from meshport.cli.output import FINDINGS, emit, emit_text, say
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    RegistryOption,
    TopicsKafkaOption,
    open_registry,
    running_mesh,
    topics_clusters,
)
from meshport.errors import MeshError, ProjectError
from meshport.kafka.clusters import KafkaClusters
from meshport.kafka.sources import CONFIG_VARIABLE
from meshport.observe.diagnosis import Diagnosis, DiagnosisState
from meshport.observe.doctor import Doctor
from meshport.product.lines import utc_today
from meshport.project.project import Project
from meshport.registry import Registry
from meshport.version import __version__

VARIABLES: Final = frozenset(
    {
        "MESHPORT_ARCHIVE",
        "MESHPORT_CACHE",
        "MESHPORT_KAFKA",
        CONFIG_VARIABLE,
        LOG_FORMAT,
        "MESHPORT_MEMBER",
        "MESHPORT_OIDC_CLIENT_SECRET",
        "MESHPORT_OUTBOX_DATABASE",
        "MESHPORT_PEER_AUTH",
        "MESHPORT_PEER_CA",
        "MESHPORT_PEER_CERTIFICATE",
        "MESHPORT_PEER_KEY",
        "MESHPORT_PEER_NETRC",
        "MESHPORT_PEER_TOKEN",
        "MESHPORT_REGISTRY",
        "MESHPORT_REGISTRY_CA",
        "MESHPORT_REGISTRY_CERTIFICATE",
        "MESHPORT_REGISTRY_DATABASE",
        "MESHPORT_REGISTRY_HEADER",
        "MESHPORT_REGISTRY_KEY",
        "MESHPORT_REGISTRY_TOKEN",
    }
)
"""The variables that Meshport reads, beside `MESHPORT_KAFKA_<PROPERTY>`."""

_OURS: Final = "MESHPORT_"
_PROPERTY: Final = "MESHPORT_KAFKA_"  # an unknown property is an error of the connection
# By a distribution that no other extra has.
_EXTRAS: Final = {"registry": "fastapi", "process": "faust-streaming", "kafka": "jgo", "columnar": "pyruhvro"}
_REGISTRY_S: Final = 10.0


def doctor(
    registry: RegistryOption = None,
    kafka: TopicsKafkaOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Find what is wrong between this shell, the registry, the cluster and the project.

    Looks in the order in which things have to be mended: the variables of the shell, the registry and this caller's rights, the
    brokers, the project's files and whether they are applied, the processors and what they quarantined. Each finding has the
    next step; what cannot be looked at is named. Nothing is changed.

    Ends with 1 where something is wrong; a warning alone is none.

    Examples:
        meshport doctor
        meshport doctor --registry https://registry.example.com --json
    """
    states = dict.fromkeys(DiagnosisState, 0)
    with ExitStack() as opened:
        for each in _examined(registry, kafka, kafka_config, opened):
            states[each.state] += 1
            if json:
                emit(each.as_dict())
            else:
                emit_text(f"{each.state:<8} {each.area}: {each.what}")
                if each.next:
                    emit_text(f"{'':<8} -> {each.next}")
    say(
        f"{states[DiagnosisState.WRONG]} wrong, {states[DiagnosisState.WARNING]} warnings, {states[DiagnosisState.OK]} in order"
    )
    if states[DiagnosisState.WRONG]:
        raise typer.Exit(FINDINGS)


def _examined(url: str | None, kafka: str | None, config: Path | None, opened: ExitStack) -> Iterator[Diagnosis]:
    extras = [name for name, each in _EXTRAS.items() if _is_installed(each)]
    yield Diagnosis.ok(
        "shell",
        f"Meshport {__version__} on Python {platform.python_version()}, extras: {', '.join(extras) or 'none'}",
    )
    yield from unknown_variables(os.environ)
    yield from _two_meshes(url)
    registry: Registry | None = None
    clusters: KafkaClusters | None = None
    project: Project | None = None
    try:
        registry = opened.enter_context(open_registry(url, timeout_s=_REGISTRY_S))
    except MeshError as error:
        yield Diagnosis.of("shell", error, "--registry URL")
    try:
        clusters = topics_clusters(config, registry=url, servers=kafka)
    except MeshError as error:
        yield Diagnosis.of("shell", error, "correct it where it was written")
    try:
        project = Project.find(Path.cwd())
    except ProjectError as error:
        yield Diagnosis.skipped("project", f"{error.message}: only the mesh was looked at")
    yield from Doctor(registry, clusters, project, utc_today()).examine()


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def unknown_variables(environment: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Yield a warning for each variable that looks like one of Meshport's, and is none."""
    for name in sorted(environment):
        if name.startswith(_OURS) and name not in VARIABLES and not name.startswith(_PROPERTY):
            meant = nearest(name, sorted(VARIABLES))
            yield Diagnosis.warning(
                "shell",
                f"the variable {name} has no effect: Meshport reads none of this name",
                f"did you mean {meant}?" if meant else "unset it",
            )


def _two_meshes(url: str | None) -> Iterator[Diagnosis]:
    here = running_mesh(Path.cwd())
    if here is not None and url is not None and url.rstrip("/") != here.registry_url.rstrip("/"):
        yield Diagnosis.warning(
            "shell",
            f"a mesh runs here with its registry at {here.registry_url}, and the commands of this shell ask {url}",
            "unset MESHPORT_REGISTRY, or leave out --registry, to use the mesh that runs here",
        )
