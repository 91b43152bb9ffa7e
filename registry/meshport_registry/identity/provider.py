"""The public keys of an OpenID provider: found by discovery, kept, and read again when they may have changed.

Only the issuer's own URL and the `jwks_uri` of its discovery document are ever fetched (OpenID Connect Discovery 1.0), never
a URL of a token. What is fetched is bounded in bytes, seconds and keys. A token with an unknown key has the keys read again,
because the provider may have rotated them; such reads are bounded in number, so that no caller can have the registry ask
its provider at will.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import httpx2
import orjson

from meshport.safe_url import is_safe_url
from meshport_registry.errors import IdentityUnavailable
from meshport_registry.identity.signing_keys import SigningKey, signing_keys

FRESH_S: Final = 300.0
"""Seconds after which the keys are read again, beside the requests that come meanwhile."""
_KEPT_S: Final = 3600.0
_RETRY_S: Final = 5.0
# Reads because of unknown keys: some at once, as a provider may rotate twice in a row, then one in this many seconds.
_EXTRA_READS: Final = 3
_EXTRA_READ_S: Final = 30.0
_TIMEOUT_S: Final = 5.0
_LARGEST: Final = 256 * 1024
_log: Final = logging.getLogger(__name__)


class Provider:
    """The signing keys of one issuer.

    Args:
        issuer: its URL.
        clock: returns seconds that only grow.
        transport: of the requests; for tests inside one process.

    Attributes:
        version: grows each time that the keys change.
    """

    def __init__(
        self,
        issuer: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.version = 0
        self._issuer = issuer
        self._clock = clock
        self._transport = transport
        self._keys: tuple[SigningKey, ...] = ()
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
                raise IdentityUnavailable(
                    f"the OpenID provider {self._issuer} did not answer, so no token can be verified",
                    hint="try again in a moment",
                )
        return self._keys

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
            # The environment's proxy and authorities count (HTTPS_PROXY, SSL_CERT_FILE): a provider may be anywhere.
            async with httpx2.AsyncClient(timeout=_TIMEOUT_S, transport=self._transport) as http:
                async with asyncio.timeout(2 * _TIMEOUT_S):
                    found = await self._fetch(http)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TypeError, TimeoutError, OSError) as error:
            _log.warning(
                "the keys of the OpenID provider %s cannot be read: %s", self._issuer, error or type(error).__name__
            )
        else:
            if [each.identity for each in found] != [each.identity for each in self._keys]:
                self._keys = found
                self.version += 1
            self._read_at = begun
        finally:
            self._reading = None

    async def _fetch(self, http: httpx2.AsyncClient) -> tuple[SigningKey, ...]:
        """Return the keys as the provider has them now.

        Raises:
            ValueError: what it answers is not what OpenID Connect Discovery says.
        """
        document = await _json(http, f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != self._issuer:
            raise ValueError(f"its discovery document is of the issuer {document.get('issuer')!r}")
        uri = document.get("jwks_uri")
        if not isinstance(uri, str) or not is_safe_url(uri):
            raise ValueError(f"its jwks_uri is {uri!r}, neither HTTPS nor on this machine")
        found = signing_keys(await _json(http, uri))
        if not found:
            raise ValueError(f"{uri} has no key that signs tokens")
        return found


async def _json(http: httpx2.AsyncClient, url: str) -> dict[str, Any]:
    """Return the JSON object at a URL.

    Raises:
        ValueError: the response is no success, too large, or no JSON object.
    """
    body = b""
    async with http.stream("GET", url, headers={"accept": "application/json"}) as response:
        if response.status_code != httpx2.codes.OK:
            raise ValueError(f"{url} answered {response.status_code}")
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > _LARGEST:
                raise ValueError(f"{url} answers more than {_LARGEST} bytes")
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise ValueError(f"{url} answers no JSON object")  # noqa: TRY004 - it is the content that is wrong
    return found
