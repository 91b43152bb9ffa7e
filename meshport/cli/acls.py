"""The ACLs of a command's mesh: what its products and readers need, and what the clusters have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from meshport.access import (
    Acl,
    AclsOf,
    BoundPort,
    ClusterAcls,
    ClusterDrift,
    EveryPort,
    MeshPorts,
    PermittedInputs,
    Principals,
    Reconciled,
    Rights,
    caller_name,
    combined,
    drift_of,
    grant_rights,
    product_rights,
    reconcile,
)
from meshport.access.enforcement import named, summary
from meshport.address import Address
from meshport.cli.session import running_mesh
from meshport.errors import KafkaError, ProjectError, RegistrationRefused
from meshport.grants import Grant
from meshport.kafka.clusters import KafkaClusters
from meshport.local.process_logins import source_rights
from meshport.local.secured import PROCESSOR, standing_acls
from meshport.product import Product, Status
from meshport.product.lines import migrated_from
from meshport.project.apply import ProductPlan
from meshport.project.clusters import principal_table
from meshport.project.project import Project
from meshport.registry import Registry

_PAGE: Final = 1000


def admit_own(mesh: Registry, clusters: KafkaClusters, address: Address, *, registered: bool) -> list[str]:
    """Let a product of the mesh itself write its topic, and its readers read it; return what was allowed, for people.

    Args:
        mesh: the registry.
        clusters: the connections to Kafka.
        address: of the product.
        registered: whether it was registered just now. Otherwise a login that may not change ACLs is no news: it is the
            product's own.

    Raises:
        RegistryUnavailable: the registry did not answer.
    """
    try:
        return MeshAcls(mesh, clusters).admit(address)
    except KafkaError as error:
        hint = "`meshport access drift` names what is missing"
        return [f"{address.key} has no ACLs made by this login: {error.message}; {hint}"] if registered else []


class MeshAcls:
    """Derives the ACLs of a mesh, and compares them with those of its clusters.

    Args:
        mesh: the registry.
        clusters: the connections to Kafka.
        planned: the products that are about to be registered.

    Attributes:
        ports: the ports of the mesh.
        principals: of its clusters.
    """

    def __init__(self, mesh: Registry, clusters: KafkaClusters, planned: Iterable[ProductPlan] = ()) -> None:
        self._mesh = mesh
        self._clusters = clusters
        self._admins: dict[str | None, ClusterAcls] = {}
        planned = tuple(planned)
        self._planned = {each.product.product.address: each.product.product for each in planned}
        self.ports = MeshPorts(mesh, [port for each in planned for port in _planned_ports(each)])
        here = running_mesh(Path.cwd())
        self._here = here if here and here.bootstrap_servers == clusters.default.bootstrap_servers else None
        # The Kafka that runs here makes its own logins, as it has its own servers, whatever `meshport.toml` says.
        self.principals = Principals() if self._here else Principals(principal_table(Path.cwd()))
        self._grants: tuple[Grant, ...] | None = None
        self._may_read = PermittedInputs(mesh.access, self._planned.values())
        self.acls_of: AclsOf = self._admin

    def again(self) -> MeshAcls:
        """Return the same for another look at the registry, with the connections to Kafka that this one made."""
        other = MeshAcls(self._mesh, self._clusters)
        other._admins = self._admins
        return other

    def _admin(self, name: str | None) -> ClusterAcls:
        if name not in self._admins:
            self._admins[name] = ClusterAcls(self._clusters.cluster(name, self.ports.servers.get(name, "")))
        return self._admins[name]

    def of(self, product: Product) -> Rights:
        """Return what the process of a product needs, beside what it is granted."""
        return product_rights(product, self.ports, self.principals, self._may_read)

    def of_project(self) -> list[ClusterDrift]:
        """Return how the clusters differ from what the planned products need; of other ACLs, those of their principals."""
        rights = [self.of(each) for each in self._planned.values()]
        return drift_of(combined([*rights, self._granted()]), (), self.acls_of)

    def of_mesh(self) -> list[ClusterDrift]:
        """Return how the clusters differ from what all products and readers need, registered and planned."""
        products = [*self._planned.values(), *self._registered()]
        ports = [port for each in products for port in self.ports.of_product(each.address)]
        return drift_of(combined([self._of_products(products), self._granted()]), ports, self.acls_of)

    def admit(self, address: Address) -> list[str]:
        """Let a product and the readers of its ports into every generation; return what was allowed, for people.

        Raises:
            KafkaError: a cluster did not answer, or this login may not change its ACLs.
            RegistryUnavailable: the registry did not answer.
        """
        readers = [each.address for each in self._mesh.readers(address.of_product)]
        products = dict.fromkeys([address.of_product, *readers])
        drifts = drift_of(combined(self.of(self._mesh.product(each).descriptor) for each in products), (), self.acls_of)
        lines = []
        for each in drifts:
            if each.unseen:
                raise each.unseen
            self.acls_of(each.cluster).create(each.drift.missing.keys())
            lines += [f"let {line}" for line in summary(each.drift.missing)]
        return lines

    def of_dropped(self, product: Product) -> dict[str | None, list[Acl]]:
        """Return the ACLs that are there for the process of a registered product alone, by cluster.

        They are what `apply` derives for it, and what it derived before a port of it or an input was retired; without what
        another product, another's grant or this machine needs too.

        Raises:
            KafkaError: a cluster did not answer, or this login may not see its ACLs.
            RegistryUnavailable: the registry did not answer.
        """
        ports = EveryPort(self._mesh)
        derived = product_rights(product, ports, self.principals, lambda *_: True)
        self.ports.servers |= ports.servers
        there = {each: acls.keys() & (self.acls_of(each).all() or ()) for each, acls in derived.items()}
        if not any(there.values()):
            return {}
        others = [each for each in self._registered() if each.address != product.address]
        granted = [each for each in self._mesh.access.list(current=True) if each.reader != caller_name(product.address)]
        kept = combined([self._of_products(others), grant_rights(granted, self.ports, self.principals)])
        return {each: sorted(acls.difference(kept.get(each, ()))) for each, acls in there.items()}

    def reconcile(self) -> Reconciled:
        """Create the ACLs of grants in force, and delete those that were created for grants which have ended.

        Raises:
            RegistrationRefused: the caller may not note at the registry what it creates.
            RegistryUnavailable: the registry did not answer.
        """
        return reconcile(
            self._mesh.access,
            self.ports,
            self.principals,
            self.acls_of,
            lambda: self._of_products([*self._planned.values(), *self._registered()]),
        )

    def _of_products(self, products: Iterable[Product]) -> Rights:
        return combined([*(self.of(each) for each in products), *self._of_this_machine()])

    def _granted(self) -> Rights:
        if self._grants is None:
            self._grants = self._mesh.access.list(current=True)
        return grant_rights(self._grants, self.ports, self.principals)

    def _registered(self) -> list[Product]:
        """Return the registered products that are not planned and not retired."""
        found: list[Product] = []
        seen = 0
        while (page := self._mesh.search(offset=seen, limit=_PAGE)).items:
            seen += len(page.items)
            found += [
                self._mesh.product(each.address).descriptor
                for each in page.items
                if each.address not in self._planned and each.status is not Status.RETIRED
            ]
        return found

    def _of_this_machine(self) -> list[Rights]:
        """Return the rights that `meshport up --secure` gives beside those of products."""
        if self._here is None or PROCESSOR not in self._here.logins:
            return []
        try:
            products = Project.find(Path.cwd()).products
        except ProjectError:
            products = ()  # `up` runs outside of a project too
        with_source = [each.product for each in products if each.product.source]
        standing = dict.fromkeys(standing_acls(), "a principal that `meshport up --secure` has in any case")
        return [{None: standing}, source_rights(with_source, self.ports)]


class AclPlan:
    """The changes of ACLs that `meshport apply` makes.

    Args:
        acls: of the mesh, with the planned products.
        planned: the products.
        revoked: the texts of the ACLs that are to be removed.

    Raises:
        KafkaError, RegistryUnavailable: no answer.
    """

    def __init__(self, acls: MeshAcls, planned: Sequence[ProductPlan], revoked: Sequence[str]) -> None:
        self._acls = acls
        self._drifts = acls.of_project()
        self._principals = {acls.principals.of(caller_name(each.product.product.address)) for each in planned}
        self._revoked = named(revoked, acls.of_mesh()) if revoked else {}
        if unknown := set(revoked) - {str(acl) for each in self._revoked.values() for acl in each}:
            raise typer.BadParameter(
                f"no unexpected ACL is {', '.join(map(repr, sorted(unknown)))}; `meshport access drift` lists them, and one "
                "that follows from a product or a grant ends with that",
                param_hint="--revoke",
            )
        self._missing = {
            address: [
                (each.cluster, acl)
                for each in self._drifts
                for acl in rights.get(each.cluster, ())
                if acl in each.drift.missing
            ]
            for address, rights in ((each.product.product.address, acls.of(each.product.product)) for each in planned)
        }

    def missing(self, product: Address) -> list[Acl]:
        """Return the ACLs that the process of a product needs and that are not there."""
        return [acl for _, acl in self._missing[product]]

    def lines(self, product: Address) -> list[str]:
        """Return the changes for the process of a product, for people."""
        return [f"let {each}" for each in summary(self.missing(product))]

    def notes(self) -> list[str]:
        """Return the rest for people: what is removed, what is left, and which clusters enforce nothing or show nothing."""
        revoked = {acl for each in self._revoked.values() for acl in each}
        lines = [f"revoke {each}" for each in sorted(revoked)]
        for each in self._drifts:
            left = [acl for acl in each.drift.unexpected if acl.principal in self._principals and acl not in revoked]
            lines += [f"not derived any more, and left: {acl}; `--revoke {str(acl)!r}` removes it" for acl in left]
            if each.unseen:
                lines.append(f"ACLs are left as they are: {each.unseen.message}")
        return lines

    def carry_out(self, product: Address) -> None:
        """Create the ACLs that the process of a product needs.

        Raises:
            KafkaError: a cluster did not take one.
        """
        for cluster in dict.fromkeys(cluster for cluster, _ in self._missing[product]):
            self._acls.acls_of(cluster).create([acl for of, acl in self._missing[product] if of == cluster])

    def carry_out_grants(self) -> list[str]:
        """Create the ACLs of grants, and delete those of grants that have ended; return that for people.

        What this login may not do is left to `meshport access enforce`.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        try:
            return described(self._acls.reconcile())
        except RegistrationRefused as error:
            return [f"grants are left to `meshport access enforce`: {error.message}"]

    def revoke(self) -> None:
        """Remove the ACLs that were named.

        Raises:
            KafkaError: a cluster did not remove one.
        """
        for cluster, each in self._revoked.items():
            self._acls.acls_of(cluster).delete(each)


def described(done: Reconciled) -> list[str]:
    """Return what was done for grants as lines for people."""
    lines = [
        f"{_named(cluster)} runs no authorizer: every login may read there, granted or not"
        for cluster in done.open_clusters
    ]
    for cluster, created in done.created.items():
        for why in dict.fromkeys(created.values()):
            these = [acl for acl, because in created.items() if because == why]
            lines += [f"{_named(cluster)}: let {each} ({why})" for each in summary(these)]
    for cluster, deleted in done.deleted.items():
        lines += [f"{_named(cluster)}: no longer let {each}: its grant has ended" for each in summary(deleted)]
    for cluster, error in done.failed.items():
        lines.append(f"{_named(cluster)}: grants are not carried out: {error.message}")
    return lines


def _named(cluster: str | None) -> str:
    return f"cluster {cluster}" if cluster else "the default cluster"


def acl_as_dict(acl: Acl) -> dict[str, Any]:
    """Return an ACL as JSON data."""
    return {
        "acl": str(acl),
        "principal": acl.principal,
        "operation": acl.operation,
        "resource": acl.resource,
        "name": acl.name,
        "pattern": acl.pattern,
        "permission": acl.permission,
        "host": acl.host,
    }


def _planned_ports(planned: ProductPlan) -> list[BoundPort]:
    product = planned.product.product
    lines = {product.port_address(each): each for each in product.output_ports}
    return [
        BoundPort(each.address, line.cluster, each.topic, (each.topic,), migrated_from(line))
        for each in planned.registration.ports
        if (line := lines.get(each.address)) is not None
    ]
