"""Routes of the exports: the mesh or one product as a document of another standard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from meshport.address import Address
from meshport.export.formats import ExportFormat, ProductFormat, document
from meshport.product.json_schema import editor_schema
from meshport_registry.exports import Extracts
from meshport_registry.mesh_api import PROBLEMS, Segment
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.rights.visible import SeenProducts
from meshport_registry.state import Database, OwnCluster
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute,
    dependencies=MESH_CHECKS,
    prefix="/api/v1",
    tags=["Exports"],
    responses=PROBLEMS,
)


# The parts of a mesh are this deep in a document: `components.schemas.<name>`.
_PIECES: Final = 3
_dumps: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Exporter:
    """Writes the documents of this registry; its URL in them is the one under which the caller reached it."""

    def __init__(self, request: Request, store: Database, cluster: OwnCluster, seen: SeenProducts) -> None:
        self._store = store
        self._seen = seen
        self._cluster = cluster
        self._url = str(request.base_url).rstrip("/")

    # The text is made in the thread of the database as well: that of 10,000 products takes seconds.
    async def mesh(self, form: ProductFormat) -> bytes:
        extracts = Extracts(form, self._cluster, self._url)
        return await self._store.read(lambda c: json_text(document(form, extracts.of_mesh(c, self._seen))))

    async def product(self, form: ProductFormat, address: Address) -> bytes:
        extracts = Extracts(form, self._cluster, self._url)
        return await self._store.read(lambda c: json_text(document(form, extracts.of_product(c, address))))


_Exports = Annotated[_Exporter, Depends()]


@router.get("/export/{format}", response_model=Any)
async def export_mesh(request: Request, exports: _Exports, format: ExportFormat) -> Any:
    """Every product that is not retired and that the caller may discover, as a document of a standard; or a schema."""
    form = format.of_products
    if form is not None:
        return _answer(await exports.mesh(form))
    return _answer(json_text(request.app.openapi() if format is ExportFormat.OPENAPI else editor_schema()))


@router.get("/products/{domain}/{product}/export/{format}", response_model=Any)
async def export_product(exports: _Exports, domain: Segment, product: Segment, format: ProductFormat) -> Any:
    """One product as a document of a standard."""
    return _answer(await exports.product(format, Address(domain, product)))


def json_text(written: Any) -> bytes:
    """Return a document as JSON text; other threads get their turns while it is made."""
    return "".join(_pieces(written, _PIECES)).encode()


def _pieces(form: Any, depth: int) -> Iterator[str]:
    """Yield a form as JSON text in pieces: other threads of the process wait while one is made, for all of its length."""
    if depth and isinstance(form, dict) and form:
        for number, (name, each) in enumerate(form.items()):
            yield f"{',' if number else '{'}{_dumps(name)}:"
            yield from _pieces(each, depth - 1)
        yield "}"
    elif depth and isinstance(form, list) and form:
        for number, each in enumerate(form):
            yield "," if number else "["
            yield from _pieces(each, depth - 1)
        yield "]"
    else:
        yield _dumps(form)


def _answer(written: bytes) -> Response:
    return Response(written, media_type="application/json")
