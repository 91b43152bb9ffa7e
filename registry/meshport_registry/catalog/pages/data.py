"""The page of a port's data: a profile of its fields, and a few masked events."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from meshport.address import Address
from meshport.port_profile import FieldProfile, PortProfile
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.heading import ProductHeading, product_at
from meshport_registry.catalog.lines import LineChoice, lines_to_choose
from meshport_registry.catalog.routing import page_router
from meshport_registry.mesh_api import Major, Segment
from meshport_registry.products import DefaultCluster, bindings_of, choose_binding, require_address
from meshport_registry.profiles import find_profile
from meshport_registry.state import Database

router = page_router()

_WIDTH = 120
_HEIGHT = 28


class Bar(BaseModel):
    """A bar of a drawn histogram, in the units of the drawing.

    Attributes:
        words: what it stands for.
    """

    model_config = ConfigDict(frozen=True)

    x: float
    y: float
    width: float
    height: float
    words: str


class DataView(PageView):
    """The page of a port's data.

    Attributes:
        lines: the ports and majors that there are.
        address: of the one that is shown.
        profile: of it; None where no observer reported one.
        bars: the drawn histogram of each field that has one, by its path.
    """

    title: str
    product: ProductHeading
    lines: tuple[LineChoice, ...]
    address: str
    profile: PortProfile | None
    bars: dict[str, tuple[Bar, ...]]
    width: int = _WIDTH
    height: int = _HEIGHT


@router.get("/catalog/data/{domain}/{product}")
async def data(
    request: Request,
    store: Database,
    domain: Segment,
    product: Segment,
    *,
    port: str | None = None,
    major: Major = None,
) -> Response:
    """Show what the events of a port look like, to who may read it."""
    address = Address(domain, product, port, major if port else None)

    def read(connection: Connection) -> dict[str, Any]:
        heading, _ = product_at(connection, domain, product)
        bindings = bindings_of(connection, require_address(connection, address), DefaultCluster())
        shown = choose_binding(bindings, address).address
        return {
            "product": heading,
            "lines": lines_to_choose(connection, address, shown),
            "address": str(shown),
            "profile": find_profile(connection, shown),
        }

    found = await store.read(read)
    profile: PortProfile | None = found["profile"]
    bars = {} if profile is None else {each.path: _bars(each) for each in profile.fields if each.histogram.counts}
    view = DataView(title=f"Data of {found['product'].display_name}", bars=bars, **found)
    return await show(request, "data.html", view)


def _bars(field: FieldProfile) -> tuple[Bar, ...]:
    """Return the bars of a histogram; one that counts anything is a pixel high at least."""
    counts, edges = field.histogram.counts, field.histogram.edges
    highest, width = max(*counts, 1), _WIDTH / len(counts)
    found = []
    for index, count in enumerate(counts):
        height = max(1.0, _HEIGHT * count / highest) if count else 0.0
        between = f"{edges[index]} to {edges[index + 1]}" if index + 1 < len(edges) else ""
        found.append(
            Bar(
                x=round(index * width, 1),
                y=round(_HEIGHT - height, 1),
                width=round(width - 1, 1),
                height=round(height, 1),
                words=f"{between}: {count:,}",
            )
        )
    return tuple(found)
