"""An OpenID provider: its public keys and its endpoints, found by discovery, kept, and read again when they may have changed.

Only the issuer's own URL and those of its discovery document are ever fetched (OpenID Connect Discovery 1.0), never a URL of a
token. What is fetched is bounded in bytes, seconds and keys. A token with an unknown key has the keys read again,
because the provider may have rotated them; such reads are bounded in number, so that no caller can have the registry ask
its provider at will.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshport.safe_url import is_safe_url
from meshport_registry.errors import IdentityUnavailable
from meshport_registry.identity.provider_http import ProviderError, get_object
from meshport_registry.identity.signing_keys import SigningKey, signing_keys

FRESH_S: Final = 300.0
"""Seconds after which the keys are read again, beside the requests that come meanwhile."""
_KEPT_S: Final = 3600.0
_RETRY_S: Final = 5.0
# Reads because of unknown keys: some at once, as a provider may rotate twice in a row, then one in this many seconds.
_EXTRA_READS: Final = 3
_EXTRA_READ_S: Final = 30.0
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProviderEndpoints:
    """What the discovery document of a provider says of logins with a browser.

    An endpoint is None where the document has none, or one that is neither HTTPS nor on this machine.

    Attributes:
        authorization: where a person logs in.
        token: where a code is redeemed.
        userinfo: has claims that the ID token lacks.
        end_session: where a person logs out (OpenID Connect RP-Initiated Logout 1.0).
        names_itself: whether its answer to a browser says who it is (RFC 9207).
        by_basic: whether a client shows its secret by HTTP basic; otherwise in the form.
    """

    authorization: str | None
    token: str | None
    userinfo: str | None
    end_session: str | None
    names_itself: bool
    by_basic: bool

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ProviderEndpoints:
        """Return what a discovery document says."""

        def endpoint(name: str) -> str | None:
            url = document.get(f"{name}_endpoint")
            return url if isinstance(url, str) and is_safe_url(url) else None

        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return cls(
            authorization=endpoint("authorization"),
            token=endpoint("token"),
            userinfo=endpoint("userinfo"),
            end_session=endpoint("end_session"),
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
            by_basic=not isinstance(methods, list)
            or "client_secret_basic" in methods
            or "client_secret_post" not in methods,
        )


class Provider:
    """The signing keys and the endpoints of one issuer.

    Args:
        issuer: its URL.
        clock: returns seconds that only grow.

    Attributes:
        version: grows each time that the keys change.
    """

    def __init__(self, issuer: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.version = 0
        self._issuer = issuer
        self._clock = clock
        self._keys: tuple[SigningKey, ...] = ()
        self._endpoints: ProviderEndpoints | None = None
        self._failure = "it was not asked yet"
        self._read_at = self._tried_at = float("-inf")
        self._extra_reads: float = _EXTRA_READS
        self._extra_since = clock()
        self._reading: asyncio.Task[None] | None = None

    async def keys(self) -> tuple[SigningKey, ...]:
        """Return the keys.

        Raises:
            IdentityUnavailable: the provider has never answered, or not for an hour.
        """
        now = self._clock()
        if now - self._read_at > FRESH_S:
            if now - self._tried_at > _RETRY_S or self._reading is not None:
                reading = self._read_once()
                if now - self._read_at > _KEPT_S:
                    await asyncio.shield(reading)
            if self._clock() - self._read_at > _KEPT_S:
                raise self.unavailable(self._failure)
        return self._keys

    async def endpoints(self) -> ProviderEndpoints:
        """Return the endpoints.

        Raises:
            IdentityUnavailable: the provider has never answered, or not for an hour.
        """
        await self.keys()
        if self._endpoints is None:
            raise self.unavailable(self._failure)
        return self._endpoints

    def unavailable(self, reason: str) -> IdentityUnavailable:
        """Return the error of a provider that does not answer as one does."""
        return IdentityUnavailable(
            f"the OpenID provider {self._issuer} did not answer as one does: {reason}",
            hint="try again in a moment",
        )

    async def keys_read_again(self) -> tuple[SigningKey, ...]:
        """Return the keys, read again unless that was done too often already."""
        if self._reading is None:
            now = self._clock()
            since, self._extra_since = now - self._extra_since, now
            self._extra_reads = min(_EXTRA_READS, self._extra_reads + since / _EXTRA_READ_S)
            if self._extra_reads < 1:
                return self._keys
            self._extra_reads -= 1
        await asyncio.shield(self._read_once())
        return self._keys

    def _read_once(self) -> asyncio.Task[None]:
        """Return the read that is in progress, or begin one."""
        if self._reading is None:
            self._tried_at = self._clock()
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> None:
        begun = self._clock()
        try:
            endpoints, found = await self._fetch()
        except (ProviderError, ValueError, TypeError) as error:
            self._failure = str(error)
            _log.warning("the keys of the OpenID provider %s cannot be read: %s", self._issuer, error)
        else:
            if [each.identity for each in found] != [each.identity for each in self._keys]:
                self._keys = found
                self.version += 1
            self._endpoints, self._read_at = endpoints, begun
        finally:
            self._reading = None

    async def _fetch(self) -> tuple[ProviderEndpoints, tuple[SigningKey, ...]]:
        """Return the endpoints and the keys as the provider has them now.

        Raises:
            ProviderError: it does not answer, or not as OpenID Connect Discovery says.
            ValueError: what it answers is no key set.
        """
        document = await get_object(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != self._issuer:
            raise ProviderError(f"its discovery document is of the issuer {document.get('issuer')!r}")
        uri = document.get("jwks_uri")
        if not isinstance(uri, str) or not is_safe_url(uri):
            raise ProviderError(f"its jwks_uri is {uri!r}, neither HTTPS nor on this machine")
        endpoints = ProviderEndpoints.of(document)
        found = signing_keys(await get_object(uri))
        if not found:
            raise ProviderError(f"{uri} has no key that signs tokens")
        return endpoints, found
