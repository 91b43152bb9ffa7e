"""Bearer tokens of an OpenID provider: verified, and the verdict kept as long as it holds.

A token is a JSON Web Token (RFC 7519, 8725, 9068). It must have `iss`, `aud`, `exp` and the claim of the caller's name;
`nbf` and `iat` are verified where it has them, as several providers give no `nbf`. Of its header, `alg` and `kid` only choose
among the provider's own keys; `jwk`, `jku`, `x5c` and `x5u` are never looked at, and a token with `crit` is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
import orjson

from meshport_registry.errors import Unauthenticated
from meshport_registry.identity.caller import Caller, unfit_group, unfit_name
from meshport_registry.identity.provider import Provider
from meshport_registry.identity.signing_keys import SigningKey
from meshport_registry.settings import OidcSettings

# Clocks of provider and registry differ.
_LEEWAY_S: Final = 30
_LONGEST_TOKEN: Final = 16 * 1024
_LONGEST_HEADER: Final = 2048
_MOST_GROUPS: Final = 1000
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
# Of each kind of verdict; a token takes 200 bytes here, and its text is not kept.
_MOST_KEPT: Final = 10_000
_REFUSAL_KEPT_S: Final = 30.0
_HINT: Final = "log in again: meshport login"
_REASONS: Final[dict[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "has ended (exp)",
    jwt.ImmatureSignatureError: "is not valid yet (nbf, iat)",
    jwt.InvalidAudienceError: "is for another audience (aud)",
    jwt.InvalidIssuerError: "is of another issuer (iss)",
    jwt.InvalidSignatureError: "has a wrong signature",
}


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
            raise _refusal(refused.reason)
        header = _header(token)
        key = _choose(keys, header)
        if key is None:
            key = _choose(await self._provider.keys_read_again(), header)
            if self._version != self._provider.version:
                self._forget()
        if key is None:  # not kept: the provider may publish the key in a moment
            raise _refusal("is signed by no key of the provider")
        try:
            found = self._verify(token, key, header["alg"])
        except Unauthenticated as error:
            _keep(self._refused, digest, _Refused(error.message.removeprefix(_SUBJECT), now + _REFUSAL_KEPT_S))
            raise
        _keep(self._accepted, digest, found)
        return found.caller

    def _forget(self) -> None:
        self._version = self._provider.version
        self._accepted.clear()
        self._refused.clear()

    def _verify(self, token: str, key: SigningKey, algorithm: str) -> _Accepted:
        name_claim = self._settings.name_claim
        try:
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[algorithm],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["iss", "aud", "exp", name_claim]},
            )
            ends_at = float(claims["exp"]) + _LEEWAY_S
        except jwt.MissingRequiredClaimError as error:
            raise _refusal(f"has no claim {error.claim}") from None
        except jwt.PyJWTError as error:
            raise _refusal(
                next((text for kind, text in _REASONS.items() if isinstance(error, kind)), "is not valid")
            ) from None
        except (ValueError, TypeError, OverflowError, RecursionError):  # of claims that no provider writes
            raise _refusal("is not valid") from None
        return _Accepted(self._caller(claims), ends_at)

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        """Return the caller whom verified claims name.

        Raises:
            Unauthenticated: the claim of the name is no name, or an email address that the provider has not verified.
        """
        name_claim = self._settings.name_claim
        name = claims[name_claim]
        if not isinstance(name, str) or unfit_name(name):
            raise _refusal(f"has no name of a caller in its claim {name_claim}")
        if name_claim == "email" and claims.get("email_verified", True) is not True:
            raise _refusal("names an email address that its provider has not verified")
        return Caller(name, self._groups(claims), "token")

    def _groups(self, claims: Mapping[str, Any]) -> frozenset[str]:
        path = self._settings.groups_claim
        found: Any = claims.get(path)
        if found is None:
            found = claims
            for part in path.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
        names = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        if len(names) > _MOST_GROUPS:
            raise _refusal(f"has more than {_MOST_GROUPS} groups in its claim {path}")
        return frozenset(each for each in names if isinstance(each, str) and not unfit_group(each))


_SUBJECT: Final = "the token "


def _refusal(reason: str) -> Unauthenticated:
    return Unauthenticated(f"{_SUBJECT}{reason}", hint=_HINT)


def _header(token: str) -> dict[str, Any]:
    """Return the header of a token, of which nothing is verified yet.

    Raises:
        Unauthenticated: the text is no token, or one that this registry does not take.
    """
    first, _, rest = token.partition(".")
    if len(token) > _LONGEST_TOKEN or len(first) > _LONGEST_HEADER or rest.count(".") != 1:
        raise _refusal("is no JSON Web Token")
    try:
        header = orjson.loads(base64.b64decode(first + "=" * (-len(first) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise _refusal("is no JSON Web Token") from None
    if not isinstance(header, dict) or not isinstance(header.get("alg"), str):
        raise _refusal("is no JSON Web Token")
    if "crit" in header or str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise _refusal("is of a type that this registry does not take (typ, crit)")
    return header


def _choose(keys: tuple[SigningKey, ...], header: Mapping[str, Any]) -> SigningKey | None:
    """Return the provider's key that a header names, if it verifies the header's algorithm; None if there is none.

    A token without `kid` is of the provider's only key for that algorithm.
    """
    kid, algorithm = header.get("kid"), header["alg"]
    fit = [each for each in keys if algorithm in each.algorithms and (kid is None or each.kid == kid)]
    return fit[0] if len(fit) == 1 or (fit and kid is not None) else None


def _keep(verdicts: dict[bytes, Any], digest: bytes, verdict: _Accepted | _Refused) -> None:
    """Keep a verdict, and drop the oldest ones beyond the bound."""
    verdicts[digest] = verdict
    while len(verdicts) > _MOST_KEPT:
        del verdicts[next(iter(verdicts))]
