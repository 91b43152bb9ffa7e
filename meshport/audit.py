"""The audit of a registry: its entries, and whether their chain is whole.

Each entry has the SHA-256 of itself and of the hash of the entry before it, so that a changed, removed, added or moved entry
breaks the chain at its number. What is hashed is the JSON list of the values of an entry in the order of its attributes,
`previous` first and without `hash`, in UTF-8, without spaces, as `JSON.stringify` and `jq -c` write it: any program can check
an export. An owner of the database can compute the whole chain anew. Therefore a hash that was noted elsewhere
can be asked for: a chain without it is broken too.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

from meshport.errors import AuditBroken
from meshport.newer import OrNewer

NO_HASH: Final = "0" * 64
"""`previous` of the first entry, and the head of an empty audit."""


class AuditOutcome(StrEnum):
    """What came of an audited call."""

    ALLOWED = "allowed"
    """The change was made."""
    REFUSED = "refused"
    """The caller was not known, or has no right to it (401, 403)."""
    FAILED = "failed"
    """The caller has the right to it, and nothing was changed: the gate refused it, it contradicts what is registered, ..."""


class _AuditModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class AuditEntry(_AuditModel):
    """One change or refusal.

    Attributes:
        previous: the hash of the entry before it; `NO_HASH` in the first one.
        number: from 1, without gaps.
        at: when it was entered, in UTC: `2027-03-01T12:00:00.000000Z`.
        caller: the name of the caller.
        by: what the caller showed: `anonymous`, `key`, `certificate` or `token`; `host` for a command on the registry's host.
        action: the action that the policies judged, such as `register`; of a call that no policy judged, its method and route.
        resource: what it was done to.
        outcome: what came of it.
        detail: the method and the path; of a call that changed nothing, the status of the answer and why it was refused.
        policies: the version of the policies that were in force; None where none judged.
        hash: SHA-256 of all of the above, in hexadecimal digits.
    """

    previous: str
    number: int
    at: str
    caller: str
    by: str
    action: str
    resource: str
    outcome: OrNewer[AuditOutcome]
    detail: str
    policies: str | None
    hash: str


class AuditHead(_AuditModel):
    """The newest entry of an audit.

    Attributes:
        number: of the entry; 0 for an empty audit.
        hash: of the entry; `NO_HASH` for an empty audit.
    """

    number: int = 0
    hash: str = NO_HASH


class AuditPage(_AuditModel):
    """Some entries of an audit, oldest first.

    Attributes:
        entries: the entries.
        head: the newest entry of the whole audit, as the registry noted it when it was entered.
        more: whether further entries match.
    """

    entries: tuple[AuditEntry, ...]
    head: AuditHead
    more: bool


def audit_hash(
    *,
    previous: str,
    number: int,
    at: str,
    caller: str,
    by: str,
    action: str,
    resource: str,
    outcome: str,
    detail: str,
    policies: str | None,
) -> str:
    """Return the hash of an entry with these values."""
    values = [previous, number, at, caller, by, action, resource, str(outcome), detail, policies]
    return hashlib.sha256(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


class AuditChain:
    """Checks the entries of an audit one by one, oldest first.

    Args:
        anchor: a hash that was noted elsewhere, and that one of the entries must have; None for none.

    Attributes:
        head: the last entry so far.
    """

    def __init__(self, anchor: str | None = None) -> None:
        self.head = AuditHead()
        self._anchor = anchor
        self._anchored = anchor in {None, NO_HASH}

    def add(self, entry: AuditEntry) -> None:
        """Check that an entry is whole and follows the one before.

        Raises:
            AuditBroken: it is not.
        """
        number = self.head.number + 1
        if entry.number > number:
            raise AuditBroken(
                f"the audit is broken at entry {number}: it is missing, and entry {entry.number} follows",
                number=number,
            )
        if entry.number < number:
            raise AuditBroken(
                f"the audit is broken at entry {entry.number}: it follows entry {self.head.number}", number=entry.number
            )
        if entry.previous != self.head.hash:
            raise AuditBroken(
                f"the audit is broken at entry {number}: it follows an entry with the hash {entry.previous}, and the one before "
                f"it has {self.head.hash}",
                number=number,
            )
        values = entry.model_dump(exclude={"hash"})
        if entry.hash != audit_hash(**values):
            raise AuditBroken(
                f"the audit is broken at entry {number}: its hash is not that of its values", number=number
            )
        self.head = AuditHead(number=number, hash=entry.hash)
        self._anchored = self._anchored or entry.hash == self._anchor

    def end(self, noted: AuditHead | None = None) -> AuditHead:
        """Return the newest entry, once all were added.

        Args:
            noted: the newest entry as the registry noted it; None for an export, which has no note.

        Raises:
            AuditBroken: the newest entry is another one, or no entry has the hash that was asked for.
        """
        if noted is not None and noted != self.head:
            number = min(noted.number, self.head.number) + (noted.number != self.head.number)
            raise AuditBroken(
                f"the audit is broken at entry {number}: the registry noted entry {noted.number} as its newest one, with the "
                f"hash {noted.hash}, and the chain ends with entry {self.head.number}, with {self.head.hash}",
                number=number,
            )
        if not self._anchored:
            raise AuditBroken(
                f"the audit is not the one that was noted: none of its {self.head.number} entries has the hash {self._anchor}",
                hint="its end was removed, or the whole chain was written anew",
            )
        return self.head
