"""API keys by the database alone, for a command on the registry's host: a user who may write the database is trusted.

So the first key is made, and the next one after the last was lost. The audit names the user of the operating system.
"""

from __future__ import annotations

import asyncio
import getpass
from datetime import timedelta
from typing import Final, Self, TypeVar

from pydantic import SecretStr

from meshport.api_keys import ApiKey, ApiKeyRequest, NewApiKey
from meshport.audit import AuditOutcome
from meshport.errors import RegistrationRefused, RegistryUnavailable
from meshport.product.lines import utc_today
from meshport_registry.audit import AuditRecord, append
from meshport_registry.errors import ServiceError, StoreFailed
from meshport_registry.identity.keys import all_keys, create_key, revoke_key, rotate_key
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore, Work

_T = TypeVar("_T")
_BY: Final = "host"


class KeysInDatabase:
    """The API keys of a database, while a `with` block is open; a registry may run on it meanwhile.

    Args:
        database: its URL.

    Raises:
        RegistryUnavailable: the database cannot be opened.
    """

    def __init__(self, database: SecretStr | str) -> None:
        try:
            self._store = RegistryStore(database_url(database)).open()
        except StoreFailed as error:
            raise RegistryUnavailable(
                error.message, hint=error.hint or "is --database right, and does it run?"
            ) from error
        self._user = getpass.getuser()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def list(self) -> tuple[ApiKey, ...]:
        """Return every key that was ever made, newest first."""
        return self._store.read_now(all_keys)

    def create(self, wanted: ApiKeyRequest) -> NewApiKey:
        """Make a key.

        Raises:
            RegistrationRefused: the name or a group is one that no key gives, or the last day is past.
        """
        today = utc_today()
        return self._write(lambda c: create_key(c, wanted, by=self._user, today=today), "create", wanted.name)

    def rotate(self, key_id: str, *, overlap_hours: int) -> NewApiKey:
        """Make a new key for the caller of a key, and let the old one end after some hours.

        Raises:
            RegistrationRefused: there is no such key, or it is revoked.
        """
        overlap = timedelta(hours=overlap_hours)
        return self._write(lambda c: rotate_key(c, key_id, overlap=overlap, by=self._user), "rotate", key_id)

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key for good.

        Raises:
            RegistrationRefused: there is no such key.
        """
        return self._write(lambda c: revoke_key(c, key_id), "revoke", key_id)

    def _write(self, work: Work[_T], what: str, of: str) -> _T:
        record = AuditRecord(
            caller=self._user,
            by=_BY,
            action="administer",
            resource='Mesh::"mesh"',
            outcome=AuditOutcome.ALLOWED,
            detail=f"registry key {what} {of}",
        )
        recording = self._store.recording(lambda connection: append(connection, record), lambda: None)
        try:
            return asyncio.run(recording.write(work))
        except ServiceError as error:
            raise RegistrationRefused(error.message, findings=error.findings, hint=error.hint) from error
