"""The route of the catalog's own files."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from meshport_registry.catalog.frame import SECURITY_HEADERS
from meshport_registry.catalog.routing import page_router
from meshport_registry.catalog.static_files import static_file
from meshport_registry.errors import NoSuchPath

router = page_router()


@router.get("/catalog/static/{name}")
async def static(request: Request, name: str) -> Response:
    """Return a file; under the address of its content it may be kept for ever."""
    found = static_file(name)
    if found is None:
        raise NoSuchPath(f"the catalog has no file {name[:80]}")
    content, kind = found
    kept = "public, max-age=31536000, immutable" if "v" in request.query_params else "no-cache"
    return Response(content, headers=SECURITY_HEADERS | {"cache-control": kept, "content-type": kind})
