"""The ways in to the Kafka clusters of a mesh, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from meshport.binding import Binding
from meshport.errors import UnknownCluster
from meshport.kafka.config import PLAINTEXT, KafkaConfig

__all__ = ["KafkaAccess", "KafkaClusters"]


class KafkaAccess(Protocol):
    """What a port needs to know of Kafka: a `KafkaConfig`, or the `KafkaClusters` of a mesh with several."""

    def to(self, binding: Binding) -> KafkaConfig:
        """Return how to connect to the cluster that a binding names."""
        ...

    def cluster(self, name: str | None, bootstrap_servers: str = "") -> KafkaConfig:
        """Return how to connect to a cluster by its name, at these servers where its config names none."""
        ...


@dataclass(frozen=True, slots=True)
class KafkaClusters:
    """The ways in to the Kafka clusters of a mesh.

    Attributes:
        default: of a binding that names no cluster, or one that has no name here.
        named: by the cluster's name.
    """

    default: KafkaConfig = PLAINTEXT
    named: Mapping[str, KafkaConfig] = field(default_factory=dict, hash=False)

    def to(self, binding: Binding) -> KafkaConfig:
        """Return how to connect to the cluster that a binding names, at its servers where the config names none.

        Raises:
            UnknownCluster: see `cluster`.
        """
        return self.cluster(binding.cluster, binding.bootstrap_servers)

    def cluster(self, name: str | None, bootstrap_servers: str = "") -> KafkaConfig:
        """Return how to connect to a cluster by its name, at these servers where its config names none.

        Raises:
            UnknownCluster: other clusters have names here, this one has none, and the default leads to servers of its own,
                which are another cluster's.
        """
        if name is not None and name in self.named:
            return self.named[name].at(bootstrap_servers)
        if name is not None and self.named and self.default.bootstrap_servers:
            known = ", ".join(sorted(self.named))
            raise UnknownCluster(
                f"no connection is known to the Kafka cluster {name}, only to {known}",
                cluster=name,
                known=tuple(sorted(self.named)),
                hint=f"[clusters.{name}] in meshport.toml gives one",
            )
        return self.default.at(bootstrap_servers)
