"""Routes of Confluent's Schema Registry API, at the root.

Routes, parameters and responses are those of Confluent's API reference. The parameter `normalize` is accepted and
changes nothing, because every schema is stored in canonical form.
"""

from fastapi import APIRouter

from meshport_registry.confluent import compatibility, levels, rest, schemas, subjects

router = APIRouter()
for part in (subjects, schemas, compatibility, levels, rest):
    router.include_router(part.router)

__all__ = ["router"]
