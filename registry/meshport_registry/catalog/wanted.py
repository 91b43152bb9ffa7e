"""Who wants a page: which requests are answered with HTML, and which with JSON."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from starlette.types import Scope

HTML: Final = "text/html"
JSON: Final = "application/json"
HOME: Final = "/"
BELOW: Final = "/catalog"
"""The path of the catalog's pages, but for the home page at `/`, which Confluent's API shares."""

_OF_LOGINS: Final = (f"{BELOW}/login", f"{BELOW}/logout")


def is_page(path: str) -> bool:
    """Whether a path is one of the catalog's."""
    return path in {HOME, BELOW} or path.startswith(f"{BELOW}/")


def own_path(path: str) -> str:
    """Return a path of the catalog to go on at after a login, and the home page for any other, such as another site's URL."""
    plain = path.isascii() and path.isprintable() and "\\" not in path and not path.startswith("//")
    page = path.partition("?")[0]
    return path if plain and is_page(page) and not page.startswith(_OF_LOGINS) else HOME


def wants_html(scope: Scope) -> bool:
    """Whether the client of a request names HTML among what it accepts, and likes JSON no better.

    Every browser does; the clients of both APIs do not. A request of htmx is one of a page.
    """
    accept = []
    for name, value in scope["headers"]:
        if name == b"hx-request":
            return True
        if name == b"accept":
            accept.append(value.decode("latin-1"))
    return _prefers_html(", ".join(accept))


@lru_cache(maxsize=256)  # a browser sends the same header with each request
def _prefers_html(accept: str) -> bool:
    qualities = dict.fromkeys((HTML, JSON), 0.0)
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        if kind in qualities:
            qualities[kind] = _quality(parameters)
    return qualities[HTML] > 0 and qualities[HTML] >= qualities[JSON]


def _quality(parameters: list[str]) -> float:
    for each in parameters:
        name, _, value = each.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
