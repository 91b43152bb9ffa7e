"""What a request shows in its header `Authorization`: an API key, or a bearer token."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final

from meshport.api_keys import KEY_PREFIX
from meshport_registry.errors import Unauthenticated

_KEY: Final = f"{KEY_PREFIX}_"
_HINT: Final = (
    "send an API key as `Authorization: Bearer mpk_...`, or by HTTP basic: its id as user, its secret as password"
)


@dataclass(frozen=True, slots=True)
class KeyShown:
    """An API key that a request shows."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenShown:
    """A bearer token of an OpenID provider that a request shows."""

    text: str = field(repr=False)


def shown(headers: list[tuple[bytes, bytes]]) -> KeyShown | TokenShown | None:
    """Return what the headers of a request show, or None if there is no `Authorization`.

    Raises:
        Unauthenticated: there are several, or the one is of another scheme or form.
    """
    found = [value for name, value in headers if name == b"authorization"]
    if not found:
        return None
    if len(found) > 1:
        raise Unauthenticated("the request has several headers Authorization", hint=_HINT)
    scheme, _, rest = found[0].partition(b" ")
    text = rest.strip()
    match scheme.lower():
        case b"bearer":
            return _bearer(text)
        case b"basic":
            return _basic(text)
    raise Unauthenticated("the header Authorization is of a scheme that this registry does not know", hint=_HINT)


def _bearer(text: bytes) -> KeyShown | TokenShown:
    token = text.decode("latin-1")
    if not token.startswith(_KEY):
        return TokenShown(token)
    key_id, _, secret = token.removeprefix(_KEY).partition("_")
    return KeyShown(key_id, secret)


def _basic(text: bytes) -> KeyShown:
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise Unauthenticated("the header Authorization is no HTTP basic authentication", hint=_HINT)
    return KeyShown(user, password)
