"""What the application holds while it runs, as parameters of a route."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from meshport_registry.audit.call import audited_call
from meshport_registry.products import DefaultCluster
from meshport_registry.response_cache import BindingResponseCache, SchemaResponseCache
from meshport_registry.store import RegistryStore


# Coroutines, although they await nothing: the framework runs a plain function in a thread.
async def _store(request: Request) -> RegistryStore:
    store: RegistryStore = request.app.state.store
    return audited_call(request.scope).on(store)


async def _unaudited(request: Request) -> RegistryStore:
    store: RegistryStore = request.app.state.store
    return store


async def _cluster(request: Request) -> DefaultCluster:
    cluster: DefaultCluster = request.app.state.cluster
    return cluster


async def _bindings(request: Request) -> BindingResponseCache:
    bindings: BindingResponseCache = request.app.state.bindings
    return bindings


async def _schemas(request: Request) -> SchemaResponseCache:
    schemas: SchemaResponseCache = request.app.state.schemas
    return schemas


Database = Annotated[RegistryStore, Depends(_store)]
UnauditedDatabase = Annotated[RegistryStore, Depends(_unaudited)]
"""The database for routes of `CHANGES_NOTHING` that write what was measured."""
OwnCluster = Annotated[DefaultCluster, Depends(_cluster)]
Bindings = Annotated[BindingResponseCache, Depends(_bindings)]
Schemas = Annotated[SchemaResponseCache, Depends(_schemas)]
