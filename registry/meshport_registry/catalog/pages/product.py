"""The page of a product: what it is, who owns it, how to get and read it, and the contract of one of its ports."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from meshport.address import Address
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.heading import ProductHeading
from meshport_registry.catalog.product_details import ProductDetails, details, with_sharing
from meshport_registry.catalog.routing import page_router
from meshport_registry.identity.caller import CurrentCaller
from meshport_registry.mesh_api import Major, Segment
from meshport_registry.rights.visible import SeenProducts
from meshport_registry.search.api import Index
from meshport_registry.search.index import SearchIndex
from meshport_registry.state import Database, OwnCluster

_MOST_SHARING = 12
# Seconds to wait for the search index, which knows who shares a polyseme; the rest of the page needs none.
_PATIENCE_S = 0.2

router = page_router()


class ProductView(PageView):
    """The page of a product."""

    title: str
    product: ProductHeading
    details: ProductDetails


@router.get("/catalog/products/{domain}/{product}")
async def product(
    request: Request,
    store: Database,
    cluster: OwnCluster,
    *,
    index: Index,
    seen: SeenProducts,
    caller: CurrentCaller,
    domain: Segment,
    product: Segment,
    port: str | None = None,
    major: Major = None,
) -> Response:
    """Show a product."""
    address = Address(domain, product, port, major if port else None)
    registry = request.app.state.public_url or str(request.base_url).rstrip("/")
    found = await store.read(lambda c: details(c, address, cluster, caller, registry))
    polysemes = frozenset(each.polyseme for each in found.port.fields if each.polyseme)

    def sharing(known: SearchIndex) -> dict[str, list[str]]:
        return {
            name: [each.address for each in entries]
            for name, entries in known.sharing(polysemes, most=_MOST_SHARING + 1, seen=seen).items()
        }

    if polysemes:
        found = with_sharing(found, await index.ask(sharing, patience=_PATIENCE_S))
    heading = ProductHeading.of(found.descriptor)
    return await show(request, "product.html", ProductView(title=heading.display_name, product=heading, details=found))
