"""The tests of the registry's client: what a client asks of a registry that runs, and what it makes of the answers.

`python -m tests.campaigns versions` runs them with a client and a registry of different versions. Tests of bytes on the
wire, of the database and of what happens within the service are those of one version.
"""

from __future__ import annotations

from typing import Final

_NAMES: Final = (
    "client",
    "async_client",
    "generations",
    "waivers",
    "lines",
    "gate",
    "access",
    "clusters",
    "login",
    "confluent_client",
    "import",
    "freshness",
)

CLIENT_SUITE: Final = tuple(f"tests/registry/test_{name}.py" for name in _NAMES)
"""The files, from the root of the repository."""
