"""JSON Web Tokens (RFC 7519, 8725) of an OpenID provider: their header, the key that signed them, and their verified claims.

Of a token's header, `alg` and `kid` only choose among the provider's own keys; `jwk`, `jku`, `x5c` and `x5u` are never looked
at, and a token with `crit` is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt
import orjson

from meshport_registry.errors import Unauthenticated
from meshport_registry.identity.signing_keys import SigningKey

LEEWAY_S: Final = 30
"""Clocks of provider and registry differ."""
SUBJECT: Final = "the token "
"""What the message of every refusal begins with."""
_LONGEST_TOKEN: Final = 16 * 1024
_LONGEST_HEADER: Final = 2048
_HINT: Final = "log in again: meshport login"
_REASONS: Final[dict[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "has ended (exp)",
    jwt.ImmatureSignatureError: "is not valid yet (nbf, iat)",
    jwt.InvalidAudienceError: "is for another audience (aud)",
    jwt.InvalidIssuerError: "is of another issuer (iss)",
    jwt.InvalidSignatureError: "has a wrong signature",
}


def refusal(reason: str) -> Unauthenticated:
    """Return the error of a token that is not taken."""
    return Unauthenticated(f"{SUBJECT}{reason}", hint=_HINT)


def header_of(token: str, types: frozenset[str]) -> dict[str, Any]:
    """Return the header of a token, of which nothing is verified yet.

    Args:
        token: its text.
        types: what `typ` may be, in lower case; a token without one is of the type `jwt`.

    Raises:
        Unauthenticated: the text is no token, or one that this registry does not take.
    """
    first, _, rest = token.partition(".")
    if len(token) > _LONGEST_TOKEN or len(first) > _LONGEST_HEADER or rest.count(".") != 1:
        raise refusal("is no JSON Web Token")
    try:
        header = orjson.loads(base64.b64decode(first + "=" * (-len(first) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise refusal("is no JSON Web Token") from None
    if not isinstance(header, dict) or not isinstance(header.get("alg"), str):
        raise refusal("is no JSON Web Token")
    if "crit" in header or str(header.get("typ", "JWT")).lower() not in types:
        raise refusal("is of a type that this registry does not take (typ, crit)")
    return header


def key_of(keys: tuple[SigningKey, ...], header: Mapping[str, Any]) -> SigningKey | None:
    """Return the provider's key that a header names, if it verifies the header's algorithm; None if there is none.

    A token without `kid` is of the provider's only key for that algorithm.
    """
    kid, algorithm = header.get("kid"), header["alg"]
    fit = [each for each in keys if algorithm in each.algorithms and (kid is None or each.kid == kid)]
    return fit[0] if len(fit) == 1 or (fit and kid is not None) else None


def verified_claims(
    token: str, key: SigningKey, algorithm: str, *, issuer: str, audience: str, required: Sequence[str]
) -> dict[str, Any]:
    """Return the claims of a token whose signature, times, issuer and audience are right.

    Args:
        token: its text.
        key: of the provider.
        algorithm: of its header, which the key verifies.
        issuer: what `iss` must be.
        audience: what `aud` must contain.
        required: the claims that it must have.

    Raises:
        Unauthenticated: the token is not valid.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.public,
            algorithms=[algorithm],
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY_S,
            options={"require": list(required)},
        )
        float(claims["exp"])
    except jwt.MissingRequiredClaimError as error:
        raise refusal(f"has no claim {error.claim}") from None
    except jwt.PyJWTError as error:
        raise refusal(
            next((text for kind, text in _REASONS.items() if isinstance(error, kind)), "is not valid")
        ) from None
    except (ValueError, TypeError, OverflowError, RecursionError):  # of claims that no provider writes
        raise refusal("is not valid") from None
    return claims
