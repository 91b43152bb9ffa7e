"""Carries grants out at Kafka: creates the ACLs of those in force, and deletes them once they have ended.

Kafka's ACLs have no end, so that a reconciler has to delete them. What was created for grants is noted at the registry before it
is created, and only that is deleted again: an ACL that was there before, or that a product needs for another reason, stays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from meshport.access.derive import Rights, combined, reader_rights
from meshport.access.enforcement import AclAdmin, AclsOf
from meshport.access.mesh_ports import MeshPorts
from meshport.access.principals import Principals
from meshport.errors import KafkaError
from meshport.grants import Grant, GrantedAcl, GrantState
from meshport.kafka.acls import Acl, Operation, Pattern, Resource
from meshport.newer import insist_known

__all__ = ["GrantNotes", "Reconciled", "grant_rights", "reconcile"]


class GrantNotes(Protocol):
    """Where grants are found, and what was created for them: `meshport.registry.RegistryGrants`."""

    def list(self, *, current: bool = False) -> tuple[Grant, ...]:
        """Return grants; see `RegistryGrants.list`."""

    def acls(self) -> tuple[GrantedAcl, ...]:
        """Return the ACLs that were created for grants; see `RegistryGrants.acls`."""

    def note_acls(self, *, added: Sequence[GrantedAcl] = (), removed: Sequence[GrantedAcl] = ()) -> None:
        """Note what is created and deleted; see `RegistryGrants.note_acls`."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was done for grants.

    Attributes:
        created: ACLs, each with what it is for, by the name of their cluster.
        deleted: ACLs, by the name of their cluster.
        open_clusters: clusters without an authorizer, where every login may do everything.
        failed: clusters whose ACLs could not be seen or changed, with the reason.
    """

    created: Mapping[str | None, Mapping[Acl, str]] = field(default_factory=dict)
    deleted: Mapping[str | None, Collection[Acl]] = field(default_factory=dict)
    open_clusters: tuple[str | None, ...] = ()
    failed: Mapping[str | None, KafkaError] = field(default_factory=dict)


def grant_rights(grants: Collection[Grant], ports: MeshPorts, principals: Principals) -> Rights:
    """Return the ACLs of the grants that are in force and that no policy forbids.

    Args:
        grants: requests and grants.
        ports: of the mesh.
        principals: of its clusters.

    Raises:
        RegistryUnavailable: the registry did not answer.
        NewerRegistry: a grant is in a state that this version does not know, so that it may be in force or not.
    """
    rights = []
    for each in grants:
        insist_known(each.state, f"grant {each.id}")
        if each.state is not GrantState.GRANTED or each.forbidden_by:
            continue
        for port in ports.read_by(each.address):
            because = f"grant {each.id}: {each.reader} reads {port.address} until {each.until:%Y-%m-%d %H:%M} UTC"
            for cluster, acls in reader_rights(each.reader, port, principals).items():
                rights.append({cluster: dict.fromkeys(acls, because)})
    return combined(rights)


def reconcile(
    notes: GrantNotes,
    ports: MeshPorts,
    principals: Principals,
    acls_of: AclsOf,
    needed_else: Callable[[], Rights],
) -> Reconciled:
    """Create the ACLs of grants in force that are missing, and delete those that were created for grants which have ended.

    A cluster that does not answer, or whose ACLs this login may not change, leaves the others as they are to be.

    Args:
        notes: of the registry.
        ports: of the mesh.
        principals: of its clusters.
        acls_of: the ACLs of a cluster.
        needed_else: returns what the mesh needs beside grants; called only if something is to be deleted.

    Raises:
        RegistrationRefused: the caller may not note what it creates.
        RegistryUnavailable: the registry did not answer.
    """
    wanted = grant_rights(notes.list(current=True), ports, principals)
    noted: dict[str | None, dict[Acl, GrantedAcl]] = {cluster: {} for cluster in wanted}
    for each in notes.acls():
        noted.setdefault(each.cluster, {})[_acl(each)] = each
    ended = {cluster: acls.keys() - wanted.get(cluster, {}).keys() for cluster, acls in noted.items()}
    kept = needed_else() if any(ended.values()) else {}
    created: dict[str | None, Mapping[Acl, str]] = {}
    deleted: dict[str | None, Collection[Acl]] = {}
    failed: dict[str | None, KafkaError] = {}
    without_authorizer = []
    for cluster, known in noted.items():
        task = _Cluster(cluster, notes)
        try:
            acls = acls_of(cluster)
            present = acls.all()
            if present is None:
                without_authorizer.append(cluster)
                continue
            if missing := {acl: why for acl, why in wanted.get(cluster, {}).items() if acl not in present}:
                task.create(acls, missing)
                created[cluster] = missing
            if ended[cluster]:
                gone = (ended[cluster] & present).difference(kept.get(cluster, {}))
                task.delete(acls, gone, [known[acl] for acl in sorted(ended[cluster])])
                if gone:
                    deleted[cluster] = sorted(gone)
        except KafkaError as error:
            failed[cluster] = error
    return Reconciled(created, deleted, tuple(without_authorizer), failed)


class _Cluster:
    """Changes the ACLs of one cluster, and notes them so that a crash in between leaves none that is not noted."""

    def __init__(self, name: str | None, notes: GrantNotes) -> None:
        self._name = name
        self._notes = notes

    def create(self, acls: AclAdmin, missing: Mapping[Acl, str]) -> None:
        self._notes.note_acls(added=[_granted(self._name, each) for each in sorted(missing)])
        acls.create(missing)

    def delete(self, acls: AclAdmin, gone: Collection[Acl], ended: Sequence[GrantedAcl]) -> None:
        acls.delete(gone)
        self._notes.note_acls(removed=ended)


_FIELDS: Final = ("principal", "operation", "resource", "name", "pattern")


def _granted(cluster: str | None, acl: Acl) -> GrantedAcl:
    return GrantedAcl(cluster=cluster, **{name: getattr(acl, name) for name in _FIELDS})


def _acl(noted: GrantedAcl) -> Acl:
    return Acl(
        noted.principal,
        cast("Operation", noted.operation),
        cast("Resource", noted.resource),
        noted.name,
        cast("Pattern", noted.pattern),
    )
