"""The home page: the mesh as a map of its domains, and what changed last."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from meshport_registry.catalog.domain_map import DomainMap, domain_map
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.overview import Changed, DomainCounts, MeshCounts, latest_changes
from meshport_registry.catalog.routing import page_router
from meshport_registry.rights.visible import SeenProducts
from meshport_registry.search.api import Index
from meshport_registry.search.index import SearchIndex
from meshport_registry.state import Database

router = page_router()


class HomeView(PageView):
    """The home page.

    Attributes:
        products: how many the mesh has, without the retired ones.
        domains: all of them, those that read nothing of others first, then along the flow of data.
        drawing: of the domains; None where there are too many, or none reads another.
        changed: the products that changed last, the newest first.
        complete: whether all products are counted; not so while a registry that has just started still reads them.
    """

    title: str = "Data products"
    products: int
    domains: tuple[DomainCounts, ...]
    drawing: DomainMap | None
    changed: tuple[Changed, ...]
    complete: bool


@router.get("/")
@router.get("/catalog")
async def home(request: Request, store: Database, index: Index, seen: SeenProducts) -> Response:
    """Show the mesh, as far as the caller may discover it."""
    counts: MeshCounts = request.app.state.counts

    def ask(known: SearchIndex) -> tuple[tuple[DomainCounts, ...], bool]:
        return counts.domains(known, seen), known.complete

    domains, complete = await index.ask(ask)
    view = HomeView(
        products=sum(each.products for each in domains),
        domains=domains,
        drawing=domain_map(domains),
        changed=await store.read(lambda c: latest_changes(c, seen)),
        complete=complete,
    )
    return await show(request, "home.html", view)
