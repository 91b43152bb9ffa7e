"""The registry service as an ASGI application: its routes, its error handlers and its lifespan."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response

from meshport import __version__
from meshport.errors import MeshError
from meshport_registry import confluent, gate_api, generations_api, mesh_api
from meshport_registry.confluent.bodies import ConfluentJSON
from meshport_registry.connections import LARGEST_BODY
from meshport_registry.errors import InvalidRequest, NotJSON, StoreFailed, render
from meshport_registry.middleware import FastPathMiddleware
from meshport_registry.products import DefaultCluster
from meshport_registry.response_cache import BindingResponseCache, SchemaResponseCache
from meshport_registry.settings import Settings, database_url
from meshport_registry.store import RegistryStore
from meshport_registry.values import refuse_nul_in_query

# Of one invalid request. What is further wrong with it is seen once these are right.
_MOST_FINDINGS: Final = 100
_log: Final = logging.getLogger(__name__)


def create_app(settings: Settings, store: RegistryStore | None = None) -> FastAPI:
    """Return the service as an ASGI application.

    Args:
        settings: of this process.
        store: the open database, which the application closes on shutdown; by default it opens the database of the
            settings on startup.
    """
    app = FastAPI(
        title="Meshport registry",
        version=__version__,
        description="Addresses and bindings of a data mesh, and its contracts through Confluent's Schema Registry API.",
        lifespan=lambda app: _lifespan(app, settings, store),
        exception_handlers={
            MeshError: _on_mesh_error,
            RequestValidationError: _on_validation_error,
            HTTPException: _on_http_exception,
            Exception: _on_any,
        },
        max_body_size=LARGEST_BODY,
        dependencies=[Depends(_refuse_forms), Depends(refuse_nul_in_query)],
        middleware=[Middleware(FastPathMiddleware)],
    )
    # Routes are tried in this order. Serializers call Confluent's routes, which therefore come first.
    app.include_router(confluent.router)
    app.include_router(mesh_api.router)
    app.include_router(gate_api.router)
    app.include_router(generations_api.router)
    app.include_router(mesh_api.health_router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: Settings, store: RegistryStore | None) -> AsyncIterator[None]:
    store = store or RegistryStore(database_url(settings.database), longest_queue=settings.longest_queue).open()
    state = app.state
    state.store, state.cluster = store, DefaultCluster(settings.bootstrap_servers)
    state.schemas, state.bindings = SchemaResponseCache(store), BindingResponseCache(store, state.cluster)
    try:
        yield
    finally:
        state.bindings.close()
        store.close()


async def _refuse_forms(request: Request) -> None:
    """Refuse forms and plain text, which a page of another site can make a browser send without a preflight request.

    Raises:
        NotJSON: the request has such a content type.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and not kind.endswith("json"):
        raise NotJSON(f"a body of type {kind} is not taken", hint="send `Content-Type: application/json`")


def _respond(request: Request, error: MeshError) -> Response:
    mesh = request.url.path.startswith(("/api/", "/health"))
    status, body = render(error, mesh=mesh)
    if status >= 500:
        _log.error("%s %s: %s", request.method, request.url.path, error.message)
    return JSONResponse(body, status) if mesh else ConfluentJSON(body, status)


async def _on_mesh_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MeshError)  # noqa: S101 - registered for this class
    return _respond(request, error)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    findings = tuple(_finding(each) for each in error.errors()[:_MOST_FINDINGS])
    return _respond(request, InvalidRequest(f"the request cannot be read: {findings[0]}", findings=findings))


def _finding(detail: dict[str, Any]) -> str:
    path = ".".join(str(part) for part in detail["loc"][1:])
    return f"{path}: {detail['msg']}" if path else str(detail["msg"])


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    if request.url.path.startswith(("/api/", "/health")):
        word = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}.get(error.status_code, "failed")
        problem: dict[str, Any] = {"error": word, "message": str(error.detail), "hint": None, "findings": []}
        return JSONResponse(problem, error.status_code, headers=error.headers)
    body: dict[str, Any] = {"error_code": error.status_code, "message": f"HTTP {error.status_code} {error.detail}"}
    return ConfluentJSON(body, error.status_code, headers=error.headers)


async def _on_any(request: Request, _error: Exception) -> Response:
    return _respond(request, StoreFailed("the registry failed; its log says where"))
