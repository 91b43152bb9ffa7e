"""The drawing of a lineage: products as boxes in columns, from upstream to downstream, with the fields that flow between them.

A column is a distance from the product that is looked at. Within a column, products stand near those that they are connected to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Final

from pydantic import BaseModel, ConfigDict

from meshport.address import Address
from meshport.field_flows import FieldFlow, FieldFlows, FlowProduct, ProductRead
from meshport.processor_reports import ProcessorState
from meshport.service_levels import LevelState
from meshport_registry.catalog.words import page_of

MOST_FIELDS: Final = 14
"""Fields of one product that are drawn; the table beside the drawing has all."""
_ALARMING: Final = {LevelState.AT_RISK, LevelState.BROKEN}
_COLUMN: Final = 350
_FIELD: Final = 30
_HEAD: Final = 34
_GAP: Final = 46


class GraphNode(BaseModel):
    """A box of the drawing.

    Attributes:
        id: within the drawing.
        label: what it says.
        kind: `product` or `field`; `more` for the fields that are not drawn.
        parent: the product of a field.
        archetype: of a product, or of the field's.
        status: likewise.
        state: how the promises of the product are kept: `met`, `at-risk`, `broken` or `unknown`; "" where none is measured.
        processor: whether the processor of the product runs: `running`, `stopped` or `unknown`; "" where none was observed.
        here: whether it is what the page is about.
        href: where it leads.
        x: of its middle.
        y: of its middle.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    label: str
    kind: str
    parent: str | None = None
    archetype: str
    status: str
    state: str = ""
    processor: str = ""
    here: bool = False
    href: str | None = None
    x: float = 0
    y: float = 0


class GraphEdge(BaseModel):
    """An arrow of the drawing: of a field (`copied`, `derived` ...), or of a product that reads another (`reads`)."""

    model_config = ConfigDict(frozen=True)

    id: str
    source: str
    target: str
    how: str


class Graph(BaseModel):
    """A drawing."""

    model_config = ConfigDict(frozen=True)

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


def lineage_graph(found: FieldFlows) -> Graph:
    """Return the drawing of a lineage of fields.

    Args:
        found: the lineage. Flows that decide about whole events are drawn into the product.
    """
    fields = _fields_drawn(found)
    columns = _columns(found.products, found.reads)
    nodes: list[GraphNode] = []
    for column in columns:
        heights = [_HEAD + _FIELD * len(fields[each.address.of_product]) for each in column]
        y = -(sum(heights) + _GAP * (len(column) - 1)) / 2
        for product, height in zip(column, heights, strict=True):
            nodes += _boxes(product, fields[product.address.of_product], found, y)
            y += height + _GAP
    return Graph(nodes=tuple(nodes), edges=tuple(_arrows(found, fields)))


def _name(field: str, port: Address, product: FlowProduct) -> str:
    """Return a field as the drawing names it: with its port where that is not the one that the product is shown by."""
    return field if port == product.address else f"{port.port}@{port.major}: {field}"


def _fields_drawn(found: FieldFlows) -> dict[Address, list[str]]:
    """Return the fields of each product that are drawn: those that flow, first in the contract's order; at most `MOST_FIELDS`."""
    products = {each.address.of_product: each for each in found.products}
    flowing: dict[Address, dict[str, None]] = {each: {} for each in products}
    for flow in found.flows:
        for port, field in ((flow.source, flow.source_field), (flow.reader, flow.field)):
            if field:
                flowing[port.of_product].setdefault(_name(field, port, products[port.of_product]))
    if found.field is not None:
        flowing[found.address].setdefault(found.field)
    drawn = {}
    for address, names in flowing.items():
        order = {name: index for index, name in enumerate(products[address].fields)}
        every = sorted(names, key=lambda name: (order.get(name.partition(".")[0], len(order)), name))
        drawn[address] = every[:MOST_FIELDS] if len(every) <= MOST_FIELDS else [*every[: MOST_FIELDS - 1], ""]
    return drawn


def _columns(products: Iterable[FlowProduct], reads: Sequence[ProductRead]) -> list[list[FlowProduct]]:
    """Return the products by distance, each column ordered by where the neighbours stand in the columns nearer to the centre."""
    by_distance: dict[int, list[FlowProduct]] = {}
    for each in products:
        by_distance.setdefault(each.distance, []).append(each)
    neighbours: dict[Address, set[Address]] = {}
    for read in reads:
        neighbours.setdefault(read.source, set()).add(read.reader)
        neighbours.setdefault(read.reader, set()).add(read.source)
    position: dict[Address, float] = {}
    for distance in sorted(by_distance, key=abs):
        column = by_distance[distance]
        column.sort(key=lambda each: (_middle(each.address.of_product, neighbours, position), each.address))
        for index, each in enumerate(column):
            position[each.address.of_product] = index - (len(column) - 1) / 2
    return [by_distance[each] for each in sorted(by_distance)]


def _middle(address: Address, neighbours: Mapping[Address, set[Address]], position: Mapping[Address, float]) -> float:
    known = [position[each] for each in neighbours.get(address, ()) if each in position]
    return mean(known) if known else 0.0


def _boxes(product: FlowProduct, fields: Sequence[str], found: FieldFlows, top: float) -> list[GraphNode]:
    address, x = product.address.of_product, product.distance * _COLUMN
    state, processor = str(product.state or ""), str(product.processor.state) if product.processor else ""
    looks = {"archetype": str(product.archetype), "status": str(product.status), "state": state, "processor": processor}
    alarms = [*([state] if state in _ALARMING else []), *([processor] if processor == ProcessorState.STOPPED else [])]
    box = GraphNode(
        id=address.key,
        label=f"{', '.join(alarms)}: {address.key}" if alarms else address.key,
        kind="product",
        here=address == found.address,
        href=page_of(address, "lineage"),
        x=x,
        y=top + _HEAD / 2,
        **looks,
    )
    nodes = [box]
    for index, field in enumerate(fields):
        nodes.append(
            GraphNode(
                id=_field_id(address, field),
                label=field or "further fields",
                kind="field" if field else "more",
                parent=address.key,
                here=address == found.address and field == found.field,
                href=_field_page(address, field, product),
                x=x,
                y=top + _HEAD + _FIELD * (index + 0.5),
                **looks,
            )
        )
    return nodes


def _field_page(address: Address, field: str, product: FlowProduct) -> str:
    known = field.partition(".")[0] in product.fields
    return page_of(address, "lineage") + (f"?field={field}" if known else "")


def _field_id(address: Address, field: str) -> str:
    return f"{address.key} {field or '...'}"


def _arrows(found: FieldFlows, fields: Mapping[Address, Sequence[str]]) -> list[GraphEdge]:
    products = {each.address.of_product: each for each in found.products}
    arrows: dict[tuple[str, str], GraphEdge] = {}

    def end(port: Address, field: str) -> str:
        address = port.of_product
        if not field:
            return address.key
        name = _name(field, port, products[address])
        return _field_id(address, name if name in fields[address] else "")

    def draw(source: str, target: str, how: str) -> None:
        arrows.setdefault((source, target), GraphEdge(id=f"{source} > {target}", source=source, target=target, how=how))

    for flow in found.flows:
        draw(end(flow.source, flow.source_field), end(flow.reader, flow.field), str(flow.how))
    drawn = {(flow.source.of_product, flow.reader.of_product) for flow in found.flows}
    for read in found.reads:
        if (read.source, read.reader) not in drawn:
            draw(read.source.key, read.reader.key, "reads")
    return list(arrows.values())


def without_influences(flows: Iterable[FieldFlow]) -> tuple[FieldFlow, ...]:
    """Return the flows that make fields; those that decide about whole events are left out."""
    return tuple(each for each in flows if each.field)
