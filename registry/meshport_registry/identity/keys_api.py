"""Routes of API keys, for administrators."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import RootModel

from meshport.api_keys import ApiKey, ApiKeyRequest, ApiKeyRotation, NewApiKey
from meshport.product.lines import utc_today
from meshport_registry.identity.caller import CurrentCaller
from meshport_registry.identity.keys import all_keys, create_key, revoke_key, rotate_key
from meshport_registry.mesh_api import PROBLEMS, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.state import Database
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute, dependencies=MESH_CHECKS, prefix="/api/v1/keys", tags=["Keys"], responses=PROBLEMS
)
KeyId = Annotated[str, Path(pattern="^[a-z0-9]{1,20}$")]


class ApiKeys(RootModel[tuple[ApiKey, ...]]):
    """Every key that was ever made, newest first."""


@router.get("", response_model=ApiKeys)
async def list_keys(store: Database) -> Any:
    """Every key that was ever made, newest first, without its secret."""
    return as_json(ApiKeys(await store.read(all_keys)))


@router.post("", response_model=NewApiKey, status_code=201)
async def create(request: Request, store: Database, caller: CurrentCaller, body: ApiKeyRequest) -> Any:
    """Make a key. The response has its secret, which nothing shows again."""
    today = utc_today()
    made = await store.write(lambda c: create_key(c, body, by=caller.name, today=today))
    return _shown_once(request, made)


@router.post("/{key_id}/rotate", response_model=NewApiKey, status_code=201)
async def rotate(request: Request, store: Database, caller: CurrentCaller, key_id: KeyId, body: ApiKeyRotation) -> Any:
    """Make a new key for the caller of a key, and let the old one end after some hours."""
    overlap = timedelta(hours=body.overlap_hours)
    made = await store.write(lambda c: rotate_key(c, key_id, overlap=overlap, by=caller.name))
    return _shown_once(request, made)


@router.post("/{key_id}/revoke", response_model=ApiKey)
async def revoke(request: Request, store: Database, key_id: KeyId) -> Any:
    """Revoke a key for good. Revoking it again changes nothing."""
    revoked = await store.write(lambda c: revoke_key(c, key_id))
    _tell_door(request)
    return as_json(revoked)


def _shown_once(request: Request, made: NewApiKey) -> Response:
    _tell_door(request)
    response = as_json(made, status=201)
    response.headers["cache-control"] = "no-store"
    return response


def _tell_door(request: Request) -> None:
    if request.app.state.door is not None:
        request.app.state.door.keys.changed()
