"""Routes of Confluent's Schema Registry API, at the root.

Routes, parameters and responses are those of Confluent's registry 8.5, by its public source and API reference.
`registry/README.md` lists every difference.
"""

from typing import Final

from meshport_registry.confluent import compatibility, levels, rest, schemas, subjects

ROUTERS: Final = tuple(part.router for part in (subjects, schemas, compatibility, levels, rest))

__all__ = ["ROUTERS"]
