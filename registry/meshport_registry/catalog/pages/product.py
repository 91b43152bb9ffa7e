"""The page of a product: what it is, who owns it, and its ports."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from meshport.address import Address
from meshport.binding import RegisteredProduct
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.heading import ProductHeading
from meshport_registry.catalog.routing import page_router
from meshport_registry.mesh_api import Segment
from meshport_registry.products import registered_product, require_address
from meshport_registry.state import Database, OwnCluster

router = page_router()


class ProductView(PageView):
    """The page of a product."""

    title: str
    product: ProductHeading
    registered: RegisteredProduct


@router.get("/catalog/products/{domain}/{product}")
async def product(
    request: Request, store: Database, cluster: OwnCluster, domain: Segment, product: Segment
) -> Response:
    """Show a product."""
    address = Address(domain, product)
    found = await store.read(lambda c: registered_product(c, require_address(c, address), cluster))
    heading = ProductHeading.of(found.descriptor)
    view = ProductView(title=found.display_name, product=heading, registered=found)
    return await show(request, "product.html", view)
