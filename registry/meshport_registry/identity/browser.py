"""The login of a browser: a cookie with the API key or token that the person gave, for the catalog's pages alone.

The APIs take no cookie, so that no page of another site can use a browser's login at them.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.types import Scope

COOKIE: Final = "meshport"
_LONGEST: Final = 4000
"""Characters of a cookie that every browser keeps (RFC 6265, section 6.1), with its name and attributes."""


def is_of_a_page(path: bytes) -> bool:
    """Whether a path, as the client sent it, is one of the catalog's, where a browser's login counts."""
    return path in {b"/", b"/catalog"} or path.startswith(b"/catalog/")


def fits_a_cookie(secret: str) -> bool:
    """Whether a browser keeps a key or token: it is short enough, and has no character that a cookie cannot have."""
    return 0 < len(secret) <= _LONGEST and secret.isascii() and secret.isprintable() and not set(secret) & set(' ",;\\')


def login_cookie(secret: str, *, https: bool) -> str:
    """Return the header `Set-Cookie` of a login; it ends with the browser's session.

    `SameSite=Lax`, since links from a chat or a wiki lead to the catalog's pages. What changes something is refused from
    other sites in any case; see `meshport_registry.catalog.routing`.

    Args:
        secret: the API key or token; "" to log out.
        https: whether the browser came by HTTPS, and is to send the cookie by nothing else.
    """
    return "; ".join(
        [
            f"{COOKIE}={secret}",
            "Path=/",
            "HttpOnly",
            "SameSite=Lax",
            *(["Secure"] if https else []),
            *([] if secret else ["Max-Age=0"]),
        ]
    )


def logged_in(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request for a page, with the login of its cookie as `Authorization` where it shows no other."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if any(name == b"authorization" for name, _ in headers):
        return headers
    for name, value in headers:
        if name == b"cookie":
            try:
                cookies = SimpleCookie(value.decode("latin-1"))
            except CookieError:
                continue
            if (found := cookies.get(COOKIE)) is not None and found.value:
                return [*headers, (b"authorization", b"Bearer " + found.value.encode("latin-1"))]
    return headers
