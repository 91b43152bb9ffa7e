"""What a decision is about: the action, and the resource with the attributes that policies read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

from meshport.product import Product


class Action(StrEnum):
    """What a caller wants to do with a resource."""

    PROBE = "probe"
    """Ask whether the registry lives."""
    DISCOVER = "discover"
    """Read metadata, schemas, lineage and bindings; search; ask the gate."""
    READ = "read"
    """Read events from Kafka."""
    WRITE = "write"
    """Write events to Kafka."""
    REGISTER = "register"
    """Create or change a product, a schema or a generation."""
    RETIRE = "retire"
    """Deprecate, retire, drop or delete; activate again."""
    SET_COMPATIBILITY = "setCompatibility"
    """Set a compatibility level or a mode."""
    WAIVE = "waive"
    """Approve a breaking change, or revoke the approval."""
    REQUEST_ACCESS = "requestAccess"
    """Ask for access to a product."""
    GRANT = "grant"
    """Grant, refuse or revoke access to a product."""
    ADMINISTER = "administer"
    """Keys, policies and the import of a registry."""
    AUDIT = "audit"
    """Read the audit."""
    OBSERVE = "observe"
    """Report measured service levels."""


@dataclass(frozen=True, slots=True)
class ProductResource:
    """A data product, as policies see it.

    Attributes:
        domain: of its address.
        product: of its address.
        owner: the group that answers for it.
        owners: the groups that own the products of its domain; with the product's own owner where the domain has none.
        archetype: as declared.
        classification: as declared.
        status: as declared.
        required_security_groups: the groups whose members may read it.
        granted_to: the names of the callers that a grant lets read it, or the port of it that a decision is about.
    """

    domain: str
    product: str
    owner: str
    owners: frozenset[str]
    archetype: str = "source-aligned"
    classification: str = "internal"
    status: str = "active"
    required_security_groups: frozenset[str] = frozenset()
    granted_to: frozenset[str] = frozenset()

    @classmethod
    def of(cls, product: Product, *, domain_owners: Iterable[str] = (), granted_to: Iterable[str] = ()) -> Self:
        """Return the resource of a product.

        Args:
            product: as declared or registered.
            domain_owners: the owners of the registered products of its domain. A domain without any belongs to the owner
                of the first product that is registered in it.
            granted_to: the names of the callers that a grant lets read it.
        """
        group = product.required_security_group
        return cls(
            domain=product.address.domain,
            product=product.address.product,
            owner=product.owner,
            owners=frozenset(domain_owners) or frozenset({product.owner}),
            archetype=product.archetype.value,
            classification=product.classification,
            status=product.status.value,
            required_security_groups=frozenset({group} if group else ()),
            granted_to=frozenset(granted_to),
        )

    @property
    def uid(self) -> tuple[str, str]:
        """The type and the id of its Cedar entity."""
        return "Product", f"{self.domain}/{self.product}"

    @property
    def entities(self) -> list[dict[str, Any]]:
        """Its Cedar entity and those above it, in Cedar's JSON form."""
        attributes = {
            "owner": _group(self.owner),
            "owners": _groups(self.owners),
            "archetype": self.archetype,
            "classification": self.classification,
            "status": self.status,
            "requiredSecurityGroups": _groups(self.required_security_groups),
            "grantedTo": [_reference("Caller", name) for name in sorted(self.granted_to)],
            "service": _reference("Caller", f"{self.domain}/{self.product}"),
        }
        own = entity(self.uid, attributes, parents=[("Domain", self.domain)])
        return [own, *_domain(self.domain, self.owners)]


@dataclass(frozen=True, slots=True)
class SubjectResource:
    """A subject that is no port's.

    Attributes:
        name: of the subject.
        owners: the owners of the domain whose name the subject's name begins with, followed by a dot; none where there is
            no such domain.
    """

    name: str
    owners: frozenset[str] = frozenset()
    domain: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", self.name.partition(".")[0] if self.owners else None)

    @property
    def uid(self) -> tuple[str, str]:
        """The type and the id of its Cedar entity."""
        return "Subject", self.name

    @property
    def entities(self) -> list[dict[str, Any]]:
        """Its Cedar entity and those above it, in Cedar's JSON form."""
        attributes = {"name": self.name, "owners": _groups(self.owners)}
        if self.domain is None:
            return [entity(self.uid, attributes, parents=[MESH.uid]), *MESH.entities]
        own = entity(self.uid, attributes, parents=[("Domain", self.domain)])
        return [own, *_domain(self.domain, self.owners)]


@dataclass(frozen=True, slots=True)
class DomainResource:
    """A domain, whose own policies are administered.

    Attributes:
        name: of the domain.
        owners: the groups that own its products.
    """

    name: str
    owners: frozenset[str] = frozenset()

    @property
    def uid(self) -> tuple[str, str]:
        """The type and the id of its Cedar entity."""
        return "Domain", self.name

    @property
    def entities(self) -> list[dict[str, Any]]:
        """Its Cedar entity and the one above it, in Cedar's JSON form."""
        return _domain(self.name, self.owners)


@dataclass(frozen=True, slots=True)
class MeshResource:
    """What belongs to the whole mesh: lists, schemas by id, keys, global policies, the audit."""

    @property
    def uid(self) -> tuple[str, str]:
        """The type and the id of its Cedar entity."""
        return "Mesh", "mesh"

    @property
    def entities(self) -> list[dict[str, Any]]:
        """Its Cedar entity, in Cedar's JSON form."""
        return [entity(self.uid, {})]


MESH: Final = MeshResource()
Resource = ProductResource | SubjectResource | DomainResource | MeshResource


def written(resource: Resource) -> str:
    """Return a resource as Cedar writes it, such as `Product::"shop/orders"`."""
    kind, name = resource.uid
    return f"{kind}::{json.dumps(name, ensure_ascii=False)}"


def entity(
    uid: tuple[str, str], attributes: dict[str, Any], *, parents: Iterable[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Return an entity in Cedar's JSON form.

    Args:
        uid: its type and its id.
        attributes: in Cedar's JSON form.
        parents: the types and the ids of the entities that it is in.
    """
    return {"uid": _uid(*uid), "attrs": attributes, "parents": [_uid(*each) for each in parents]}


def _uid(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "id": name}


def _reference(kind: str, name: str) -> dict[str, Any]:
    return {"__entity": _uid(kind, name)}


def _group(name: str) -> dict[str, Any]:
    return _reference("Group", name)


def _groups(names: Iterable[str]) -> list[dict[str, Any]]:
    return [_group(name) for name in sorted(names)]


def _domain(name: str, owners: frozenset[str]) -> list[dict[str, Any]]:
    return [entity(("Domain", name), {"owners": _groups(owners)}, parents=[MESH.uid]), *MESH.entities]
