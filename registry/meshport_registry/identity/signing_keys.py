"""The keys that sign tokens, each with the algorithms that it is used with.

The algorithm of a signature is decided by the key, never by the token: a public key never verifies an HMAC, whose secret it
would be (CVE-2015-9235), and no key verifies `none`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
import orjson

_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final = {"P-256": frozenset({"ES256"}), "P-384": frozenset({"ES384"}), "P-521": frozenset({"ES512"})}
_EDWARDS: Final = frozenset({"Ed25519", "Ed448"})
_SHORTEST_RSA: Final = 2048
_MOST_KEYS: Final = 100


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key of an OpenID provider.

    Attributes:
        kid: its name; None for a key without one.
        algorithms: those that it verifies.
        public: the key itself, as PyJWT takes it.
        identity: the JSON text of it.
    """

    kid: str | None
    algorithms: frozenset[str]
    public: Any = field(repr=False)
    identity: bytes = field(repr=False)


def signing_keys(document: Mapping[str, Any]) -> tuple[SigningKey, ...]:
    """Return the usable keys of a JSON Web Key Set (RFC 7517); others are passed over, as its section 5 says.

    Raises:
        ValueError: the document is none, or has more than 100 keys.
    """
    keys = document.get("keys")
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
        raise ValueError(f"the key set has no list `keys`, or one of more than {_MOST_KEYS}")
    return tuple(found for each in keys if isinstance(each, dict) and (found := _signing_key(each)) is not None)


def _signing_key(given: dict[str, Any]) -> SigningKey | None:
    algorithms = _algorithms(given)
    if not algorithms or given.get("use", "sig") != "sig" or "verify" not in given.get("key_ops", ("verify",)):
        return None
    kid = given.get("kid")
    public = {name: value for name, value in given.items() if name in {"kty", "n", "e", "crv", "x", "y"}}
    try:
        key = jwt.PyJWK(public, algorithm=min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None  # a key that is broken verifies nothing; the others do
    if given["kty"] == "RSA" and key.key_size < _SHORTEST_RSA:
        return None
    identity = orjson.dumps([kid, sorted(algorithms), public], option=orjson.OPT_SORT_KEYS)
    return SigningKey(kid if isinstance(kid, str) else None, algorithms, key, identity)


def _algorithms(given: dict[str, Any]) -> frozenset[str]:
    """Return the algorithms that a key may verify: those of its type, and the one that it names if it names one."""
    match given.get("kty"):
        case "RSA":
            own = _RSA
        case "EC":
            own = _CURVES.get(str(given.get("crv")), frozenset())
        case "OKP":
            own = frozenset({"EdDSA"}) if given.get("crv") in _EDWARDS else frozenset()
        case _:
            own = frozenset()
    named = given.get("alg")
    return own if named is None else own & {"EdDSA" if named in _EDWARDS else named}
