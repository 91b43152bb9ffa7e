"""The principals of the processes that run beside a secured Kafka of this machine, with the least rights that each needs.

    User:<domain>.<product>   the process of a product: what its ports and its processor need, as `meshport.access` derives it
    User:sources              the one process of all sources: it publishes to their ports

A product may read the ports that it declares so far as the policies of the registry permit. The user who runs a project here
owns all of it, so that they permit what none of them forbids.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshport.access import (
    Acl,
    ClusterAcls,
    MeshPorts,
    PermittedInputs,
    Principals,
    Rights,
    caller_name,
    combined,
    grant_rights,
    login,
    product_rights,
    writer_acls,
)
from meshport.access.derive import MayRead
from meshport.address import Address
from meshport.kafka.sources import CONFIG_VARIABLE
from meshport.local.cluster import Cluster
from meshport.product import Product
from meshport.registry import Registry

__all__ = ["SOURCES", "ProcessLogins", "source_rights"]

SOURCES: Final = "sources"
"""The login of the process of all sources."""
_NO_ACLS: Final = frozenset[Acl]()


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
        self._admitted: dict[Address, Product] = {}

    def admit(self, products: Iterable[Product]) -> None:
        """Give the processes of registered products their logins and rights; once each, unless it is declared otherwise.

        An input that the policies do not permit any more, and no grant, is closed again: nothing but this gives rights to the
        principals of the processes here.

        Raises:
            KafkaError: the cluster did not take them.
            RegistryUnavailable: the registry did not answer.
        """
        new = [each for each in products if self._admitted.get(each.address) != each]
        if self._kafka is None or not new:
            return
        ports = MeshPorts(self._registry)
        wanted = _acls(_rights(new, ports, PermittedInputs(self._registry.access)))
        granted = _acls(grant_rights(self._registry.access.list(current=True), ports, Principals()))
        refused = _acls(_rights(new, ports, lambda *_: True)) - wanted - granted
        self._bring(wanted, refused)
        for each in new:
            self._kafka.let_in(login(caller_name(each.address)))
            self._admitted[each.address] = each

    def admit_sources(self, products: Iterable[Product]) -> None:
        """Give the process of all sources its login and rights; it raises as `admit`."""
        if self._kafka is None:
            return
        self._bring(_acls(source_rights(products, MeshPorts(self._registry))))
        self._kafka.let_in(SOURCES)

    def variables(self, name: str) -> dict[str, str]:
        """Return the environment variables by which a process has a login, of a product or of the sources."""
        return {} if self._kafka is None else {CONFIG_VARIABLE: str(self._kafka.principals[name])}

    def _bring(self, wanted: frozenset[Acl], refused: frozenset[Acl] = _NO_ACLS) -> None:
        """Create the ACLs that are wanted, and delete those that are refused."""
        acls = ClusterAcls(self._config)
        present = acls.all() or _NO_ACLS
        acls.create(wanted - present)
        acls.delete(refused & present)


def _rights(products: Iterable[Product], ports: MeshPorts, may_read: MayRead) -> Rights:
    return combined(product_rights(each, ports, Principals(), may_read) for each in products)


def _acls(rights: Rights) -> frozenset[Acl]:
    """Return the ACLs of every cluster: whatever clusters the ports name, their topics are all on this one."""
    return frozenset(acl for acls in rights.values() for acl in acls)


def source_rights(products: Iterable[Product], ports: MeshPorts) -> Rights:
    """Return what the process of all sources needs."""
    found: dict[str | None, dict[Acl, str]] = {}
    for product in products:
        for port in ports.of_product(product.address):
            because = f"the sources publish to {port.address}"
            acls = dict.fromkeys(writer_acls(f"User:{SOURCES}", port.topics), because)
            found[port.cluster] = {**found.get(port.cluster, {}), **acls}
    return found
