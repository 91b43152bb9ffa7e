"""Looks at the ACLs of clusters beside those that are derived.

A cluster without an authorizer has no ACLs; that is reported, and nothing is refused for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from meshport.access.derive import Rights
from meshport.access.drift import Drift, compare_acls
from meshport.access.mesh_ports import BoundPort
from meshport.errors import KafkaError, UnknownCluster
from meshport.kafka.acls import Acl

__all__ = ["NOT_ALLOWED", "AclAdmin", "AclsOf", "ClusterDrift", "drift_of", "named", "summary"]


class AclAdmin(Protocol):
    """The ACLs of one cluster: `meshport.kafka.acls.ClusterAcls`."""

    def all(self) -> frozenset[Acl] | None:
        """Return the ACLs; see `ClusterAcls.all`."""

    def create(self, acls: Collection[Acl]) -> None:
        """Create ACLs; see `ClusterAcls.create`."""

    def delete(self, acls: Collection[Acl]) -> None:
        """Delete ACLs; see `ClusterAcls.delete`."""


NOT_ALLOWED: Final = "CLUSTER_AUTHORIZATION_FAILED"
"""The code of a KafkaError where a login may not see or change ACLs."""

AclsOf = Callable[[str | None], AclAdmin]
"""Returns the ACLs of a cluster by its name; of the default cluster for None."""


@dataclass(frozen=True, slots=True)
class ClusterDrift:
    """The drift of one cluster.

    Attributes:
        cluster: its name; None for the default one.
        enforced: whether it runs an authorizer; without one every login may do everything.
        drift: how its ACLs differ from those that are derived; none where it runs no authorizer, and where they are not seen.
        unseen: why its ACLs are not seen: this login may not, or no connection to the cluster is known; None where they are.
    """

    cluster: str | None
    enforced: bool
    drift: Drift = field(default_factory=Drift)
    unseen: KafkaError | None = None


def drift_of(rights: Rights, ports: Iterable[BoundPort], acls_of: AclsOf) -> list[ClusterDrift]:
    """Return how the ACLs of each cluster differ from those that are derived.

    Args:
        rights: the derived ACLs.
        ports: the ports of the mesh, whose topics no other ACL may reach.
        acls_of: the ACLs of a cluster.

    Raises:
        KafkaError: a cluster did not answer.
    """
    topics: dict[str | None, list[str]] = {cluster: [] for cluster in rights}
    for each in ports:
        topics.setdefault(each.cluster, []).append(each.topic)
    found = []
    for cluster, names in topics.items():
        try:
            present = acls_of(cluster).all()
        except KafkaError as error:
            if not isinstance(error, UnknownCluster) and error.code != NOT_ALLOWED:
                raise
            found.append(ClusterDrift(cluster, enforced=True, unseen=error))
            continue
        if present is None:
            found.append(ClusterDrift(cluster, enforced=False))
        else:
            found.append(ClusterDrift(cluster, True, compare_acls(rights.get(cluster, {}), present, names)))
    return found


def named(texts: Collection[str], drifts: Iterable[ClusterDrift]) -> dict[str | None, list[Acl]]:
    """Return the unexpected ACLs that are named by their texts, by cluster; see `Acl.__str__`."""
    found: dict[str | None, list[Acl]] = {}
    for each in drifts:
        if acls := [acl for acl in each.drift.unexpected if str(acl) in texts]:
            found[each.cluster] = acls
    return found


def summary(acls: Iterable[Acl]) -> list[str]:
    """Return ACLs as lines for people: one for each principal and resource, with all of its operations."""
    lines: dict[tuple[str, str], list[str]] = {}
    for each in sorted(acls):
        _, _, what = str(each).partition(f" {each.operation} ")
        lines.setdefault((f"{'deny ' if each.permission == 'deny' else ''}{each.principal}", what), []).append(
            each.operation
        )
    return [f"{who} {', '.join(operations)} {what}" for (who, what), operations in lines.items()]
