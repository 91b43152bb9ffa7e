"""The client of a registry's audit, and of an export of one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from meshport.audit import AuditChain, AuditEntry, AuditHead, AuditPage
from meshport.errors import AuditBroken, FileError
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
            what: only entries with this action, or with this text in the name of the resource.

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


def verify_export(file: Path, anchor: str | None = None) -> AuditHead:
    """Check the chain in a file of one entry a line as JSON, and return the newest entry.

    Nothing in such a file says that its end is there: `anchor` does.

    Args:
        file: what `meshport audit --json` wrote.
        anchor: a hash that was noted earlier, and that one of the entries must have.

    Raises:
        AuditBroken: an entry was changed, removed, added or moved, or none has the hash.
        FileError: the file cannot be read.
    """
    chain = AuditChain(anchor)
    try:
        with file.open("rb") as lines:
            for count, line in enumerate(lines, 1):
                try:
                    chain.add(AuditEntry.model_validate_json(line))
                except ValidationError as error:
                    number = chain.head.number + 1
                    raise AuditBroken(
                        f"the audit is broken at entry {number}: line {count} of {file} is no entry", number=number
                    ) from error
    except OSError as error:
        raise FileError(f"{file} cannot be read: {error.strerror}") from error
    return chain.end()
