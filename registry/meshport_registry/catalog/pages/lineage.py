"""The page of a product's lineage: which products it is made from and for, field by field."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from meshport.address import Address
from meshport.field_flows import FieldFlows
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.heading import ProductHeading, product_at
from meshport_registry.catalog.lineage_graph import Graph, lineage_graph, without_influences
from meshport_registry.catalog.routing import page_router
from meshport_registry.field_flows import field_flows
from meshport_registry.mesh_api import Segment
from meshport_registry.state import Database

router = page_router()


class LineageView(PageView):
    """The page of a product's lineage.

    Attributes:
        influences: whether the flows that decide about whole events are shown too.
        flows: the lineage.
        graph: the drawing of it.
        fields: that can be chosen.
    """

    title: str
    product: ProductHeading
    influences: bool
    flows: FieldFlows
    graph: Graph
    fields: tuple[str, ...]


@router.get("/catalog/lineage/{domain}/{product}")
async def lineage(
    request: Request,
    store: Database,
    domain: Segment,
    product: Segment,
    *,
    field: str | None = None,
    influences: Annotated[bool, Query(description="also what filters, joins and groups events")] = False,
) -> Response:
    """Show what a product, or a field of it, is made from, and what is made from it."""
    address = Address(domain, product)

    def read(connection: Connection) -> tuple[ProductHeading, FieldFlows]:
        heading, _ = product_at(connection, domain, product)
        return heading, field_flows(connection, address, field=field or None)

    heading, found = await store.read(read)
    own = next(each for each in found.products if each.address.of_product == address)
    shown = found if influences else found.model_copy(update={"flows": without_influences(found.flows)})
    view = LineageView(
        title=f"Lineage of {heading.display_name}",
        product=heading,
        influences=influences,
        flows=shown,
        graph=lineage_graph(shown),
        fields=own.fields,
    )
    return await show(request, "lineage.html", view)
