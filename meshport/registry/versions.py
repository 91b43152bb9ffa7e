"""What a client says where it and its registry are of different versions.

Either may be one version ahead. Each answer of a registry names the version of its Meshport in a header, so that an error
can say which of the two is to be updated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from meshport.newer import VERSION_HEADER
from meshport.version import __version__

__all__ = ["MESH_API", "NO_SUCH_CALL", "UNKNOWN_FIELD", "version_note"]

_NUMBERS: Final = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")

MESH_API: Final = ("/api/", "/health")
"""How the paths of calls begin that no other registry has."""

NO_SUCH_CALL: Final = frozenset({"Not Found", "Method Not Allowed"})
"""What a registry answers to a call that it does not have; what is not registered is named."""

UNKNOWN_FIELD: Final = re.compile(r"Extra inputs are not permitted$|: Meshport \S+ does not know this ")
"""Found in a finding about a part of a request that a registry does not know; the first form is that of version 0.1."""


def version_note(headers: Mapping[str, str], path: str) -> str | None:
    """Return how the version of a registry differs from this one, and what to do; None where it does not.

    Args:
        headers: of an answer.
        path: of the request.
    """
    theirs = headers.get(VERSION_HEADER)
    if theirs is None:
        if not path.startswith(MESH_API):  # another registry with Confluent's API
            return None
        return f"the registry names no version: if it is Meshport's, it is older than this client ({__version__})"
    if theirs == __version__:
        return None
    older = _order(theirs) < _order(__version__)
    how, which = ("older", "the registry") if older else ("newer", "Meshport here")
    return f"the registry runs Meshport {theirs}, which is {how} than this client ({__version__}): update {which}"


def _order(version: str) -> tuple[int, ...]:
    match = _NUMBERS.match(version)
    return tuple(int(each or 0) for each in match.groups()) if match else ()
