"""The client of a registry's API keys."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, TypeAdapter

from meshport.api_keys import ApiKey, ApiKeyRequest, ApiKeyRotation, NewApiKey
from meshport.registry.requests import Requests, parse_response

_KEYS: Final = TypeAdapter(tuple[ApiKey, ...])
_PATH: Final = "/api/v1/keys"


class _NoBody(BaseModel):
    """An empty body."""


class RegistryKeys:
    """Lists and changes the API keys of a registry; `Registry.keys` makes it.

    Every method raises RegistryUnavailable if the registry does not answer, and RegistrationRefused if the caller may not
    administer it.

    Args:
        requests: to the registry.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def list(self) -> tuple[ApiKey, ...]:
        """Return every key that was ever made, newest first."""
        return parse_response(self._requests.send("GET", _PATH), _KEYS.validate_json)

    def create(self, wanted: ApiKeyRequest) -> NewApiKey:
        """Make a key.

        Raises:
            RegistrationRefused: the name or a group is one that no key gives, or the last day is past.
        """
        return self._requests.post(_PATH, wanted, NewApiKey)

    def rotate(self, key_id: str, *, overlap_hours: int) -> NewApiKey:
        """Make a new key for the caller of a key, and let the old one end after some hours.

        Raises:
            NotRegistered: there is no such key.
            RegistrationRefused: it is revoked.
        """
        return self._requests.post(f"{_PATH}/{key_id}/rotate", ApiKeyRotation(overlap_hours=overlap_hours), NewApiKey)

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key for good.

        Raises:
            NotRegistered: there is no such key.
        """
        return self._requests.post(f"{_PATH}/{key_id}/revoke", _NoBody(), ApiKey)
