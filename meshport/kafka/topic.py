"""A topic of a cluster, as an admin client finds it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Topic(NamedTuple):
    """A topic of a cluster.

    Attributes:
        replication: how many replicas a partition has, at least.
        config: the settings of the topic itself, without the broker's defaults.
        defaults: the values that the other settings have, from the cluster.
    """

    name: str
    partitions: int
    replication: int
    config: dict[str, str]
    defaults: Mapping[str, str] = MappingProxyType({})

    def setting(self, name: str) -> str | None:
        """Return the value that a setting has; None for one that the brokers do not know."""
        return self.config.get(name, self.defaults.get(name))
