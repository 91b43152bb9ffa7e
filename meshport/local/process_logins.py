"""The principals of the processes that run beside a secured Kafka of this machine, with the least rights that each needs.

    User:<domain>.<product>   the process of a product: what its ports and its processor need, as `meshport.access` derives it
    User:sources              the one process of all sources: it publishes to their ports

The user who runs a project here owns all of it, so that a product may read each port that it declares.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshport.access import (
    Acl,
    ClusterAcls,
    MeshPorts,
    Principals,
    Rights,
    caller_name,
    combined,
    login,
    product_rights,
    writer_acls,
)
from meshport.kafka.sources import CONFIG_VARIABLE
from meshport.local.cluster import Cluster
from meshport.product import Product
from meshport.registry import Registry

__all__ = ["SOURCES", "ProcessLogins", "declared_rights", "source_rights"]

SOURCES: Final = "sources"
"""The login of the process of all sources."""


class ProcessLogins:
    """Lets the processes of products log in, each under a principal of its own.

    Args:
        cluster: the Kafka of the mesh; without logins, there is nothing to do.
        registry: the registry of the mesh.
    """

    def __init__(self, cluster: Cluster, registry: Registry) -> None:
        self._kafka = cluster.embedded if cluster.principals else None
        self._config = cluster.config
        self._registry = registry

    def admit(self, products: Iterable[Product]) -> None:
        """Give the processes of registered products their logins and rights.

        Raises:
            KafkaError: the cluster did not take them.
            RegistryUnavailable: the registry did not answer.
        """
        if self._kafka is None:
            return
        products = tuple(products)
        self._create(declared_rights(products, MeshPorts(self._registry)))
        for each in products:
            self._kafka.let_in(login(caller_name(each.address)))

    def admit_sources(self, products: Iterable[Product]) -> None:
        """Give the process of all sources its login and rights; it raises as `admit`."""
        if self._kafka is None:
            return
        self._create(source_rights(products, MeshPorts(self._registry)))
        self._kafka.let_in(SOURCES)

    def variables(self, name: str) -> dict[str, str]:
        """Return the environment variables by which a process has a login, of a product or of the sources."""
        return {} if self._kafka is None else {CONFIG_VARIABLE: str(self._kafka.principals[name])}

    def _create(self, rights: Rights) -> None:
        # Whatever clusters the ports name, their topics are all on this one.
        wanted = {acl for acls in rights.values() for acl in acls}
        acls = ClusterAcls(self._config)
        acls.create(wanted - (acls.all() or frozenset[Acl]()))


def declared_rights(products: Iterable[Product], ports: MeshPorts) -> Rights:
    """Return what the processes of products need where each may read what it declares."""
    return combined(product_rights(each, ports, Principals(), lambda *_: True) for each in products)


def source_rights(products: Iterable[Product], ports: MeshPorts) -> Rights:
    """Return what the process of all sources needs."""
    found: dict[str | None, dict[Acl, str]] = {}
    for product in products:
        for port in ports.of_product(product.address):
            because = f"the sources publish to {port.address}"
            acls = dict.fromkeys(writer_acls(f"User:{SOURCES}", port.topics), because)
            found[port.cluster] = {**found.get(port.cluster, {}), **acls}
    return found
