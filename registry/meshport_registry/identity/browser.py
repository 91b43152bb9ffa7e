"""The cookies of a browser: its login, for the catalog's pages alone, and the logins at the OpenID provider that it has begun.

A person logs in with an API key or a token, which the cookie then has, or at the provider, whose login is a row of the database
(`identity.sessions`). The APIs take no cookie, so that no page of another site can use a browser's login at them.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass, field
from typing import Final, Self

from starlette.requests import cookie_parser
from starlette.types import Scope

COOKIE: Final = "meshport"
_LONGEST: Final = 4000
"""Characters of a cookie that every browser keeps (RFC 6265, section 6.1), with its name and attributes."""
_SESSION: Final = "meshport-session"
_BEGUN: Final = "meshport-begun-"
_BEGUN_S: Final = 600
_MOST_BEGUN: Final = 4
_LONGEST_NEXT: Final = 1000
_RANDOM_BYTES: Final = 32


def is_of_a_page(path: bytes) -> bool:
    """Whether a path, as the client sent it, is one of the catalog's, where a browser's login counts."""
    return path in {b"/", b"/catalog"} or path.startswith(b"/catalog/")


def fits_a_cookie(secret: str) -> bool:
    """Whether a browser keeps a key or token: it is short enough, and has no character that a cookie cannot have."""
    return 0 < len(secret) <= _LONGEST and secret.isascii() and secret.isprintable() and not set(secret) & set(' ",;\\')


def set_cookie(name: str, value: str, *, https: bool, lasts_s: int | None = None) -> str:
    """Return the header `Set-Cookie` of a cookie for this host alone.

    `SameSite=Lax`, since links from a chat or a wiki lead to the catalog's pages, and the provider leads back to them. What
    changes something is refused from other sites in any case; see `meshport_registry.catalog.routing`.

    Args:
        name: of the cookie.
        value: of the cookie; "" takes it back.
        https: whether the browser came by HTTPS, and is to send the cookie by nothing else.
        lasts_s: seconds; None until the browser is closed.
    """
    age = lasts_s if value else 0
    return "; ".join(
        [
            f"{name}={value}",
            "Path=/",
            "HttpOnly",
            "SameSite=Lax",
            *(["Secure"] if https else []),
            *([] if age is None else [f"Max-Age={age}"]),
        ]
    )


def login_cookie(secret: str, *, https: bool) -> str:
    """Return the header `Set-Cookie` of a login by an API key or token; "" takes it back."""
    return set_cookie(COOKIE, secret, https=https)


def cookies_of(scope: Scope) -> dict[str, str]:
    """Return the cookies of a request."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name == b"cookie":
            found |= cookie_parser(value.decode("latin-1"))
    return found


def shows_authorization(scope: Scope) -> bool:
    """Whether a request has a header `Authorization`, which counts before a cookie."""
    return any(name == b"authorization" for name, _ in scope["headers"])


def logged_in(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request for a page, with the login of its cookie as `Authorization` where it shows no other."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    secret = "" if shows_authorization(scope) else cookies_of(scope).get(COOKIE, "")
    return [*headers, (b"authorization", b"Bearer " + secret.encode("latin-1"))] if secret else headers


@dataclass(frozen=True, slots=True)
class BegunLogin:
    """A login at the provider that a browser has begun. The browser keeps it, so that no other one can finish it.

    Attributes:
        next: the path to go on at.
        state: comes back with the provider's answer (RFC 6749, section 10.12).
        nonce: comes back within the ID token (OpenID Connect Core 1.0, section 3.1.2.1).
        verifier: of PKCE (RFC 7636).
    """

    next: str
    state: str = field(default_factory=lambda: secrets.token_urlsafe(_RANDOM_BYTES), repr=False)
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(_RANDOM_BYTES), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(_RANDOM_BYTES), repr=False)

    @property
    def text(self) -> str:
        """The content of its cookie."""
        next_path = base64.urlsafe_b64encode(self.next.encode()).decode().rstrip("=")
        return ".".join((self.state, self.nonce, self.verifier, next_path if len(self.next) <= _LONGEST_NEXT else ""))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the login of a cookie's content; None for any other text."""
        parts = text.split(".")
        if len(parts) != 4 or not all(parts[:3]) or not text.isascii():
            return None
        try:
            next_path = base64.urlsafe_b64decode(parts[3] + "=" * (-len(parts[3]) % 4)).decode()
        except (binascii.Error, ValueError):
            return None
        return cls(next_path, *parts[:3])


class BrowserCookies:
    """The cookies of logins at the provider, of a registry that browsers reach by HTTPS or not.

    By HTTPS their names begin with `__Host-`: no other host of the domain can give a browser one (RFC 6265bis).

    Args:
        https: whether browsers reach the registry by HTTPS.
    """

    def __init__(self, *, https: bool) -> None:
        self.https = https
        self._prefix = "__Host-" if https else ""

    def session(self, scope: Scope) -> str | None:
        """Return the content of a browser's cookie of its login; None where it has none."""
        return cookies_of(scope).get(self._prefix + _SESSION)

    def of_session(self, content: str) -> str:
        """Return the header `Set-Cookie` of a login; "" takes it back."""
        return set_cookie(self._prefix + _SESSION, content, https=self.https)

    def begun(self, scope: Scope, state: str) -> BegunLogin | None:
        """Return the login that a browser began with a state; None where it did not."""
        found = cookies_of(scope).get(self._name(state))
        begun = BegunLogin.read(found) if found else None
        return begun if begun is not None and secrets.compare_digest(begun.state.encode(), state.encode()) else None

    def of_begun(self, scope: Scope, begun: BegunLogin) -> list[str]:
        """Return the headers `Set-Cookie` of a login that begins: its own, and those that forget all but the newest few."""
        # A browser sends the ones that it got first before the others (RFC 6265, section 5.4).
        others = [name for name in cookies_of(scope) if name.startswith(self._prefix + _BEGUN) and name.isascii()]
        return [
            set_cookie(self._name(begun.state), begun.text, https=self.https, lasts_s=_BEGUN_S),
            *(set_cookie(name, "", https=self.https) for name in others[: -(_MOST_BEGUN - 1)]),
        ]

    def of_ended(self, state: str) -> str:
        """Return the header `Set-Cookie` that forgets the login that was begun with a state."""
        return set_cookie(self._name(state), "", https=self.https)

    def _name(self, state: str) -> str:
        return f"{self._prefix}{_BEGUN}{''.join(each for each in state[:8] if each.isascii() and each.isalnum())}"
