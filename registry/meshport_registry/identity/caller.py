"""The caller of a request, as every route sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastapi import Depends, Request

LOCAL_GROUP: Final = "local"
"""The group of every caller of a registry without any source of identities. No key, certificate or token gives it."""
ANONYMOUS_NAME: Final = "anonymous"
"""The name of every caller that shows nothing. No key, certificate or token gives it."""


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
