"""Confluent's Schema Registry API, at the root.

Calls, parameters and answers are those of Confluent's API reference. `normalize` is taken and changes nothing: every
schema is kept in canonical form.
"""

from fastapi import APIRouter

from meshport_registry.confluent import compatibility, levels, rest, schemas, subjects

router = APIRouter()
for part in (subjects, schemas, compatibility, levels, rest):
    router.include_router(part.router)

__all__ = ["router"]
