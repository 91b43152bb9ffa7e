"""The Kafka clusters of a product's ports, as a declaration places them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row

from meshport.product import OutputPort
from meshport_registry.product_declaration import ProductDeclaration
from meshport_registry.products import DefaultCluster


class Placement:
    """Finds the servers of each port's cluster, and refuses to move a topic that is in use.

    Args:
        declaration: the product as it is to be registered.
        default: the registry's default cluster.
    """

    def __init__(self, declaration: ProductDeclaration, default: DefaultCluster) -> None:
        self._declaration = declaration
        self._default = default

    def servers_on(self, port: OutputPort, before: Row[Any] | None) -> str | None:
        """Return the bootstrap servers of a port's cluster; None for those of the registry's default cluster.

        Args:
            port: of the declaration.
            before: the row of its present binding; None for a new port.
        """
        if port.cluster is None:
            return self._declaration.bootstrap_servers
        given = self._declaration.clusters.get(port.cluster)
        return given or (before.bootstrap_servers if before is not None and before.cluster == port.cluster else None)

    def refusals(self, port: OutputPort, before: Row[Any] | None, topic: str) -> Iterator[str]:
        """Yield why a port cannot be on the cluster that it names.

        Args:
            port: of the declaration.
            before: the row of its present binding; None for a new port.
            topic: the topic of the port.
        """
        line, servers = f"{port.name}@{port.major}", self.servers_on(port, before)
        if port.cluster is not None and servers is None:
            yield f"{line} is on the cluster {port.cluster}, whose bootstrap servers the registration does not give"
        elif before is not None and self._moves(port, before, servers, topic):
            yield (
                f"{line} is on {_named(before.cluster)}, and {_named(port.cluster)} is declared: the events of a topic do not "
                f"move to another cluster. A new major version may be there: `meshport new "
                f"{self._declaration.product.port_address(port).key} --major`"
            )

    def _moves(self, port: OutputPort, before: Row[Any], servers: str | None, topic: str) -> bool:
        """Return whether the present topic is in use, and on another cluster than the declared one."""
        there = before.bootstrap_servers or self._default.bootstrap_servers
        same = port.cluster == before.cluster or there == (servers or self._default.bootstrap_servers)
        found = self._declaration.topic_ids.get(topic)  # one cluster may be known by several names of its servers
        same = same or (found is not None and found == before.topic_id)
        return not same and topic not in self._declaration.unused


def _named(cluster: str | None) -> str:
    return "the default cluster" if cluster is None else f"the cluster {cluster}"
