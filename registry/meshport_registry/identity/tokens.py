"""Bearer tokens of an OpenID provider: verified, and the verdict kept as long as it holds.

A token is a JSON Web Token (RFC 7519, 8725, 9068). It must have `iss`, `aud`, `exp` and the claim of the caller's name;
`nbf` and `iat` are verified where it has them, as several providers give no `nbf`.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any, Final

from meshport_registry.errors import Unauthenticated
from meshport_registry.identity.caller import Caller
from meshport_registry.identity.claims import caller_of_claims
from meshport_registry.identity.provider import Provider
from meshport_registry.identity.signatures import LEEWAY_S, SUBJECT, header_of, key_of, refusal, verified_claims
from meshport_registry.identity.signing_keys import SigningKey
from meshport_registry.settings import OidcSettings

_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
# Of each kind of verdict; a token takes 200 bytes here, and its text is not kept.
_MOST_KEPT: Final = 10_000
_REFUSAL_KEPT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Accepted:
    caller: Caller
    ends_at: float


@dataclass(frozen=True, slots=True)
class _Refused:
    reason: str
    forget_at: float


class TokenVerifier:
    """Finds the caller of a bearer token.

    Args:
        settings: of the provider.
        provider: its keys.
    """

    def __init__(self, settings: OidcSettings, provider: Provider) -> None:
        self._settings = settings
        self._provider = provider
        self._accepted: dict[bytes, _Accepted] = {}
        self._refused: dict[bytes, _Refused] = {}
        self._version = provider.version

    async def caller(self, token: str) -> Caller:
        """Return the caller that a token names.

        Raises:
            Unauthenticated: the token is not valid.
            IdentityUnavailable: the provider does not answer, and has not for some time.
        """
        keys = await self._provider.keys()
        if self._version != self._provider.version:  # a key that is gone verifies nothing any more
            self._forget()
        digest, now = hashlib.sha256(token.encode("latin-1")).digest(), time.time()
        accepted = self._accepted.get(digest)
        if accepted is not None and now < accepted.ends_at:
            return accepted.caller
        refused = self._refused.get(digest)
        if refused is not None and now < refused.forget_at:
            raise refusal(refused.reason)
        header = header_of(token, _TYPES)
        key = key_of(keys, header)
        if key is None:
            key = key_of(await self._provider.keys_read_again(), header)
            if self._version != self._provider.version:
                self._forget()
        if key is None:  # not kept: the provider may publish the key in a moment
            raise refusal("is signed by no key of the provider")
        try:
            found = self._verify(token, key, header["alg"])
        except Unauthenticated as error:
            _keep(self._refused, digest, _Refused(error.message.removeprefix(SUBJECT), now + _REFUSAL_KEPT_S))
            raise
        _keep(self._accepted, digest, found)
        return found.caller

    def _forget(self) -> None:
        self._version = self._provider.version
        self._accepted.clear()
        self._refused.clear()

    def _verify(self, token: str, key: SigningKey, algorithm: str) -> _Accepted:
        claims = verified_claims(
            token,
            key,
            algorithm,
            issuer=self._settings.issuer,
            audience=self._settings.audience,
            required=("iss", "aud", "exp", self._settings.name_claim),
        )
        return _Accepted(caller_of_claims(claims, self._settings), float(claims["exp"]) + LEEWAY_S)


def _keep(verdicts: dict[bytes, Any], digest: bytes, verdict: _Accepted | _Refused) -> None:
    """Keep a verdict, and drop the oldest ones beyond the bound."""
    verdicts[digest] = verdict
    while len(verdicts) > _MOST_KEPT:
        del verdicts[next(iter(verdicts))]
