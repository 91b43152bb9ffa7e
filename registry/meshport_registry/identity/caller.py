"""The caller of a request, as every route sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastapi import Depends, Request

LOCAL_GROUP: Final = "local"
"""The group of every caller of a registry without any source of identities. No key, certificate or token gives it."""
ANONYMOUS_NAME: Final = "anonymous"
"""The name of every caller that shows nothing. No key, certificate or token gives it."""

_LONGEST: Final = 256


@dataclass(frozen=True, slots=True)
class Caller:
    """The person, service or data product that sent a request.

    Attributes:
        name: `billing/invoices` for the process of a data product, otherwise what its key, certificate or token says,
            such as `ann@example.org`; `anonymous` for a caller that shows nothing.
        groups: the names of its groups.
        by: what it showed.
    """

    name: str
    groups: frozenset[str]
    by: Literal["anonymous", "key", "certificate", "token"]


def unfit_name(name: str) -> str | None:
    """Return why no key, certificate or token may give a name, or None if it may."""
    if name == ANONYMOUS_NAME:
        return f"{ANONYMOUS_NAME!r} is the name of callers that show nothing"
    return None if _is_plain(name) else "a caller's name is 1 to 256 characters, none of them a control character"


def unfit_group(group: str) -> str | None:
    """Return why no key, certificate or token may give a group, or None if it may."""
    if group == LOCAL_GROUP:
        return f"{LOCAL_GROUP!r} is the group of every caller of a registry without identities"
    return None if _is_plain(group) else "a group's name is 1 to 256 characters, none of them a control character"


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and text.isprintable()


LOCAL: Final = Caller(ANONYMOUS_NAME, frozenset({LOCAL_GROUP}), "anonymous")
"""Every caller of a registry without any source of identities."""
ANONYMOUS: Final = Caller(ANONYMOUS_NAME, frozenset(), "anonymous")
"""A caller that shows nothing, at a registry that knows identities and lets such callers pass to its policies."""


# A coroutine, although it awaits nothing: the framework runs a plain function in a thread.
async def _caller(request: Request) -> Caller:
    caller: Caller = request.scope["state"]["caller"]
    return caller


CurrentCaller = Annotated[Caller, Depends(_caller)]
"""The caller of the request, as a parameter of a route."""
