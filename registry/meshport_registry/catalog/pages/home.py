"""The home page: the mesh as a map of its domains, and what changed last."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.overview import Overview, overview
from meshport_registry.catalog.routing import page_router
from meshport_registry.state import Database

router = page_router()


class HomeView(PageView):
    """The home page."""

    title: str = "Data products"
    mesh: Overview


@router.get("/")
@router.get("/catalog")
async def home(request: Request, store: Database) -> Response:
    """Show the whole mesh."""
    return await show(request, "home.html", HomeView(mesh=await store.read(overview)))
