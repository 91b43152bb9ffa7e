"""The connections to the Kafka clusters of a mesh, from everything that says something of them.

From the weakest to the strongest, property by property:

1. `[clusters.NAME]` in the project's `meshport.toml`;
2. a `client.properties`, by `--kafka-config` or `MESHPORT_KAFKA_CONFIG`;
3. `MESHPORT_KAFKA_<PROPERTY>` in the environment;
4. an argument.

Those after the first describe one connection: the cluster of bindings that name none. It is the only cluster of `meshport.toml`,
or of several the one that is named `default`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from meshport.address import nearest
from meshport.errors import ProjectError
from meshport.kafka.clusters import KafkaClusters
from meshport.kafka.sources import (
    CONFIG_VARIABLE,
    Layer,
    environment_layer,
    file_layer,
    kafka_config,
    server_layer,
    table_layer,
)

__all__ = ["CLUSTERS_FILE", "kafka_clusters", "principal_table"]

CLUSTERS_FILE: Final = "meshport.toml"
_TABLE: Final = "clusters"
PRINCIPALS: Final = "principals"
_TABLES: Final = (_TABLE, PRINCIPALS)
_DEFAULT: Final = "default"


def kafka_clusters(
    folder: Path | None = None,
    *,
    config_file: Path | None = None,
    bootstrap_servers: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> KafkaClusters:
    """Return the connections that a project, a file and the environment describe.

    Args:
        folder: `meshport.toml` is in it, or in the nearest folder above that has one; the working directory by default.
        config_file: a `client.properties`; by default the one that `MESHPORT_KAFKA_CONFIG` names.
        bootstrap_servers: of the cluster of bindings that name none.
        environment: the variables; those of this process by default.

    Raises:
        ProjectError: `meshport.toml` cannot be read, or has something else than clusters.
        KafkaConfigError: a property cannot be used; the message says where it was written.
    """
    variables = os.environ if environment is None else environment
    return combined(
        cluster_tables(folder or Path.cwd(), variables),
        later_layers(config_file, bootstrap_servers, variables),
    )


def cluster_tables(folder: Path, environment: Mapping[str, str]) -> dict[str, Layer]:
    """Return the clusters of the nearest `meshport.toml`, by their names; none where there is no such file.

    Raises:
        ProjectError: as `kafka_clusters`.
        KafkaConfigError: as `kafka_clusters`.
    """
    file, document = mesh_file(folder)
    clusters = document.get(_TABLE, {})
    if not isinstance(clusters, dict) or not all(isinstance(each, dict) for each in clusters.values()):
        raise ProjectError(f"{file}: {_TABLE} is a table of tables", file=str(file), hint=f"[{_TABLE}.NAME]")
    return {
        name: table_layer(table, f"{file.name} [{_TABLE}.{name}]", file.parent, environment)
        for name, table in clusters.items()
    }


def mesh_file(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the nearest `meshport.toml`, in a folder or above it, and its tables; without a file, there are none.

    Raises:
        ProjectError: it cannot be read, or has a table that Meshport does not read.
    """
    start = folder.resolve()
    file = next((each / CLUSTERS_FILE for each in (start, *start.parents) if (each / CLUSTERS_FILE).is_file()), None)
    if file is None:
        return start / CLUSTERS_FILE, {}
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProjectError(f"{file} cannot be read: {error}", file=str(file)) from error
    for name in document:
        if name not in _TABLES:
            meant = nearest(name, _TABLES)
            raise ProjectError(
                f"{file}: {name} is nothing that Meshport reads there",
                file=str(file),
                hint=f"did you mean {meant}?" if meant else f"[{_TABLE}.NAME] describes a Kafka cluster",
            )
    return file, document


def principal_table(folder: Path) -> dict[str, str]:
    """Return `[principals]` of the nearest `meshport.toml`: Kafka principals by the names of products and people.

    Raises:
        ProjectError: as `mesh_file`; or an entry is no principal.
    """
    file, document = mesh_file(folder)
    table = document.get(PRINCIPALS, {})
    entries = table.items() if isinstance(table, dict) else [(PRINCIPALS, table)]
    for name, principal in entries:
        if not isinstance(principal, str) or not principal.startswith("User:") or principal == "User:*":
            raise ProjectError(
                f"{file}: {name} in [{PRINCIPALS}] is no principal of Kafka: {principal!r}",
                file=str(file),
                hint='"billing/invoices" = "User:CN=billing" names the principal of a product',
            )
    return dict(entries)


def later_layers(
    config_file: Path | None, bootstrap_servers: str | None, environment: Mapping[str, str]
) -> list[Layer]:
    """Return what wins over `meshport.toml`, the strongest last.

    Raises:
        KafkaConfigError: as `kafka_clusters`.
    """
    if config_file is None and (named := environment.get(CONFIG_VARIABLE)):
        config_file = Path(named)
    layers = [file_layer(config_file, environment)] if config_file else []
    layers.append(environment_layer(environment))
    if bootstrap_servers:
        layers.append(server_layer(bootstrap_servers, "--kafka"))
    return layers


def combined(named: Mapping[str, Layer], later: Iterable[Layer]) -> KafkaClusters:
    """Return the clusters of `meshport.toml` with what wins over it.

    Raises:
        KafkaConfigError: as `kafka_clusters`.
    """
    default = next(iter(named)) if len(named) == 1 else _DEFAULT
    configs = {name: kafka_config([layer]) for name, layer in named.items() if name != default}
    own = kafka_config([named.get(default, {}), *later])
    return KafkaClusters(own, {**configs, default: own} if default in named else configs)
