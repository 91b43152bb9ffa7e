"""The registry service as an ASGI application: its routes, its error handlers and its lifespan."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route

from meshport import __version__
from meshport.errors import MeshError
from meshport_registry import (
    confluent,
    exports_api,
    gate_api,
    generations_api,
    import_api,
    mesh_api,
    policies_api,
    problems_api,
    processors_api,
    profiles_api,
    quarantine_api,
    replays_api,
    service_levels_api,
)
from meshport_registry.access import api as access_api
from meshport_registry.audit import api as audit_api
from meshport_registry.audit.call import audited_call
from meshport_registry.audit.middleware import AuditMiddleware, RefusalLog
from meshport_registry.catalog import pages
from meshport_registry.catalog.error_page import error_page, missing_page
from meshport_registry.catalog.overview import MeshCounts
from meshport_registry.catalog.pages import home
from meshport_registry.confluent.answers import ConfluentJSON
from meshport_registry.connections import LARGEST_BODY
from meshport_registry.errors import Forbidden, InvalidRequest, StoreFailed, Unauthenticated, UnreadableBody, render
from meshport_registry.glossary import api as glossary_api
from meshport_registry.identity import keys_api
from meshport_registry.identity.door import open_door
from meshport_registry.identity.middleware import CHALLENGES, IdentityMiddleware
from meshport_registry.measures import RequestMeasures
from meshport_registry.middleware import FastPathMiddleware
from meshport_registry.negotiation import is_mesh
from meshport_registry.openapi import openapi_document
from meshport_registry.products import DefaultCluster
from meshport_registry.response_cache import BindingResponseCache, SchemaResponseCache
from meshport_registry.rights.decisions import Decisions
from meshport_registry.rights.guard import Guard, guard_page
from meshport_registry.rights.visible import VisibleProducts
from meshport_registry.search import api as search_api
from meshport_registry.search.live import LiveIndex
from meshport_registry.seen_readers import api as seen_readers_api
from meshport_registry.seen_readers.asking import Askers
from meshport_registry.settings import Settings, database_url
from meshport_registry.store import RegistryStore

# Of one invalid request. What is further wrong with it is seen once these are right.
_MOST_FINDINGS: Final = 100
_log: Final = logging.getLogger(__name__)
_MESH_ROUTERS: Final = (
    mesh_api.router,
    exports_api.router,
    gate_api.router,
    generations_api.router,
    service_levels_api.router,
    profiles_api.router,
    seen_readers_api.router,
    processors_api.router,
    quarantine_api.router,
    policies_api.router,
    access_api.router,
    problems_api.router,
    replays_api.router,
    audit_api.router,
    keys_api.router,
    import_api.router,
    search_api.router,
    glossary_api.router,
    mesh_api.health_router,
)

# `/` is the catalog's for browsers, and Confluent's for all others.
_ROUTERS: Final = (home.router, *confluent.ROUTERS, *pages.ROUTERS, *_MESH_ROUTERS)


def create_app(settings: Settings, store: RegistryStore | None = None) -> FastAPI:
    """Return the service as an ASGI application.

    Args:
        settings: of this process.
        store: the open database, which the application closes on shutdown; by default it opens the database of the
            settings on startup.
    """
    app = _Service(
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
        middleware=[Middleware(AuditMiddleware), Middleware(IdentityMiddleware), Middleware(FastPathMiddleware)],
    )
    for page in app.router.routes:
        if isinstance(page, Route):
            guard_page(page)
    # Routes are tried in this order. Serializers call Confluent's routes, which therefore come first. They are taken as they
    # were made: `include_router` makes each again on the first request, which takes 35 ms of CPU.
    for router in _ROUTERS:
        app.router.routes.extend(router.routes)
    return app


class _Service(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document of both APIs."""
        return openapi_document(self)


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: Settings, store: RegistryStore | None) -> AsyncIterator[None]:
    store = store or RegistryStore(database_url(settings.database), longest_queue=settings.longest_queue).open()
    state = app.state
    state.door = open_door(settings, store)
    state.store, state.cluster = store, DefaultCluster(settings.bootstrap_servers)
    state.refusals = RefusalLog(store)
    state.measures = RequestMeasures(store)
    state.guard = Guard(Decisions(store))
    state.visible = VisibleProducts(store, state.guard.decisions)
    state.error_page = error_page
    state.public_url = settings.public_url
    state.counts = MeshCounts()
    state.index = LiveIndex(store)
    state.index.start()
    state.askers = Askers(store)
    state.askers.start()
    state.schemas, state.bindings = SchemaResponseCache(store), BindingResponseCache(store, state.cluster)
    try:
        yield
    finally:
        await state.index.close()
        await state.askers.close()
        state.bindings.close()
        store.close()


async def _respond(request: Request, error: MeshError) -> Response:
    mesh = is_mesh(request.url.path)
    if isinstance(error, Forbidden | Unauthenticated):
        audited_call(request.scope).because(error.message)
    status, body = render(error, mesh=mesh)
    if status >= 500:
        _log.error("%s %s: %s", request.method, request.url.path, error.message)
    if (page := await error_page(request, error)) is not None:
        return page
    response = JSONResponse(body, status) if mesh else ConfluentJSON(body, status)
    if isinstance(error, Unauthenticated):
        response.raw_headers.extend(CHALLENGES)
    return response


async def _on_mesh_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MeshError)  # noqa: S101 - registered for this class
    return await _respond(request, error)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    details = error.errors()[:_MOST_FINDINGS]
    findings = tuple(_finding(each) for each in details)
    first = details[0]
    unreadable = first["loc"][0] == "body" and first["input"] is not None and first["type"] != "too_long"
    kind = UnreadableBody if unreadable else InvalidRequest
    return await _respond(request, kind(f"the request cannot be read: {findings[0]}", findings=findings))


def _finding(detail: dict[str, Any]) -> str:
    path = ".".join(str(part) for part in detail["loc"][1:])
    if detail["type"] == "extra_forbidden":
        return f"{path}: Meshport {__version__} does not know this field"
    return f"{path}: {detail['msg']}" if path else str(detail["msg"])


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
        if request.method == "OPTIONS":
            return Response(headers=headers)
    if error.status_code == HTTPStatus.NOT_FOUND and (page := await missing_page(request)) is not None:
        return page
    if is_mesh(request.url.path):
        word = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}.get(error.status_code, "failed")
        problem: dict[str, Any] = {"error": word, "message": str(error.detail), "hint": None, "findings": []}
        return JSONResponse(problem, error.status_code, headers=headers)
    body: dict[str, Any] = {"error_code": error.status_code, "message": f"HTTP {error.status_code} {error.detail}"}
    return ConfluentJSON(body, error.status_code, headers=headers)


def _allowed(request: Request) -> list[str]:
    """Return the methods of a path, of all of its routes."""
    found = {"OPTIONS"}
    for router in _ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.path_regex.match(request.scope["path"]):
                found |= route.methods or set()
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


async def _on_any(request: Request, _error: Exception) -> Response:
    return await _respond(request, StoreFailed("the registry failed; its log says where"))
