"""The page of a domain: its products."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from meshport.catalog import ProductPage
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.routing import page_router
from meshport_registry.errors import NotInMesh
from meshport_registry.mesh_api import Segment
from meshport_registry.products import ProductFilter, search
from meshport_registry.rights.visible import SeenProducts
from meshport_registry.state import Database
from meshport_registry.values import Count

_PER_PAGE = 50

router = page_router()


class DomainView(PageView):
    """The page of a domain."""

    title: str
    domain: str
    page: ProductPage


@router.get("/catalog/domains/{domain}")
async def domain(request: Request, store: Database, seen: SeenProducts, domain: Segment, offset: Count = 0) -> Response:
    """Show the products of a domain."""
    matching = ProductFilter(domain=domain)
    page = await store.read(lambda c: search(c, matching, offset=offset, limit=_PER_PAGE, seen=seen))
    if not page.total:
        raise NotInMesh(f"the mesh has no domain {domain[:80]}", hint="the home page has all domains")
    return await show(request, "domain.html", DomainView(title=domain, domain=domain, page=page))
