"""Access to ports, as a registry's API sends and receives it: requests, grants that end by themselves, and who may read.

A reader is a data product, `domain/product`, or a person or service by the name under which the registry knows it. An input
port that a product declares is a request too, unless the policies let the product read the port.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from meshport.newer import OrNewer
from meshport.product.descriptor import Product
from meshport.product.input_port import AddressText

__all__ = [
    "AccessRequest",
    "AclChange",
    "Grant",
    "GrantApproval",
    "GrantState",
    "GrantWithdrawal",
    "GrantedAcl",
    "PlannedReader",
    "PortReader",
]

MOST_ACLS = 400
"""ACLs of one `AclChange`."""

ReaderName = Annotated[str, Field(min_length=1, max_length=256)]
Words = Annotated[str, Field(min_length=1, max_length=1000)]


class GrantState(StrEnum):
    """What became of a request."""

    REQUESTED = "requested"
    GRANTED = "granted"
    REFUSED = "refused"
    REVOKED = "revoked"
    ENDED = "ended"
    """It was granted until an instant that is past."""


class _AccessBody(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _AccessAnswer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class AccessRequest(_AccessBody):
    """The body of `POST /api/v1/access`.

    Attributes:
        address: of the port; without a port the product's default one, without a major every line of the port.
        reader: who wants to read; None for the caller.
        purpose: what for.
        until: the instant to which access is wanted; None leaves that to the owner.
    """

    address: AddressText
    reader: ReaderName | None = None
    purpose: Words
    until: AwareDatetime | None = None


class GrantApproval(_AccessBody):
    """The body of `POST /api/v1/access/{number}/grant`.

    Attributes:
        until: the instant at which the grant ends; None for the one that was asked for.
        reason: why, if that is worth a word.
    """

    until: AwareDatetime | None = None
    reason: Words | None = None


class GrantWithdrawal(_AccessBody):
    """The body of `POST /api/v1/access/{number}/refuse` and `.../revoke`.

    Attributes:
        reason: why.
    """

    reason: Words


class Grant(_AccessAnswer):
    """A request for access, and what became of it.

    Attributes:
        id: its number.
        reader: who reads, or wants to.
        address: of the port, with a major if the request is for one line of it only.
        owner: the group that owns the product, and decides.
        purpose: what for.
        state: at the time of the answer.
        requested_by: the name of the caller who asked.
        requested_at: when.
        wanted_until: the end that was asked for; None if none was.
        decided_by: the name of the caller who granted or refused it; None while it waits.
        decided_at: when.
        until: when it ends by itself; None unless it was granted.
        revoked_by: the name of the caller who revoked it; None if it was not.
        revoked_at: when.
        reason: of the last decision.
        forbidden_by: the ids of the policies that forbid what was granted; such a grant has no ACLs.
    """

    id: int
    reader: str
    address: AddressText
    owner: str
    purpose: str
    state: OrNewer[GrantState]
    requested_by: str
    requested_at: datetime
    wanted_until: datetime | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    until: datetime | None = None
    revoked_by: str | None = None
    revoked_at: datetime | None = None
    reason: str | None = None
    forbidden_by: tuple[str, ...] = ()


class PlannedReader(_AccessBody):
    """The body of `POST /api/v1/access/readers`: a product that is about to be registered.

    Attributes:
        product: as it is declared.
        beside: the products that it reads and that are about to be registered too.
    """

    product: Product
    beside: tuple[Product, ...] = Field(default=(), max_length=100)


class PortReader(_AccessAnswer):
    """An input port of a product, and whether its process may read it.

    Attributes:
        reader: the product, `domain/product`.
        address: of the port, as the product declares it.
        allowed: whether it may.
        by_grant: whether it may because of a grant alone.
        policies: the ids of the policies that say so.
        grant: the number of the grant by which it may, or of its newest request; None without one.
        state: of that grant or request.
    """

    reader: str
    address: AddressText
    allowed: bool
    by_grant: bool = False
    policies: tuple[str, ...] = ()
    grant: int | None = None
    state: OrNewer[GrantState] | None = None


class GrantedAcl(_AccessBody):
    """An ACL that was created for a grant, and that is deleted once no grant needs it.

    Attributes:
        cluster: the name of the Kafka cluster; None for the default one.
        principal, operation, resource, name, pattern: of the ACL; see `meshport.kafka.acls.Acl`.
    """

    cluster: str | None = Field(default=None, max_length=64)
    principal: str = Field(max_length=512)
    operation: str = Field(max_length=32)
    resource: str = Field(max_length=32)
    name: str = Field(max_length=512)
    pattern: str = Field(max_length=32)


class AclChange(_AccessBody):
    """The body of `POST /api/v1/access/acls`.

    Attributes:
        added: ACLs that are about to be created.
        removed: ACLs that were deleted, or that something else than a grant needs by now.
    """

    added: tuple[GrantedAcl, ...] = Field(default=(), max_length=MOST_ACLS)
    removed: tuple[GrantedAcl, ...] = Field(default=(), max_length=MOST_ACLS)
