"""The client of a registry's audit, and of an export of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from pydantic import ConfigDict, ValidationError

from meshport.audit import AuditChain, AuditEntry, AuditHead, AuditPage
from meshport.errors import AuditBroken
from meshport.registry.requests import Requests


class AuditLog:
    """The audit of one registry.

    Args:
        requests: to the registry.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def entries(
        self, *, since: datetime | None = None, who: str | None = None, what: str | None = None
    ) -> Iterator[AuditEntry]:
        """Yield entries, oldest first; up to 1000 are in memory.

        Args:
            since: only entries of this instant or later.
            who: only entries of the caller with this name.
            what: only entries with this action, or with this text in the resource or the detail.

        Raises:
            RegistrationRefused: the caller may not read the audit.
            RegistryUnavailable: the registry did not answer.
        """
        narrowed = {"since": None if since is None else since.isoformat(), "who": who, "what": what}
        for page in self._pages(**narrowed):
            yield from page.entries

    def verify(self, anchor: str | None = None) -> AuditHead:
        """Check the whole chain here, entry by entry, and return the newest entry.

        Args:
            anchor: a hash that was noted earlier, and that one of the entries must have.

        Raises:
            AuditBroken: an entry was changed, removed, added or moved, or none has the hash.
            RegistrationRefused: the caller may not read the audit.
            RegistryUnavailable: the registry did not answer.
        """
        chain, noted = AuditChain(anchor), AuditHead()
        for page in self._pages():
            for entry in page.entries:
                chain.add(entry)
            noted = page.head
        return chain.end(noted)

    def _pages(self, **narrowed: str | None) -> Iterator[AuditPage]:
        after, more = 0, True
        while more:
            page = self._requests.get("/api/v1/audit", AuditPage, after=after, **narrowed)
            yield page
            more = page.more
            after = page.entries[-1].number if page.entries else after


def verify_export(lines: Iterable[bytes], anchor: str | None = None) -> AuditHead:
    """Check the chain of an export, and return the newest entry.

    Nothing in an export says that its end is there: `anchor` does.

    Args:
        lines: one entry each, as `meshport audit --json` writes them.
        anchor: a hash that was noted earlier, and that one of the entries must have.

    Raises:
        AuditBroken: an entry was changed, removed, added or moved, or none has the hash.
    """
    chain = AuditChain(anchor)
    for count, line in enumerate(lines, 1):
        try:
            entry = _Exported.model_validate_json(line)
        except ValidationError as error:
            number = chain.head.number + 1
            raise AuditBroken(
                f"the audit is broken at entry {number}: line {count} is no entry", number=number
            ) from error
        chain.add(entry)
    return chain.end()


class _Exported(AuditEntry):
    """An entry of an export: what has further values, or values of another type, was not written by a registry."""

    model_config = ConfigDict(extra="forbid", strict=True)
