"""Routes of the service itself: its contexts, its version, and associations."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter
from pydantic import BaseModel

from meshport import __version__
from meshport_registry.confluent.answers import READS, ConfluentJSON, RegistryId, RegistryVersion
from meshport_registry.errors import NoAssociation
from meshport_registry.negotiation import CONFLUENT_CHECKS
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute, default_response_class=ConfluentJSON, dependencies=CONFLUENT_CHECKS, tags=["Confluent"]
)


class Nothing(BaseModel):
    """An empty object."""


@router.get("/", response_model=Nothing, responses=READS)
async def root() -> Any:
    """An empty object; clients call this route to see whether a registry responds."""
    return ConfluentJSON({})


@router.get("/contexts", response_model=list[str], responses=READS)
async def contexts() -> Any:
    """The default context, the only one."""
    return ConfluentJSON(["."])


@router.get("/v1/metadata/id", response_model=RegistryId, responses=READS)
async def metadata_id() -> Any:
    """The id of this registry."""
    clusters = {"kafka-cluster": "", "schema-registry-cluster": "meshport"}
    return ConfluentJSON({"id": "", "scope": {"path": [], "clusters": clusters}})


@router.get("/v1/metadata/version", response_model=RegistryVersion, responses=READS)
async def metadata_version() -> Any:
    """The version of this registry."""
    return ConfluentJSON({"version": __version__, "commitId": ""})


@router.get("/associations/{rest:path}", responses=READS, status_code=404)
async def associations(rest: str) -> Any:
    """Always 404. Clients since 2.14 ask for an association of the topic first, and then use `<topic>-value`."""
    raise NoAssociation(f"no associations found for {unquote(rest)[:200]}")
