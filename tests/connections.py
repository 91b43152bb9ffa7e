"""The connections of the tests to their clusters, in every process of the session.

A test names a cluster by its bootstrap servers. A cluster without TLS and login needs no more; a secured one is known by the
`client.properties` of its operator, which a variable of the environment names, so that the processes that a test starts know it
as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from meshport.binding import Binding
from meshport.kafka.config import KafkaConfig
from meshport.kafka.sources import CONFIG_VARIABLE, file_layer, kafka_config

VARIABLE: Final = "MESHPORT_TEST_CONNECTIONS"


def connection(bootstrap_servers: str) -> KafkaConfig:
    """The connection of the one who may do everything with a cluster."""
    _, config = _known(bootstrap_servers)
    return config


def client_settings(bootstrap_servers: str) -> dict[str, Any]:
    """The same for a client of confluent_kafka, secrets in the clear."""
    return connection(bootstrap_servers).client_properties({})


def variables(bootstrap_servers: str) -> dict[str, str]:
    """The variables by which a command connects to a cluster as the same one; none for a cluster without TLS and login."""
    file, _ = _known(bootstrap_servers)
    return {} if file is None else {CONFIG_VARIABLE: str(file)}


def clusters_file(clusters: Mapping[str, KafkaConfig]) -> tuple[str, dict[str, str]]:
    """A meshport.toml with these clusters, and the variables that hold its secrets."""
    lines, secrets = [], {}
    for cluster, config in clusters.items():
        lines += [f"[clusters.{cluster}]", f'"bootstrap.servers" = "{config.bootstrap_servers}"']
        for name, value in config.properties.items():
            if isinstance(value, SecretStr):
                variable = f"{cluster}_{name}".upper().replace(".", "_")
                secrets[variable] = value.get_secret_value()
                lines.append(f'"{name}" = "${{env:{variable}}}"')
            else:
                lines.append(f'"{name}" = "{value}"')
    return "\n".join(lines), secrets


@contextmanager
def remembered(*properties: Path) -> Iterator[None]:
    """Let this process, and those that it starts, know secured clusters until the context ends."""
    files = [str(each) for each in properties]
    os.environ[VARIABLE] = os.pathsep.join([*_files(), *files])
    try:
        yield
    finally:
        os.environ[VARIABLE] = os.pathsep.join(each for each in _files() if each not in files)


@dataclass(frozen=True)
class Connections:
    """The connections as a port takes them, each with further properties."""

    properties: Mapping[str, Any] = field(default_factory=dict)

    def at(self, bootstrap_servers: str) -> KafkaConfig:
        """The connection to a cluster."""
        known = connection(bootstrap_servers)
        return replace(known, properties={**known.properties, **self.properties})

    def to(self, binding: Binding) -> KafkaConfig:
        """The connection to the cluster of a binding."""
        return self.at(binding.bootstrap_servers)

    def cluster(self, name: str | None, bootstrap_servers: str = "") -> KafkaConfig:  # noqa: ARG002 - of the protocol
        """The connection to a cluster; no cluster has a name here."""
        return self.at(bootstrap_servers)


CONNECTIONS: Final = Connections()


def read_properties(file: Path) -> KafkaConfig:
    """Read a `client.properties`."""
    return kafka_config([file_layer(file, {})])


def _known(bootstrap_servers: str) -> tuple[Path | None, KafkaConfig]:
    for file in map(Path, _files()):
        known = read_properties(file)
        if known.bootstrap_servers == bootstrap_servers:
            return file, known
    return None, KafkaConfig(bootstrap_servers)


def _files() -> list[str]:
    return [each for each in os.environ.get(VARIABLE, "").split(os.pathsep) if each]
