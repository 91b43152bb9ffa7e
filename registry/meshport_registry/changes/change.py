"""A change of what the registry holds, as the event of `mesh://mesh/changes` has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from sqlalchemy import Row

from meshport.address import Address

MESH: Final = "mesh"
"""What a change is about that is about no product, no subject and no domain."""
_MOST_TEXTS: Final = 100
# Of one text, so that an event stays far below what a topic takes.
_LONGEST: Final = 500


class MeshChangeKind(StrEnum):
    """What was done: the symbols of the contract's enum."""

    REGISTERED = "REGISTERED"
    CHANGED = "CHANGED"
    DEPRECATED = "DEPRECATED"
    ACTIVATED = "ACTIVATED"
    RETIRED = "RETIRED"
    DROPPED = "DROPPED"
    SWITCHED = "SWITCHED"
    GENERATION_RETIRED = "GENERATION_RETIRED"
    WAIVED = "WAIVED"
    WAIVER_REVOKED = "WAIVER_REVOKED"
    ACCESS_REQUESTED = "ACCESS_REQUESTED"
    GRANTED = "GRANTED"
    REFUSED = "REFUSED"
    REVOKED = "REVOKED"
    PROBLEM_OPENED = "PROBLEM_OPENED"
    PROBLEM_ANSWERED = "PROBLEM_ANSWERED"
    PROBLEM_CLOSED = "PROBLEM_CLOSED"
    SCHEMA_REGISTERED = "SCHEMA_REGISTERED"
    SCHEMA_DELETED = "SCHEMA_DELETED"
    LEVEL_CHANGED = "LEVEL_CHANGED"
    MODE_CHANGED = "MODE_CHANGED"
    IMPORTED = "IMPORTED"
    POLICIES_CHANGED = "POLICIES_CHANGED"
    GLOSSARY_CHANGED = "GLOSSARY_CHANGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshChange:
    """One change. The attributes are the fields of the contract; those that only `record` knows are missing.

    Attributes:
        kind: what was done.
        about: what was changed: an address of a product, `subject:NAME`, `domain:NAME`, or `mesh`.
        summary: the change in one sentence.
        address: of the port; None where it is about none.
        owner: the group that owns the product.
        changed: what a registration changed.
        notes: what the registry remarked on a registration.
        item: the number of what was changed: a waiver, a request, a report, a generation or a version.
        reader: who reads, or wants to.
        until: when what was granted ends.
        successor: the address that readers move to.
    """

    kind: MeshChangeKind
    about: str
    summary: str
    address: Address | None = None
    owner: str | None = None
    changed: Sequence[str] = field(default=())
    notes: Sequence[str] = field(default=())
    item: int | None = None
    reader: str | None = None
    until: datetime | None = None
    successor: Address | None = None

    @classmethod
    def of_product(cls, kind: MeshChangeKind, product: Row[Any], address: Address, summary: str, **facts: Any) -> Self:
        """Return a change of a product.

        Args:
            kind: what was done.
            product: its row, or any with its owner.
            address: of the product, or of the port that was changed.
            summary: the change in one sentence.
            facts: further attributes.
        """
        port = None if address.port is None else address
        return cls(
            kind=kind,
            about=str(address.of_product),
            summary=summary,
            address=port,
            owner=product.owner,
            **facts,
        )

    @classmethod
    def of_subject(cls, kind: MeshChangeKind, subject: str | None, summary: str, **facts: Any) -> Self:
        """Return a change of a subject; of every subject for None."""
        about = MESH if subject is None else f"subject:{subject}"
        return cls(kind=kind, about=about, summary=summary, **facts)

    def values(self, number: int, at: datetime) -> dict[str, Any]:
        """Return the record of the contract.

        Args:
            number: of the change.
            at: when it was made.
        """
        return {
            "number": number,
            "at": at,
            "kind": str(self.kind),
            "about": self.about,
            "address": None if self.address is None else str(self.address),
            "owner": self.owner,
            "summary": _cut(self.summary),
            "changed": [_cut(each) for each in self.changed[:_MOST_TEXTS]],
            "notes": [_cut(each) for each in self.notes[:_MOST_TEXTS]],
            "item": self.item,
            "reader": self.reader,
            "until": self.until,
            "successor": None if self.successor is None else str(self.successor),
        }


def end_of(day: date) -> datetime:
    """Return the end of a day (UTC), as an instant."""
    return datetime.combine(day, time(), UTC) + timedelta(days=1)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
