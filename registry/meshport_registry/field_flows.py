"""The lineage of fields, which field of a product is made from which, as declared processes say. This module only reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from meshport.address import Address, nearest
from meshport.binding import Binding
from meshport.errors import MeshError, ProcessError
from meshport.field_flows import FieldFlow, FieldFlows, FlowProduct, ProductRead
from meshport.process.logic.declared_reads import ReadPort
from meshport.process.logic.field_lineage import FieldLineage, FieldOrigin, declared_lineage
from meshport.process.logic.fields_read import within
from meshport.processor_reports import ProcessorStatus, ProcessorSummary
from meshport.product import Product
from meshport.product.lines import utc_today
from meshport.schema import Schema
from meshport_registry import tables
from meshport_registry.errors import NotInMesh
from meshport_registry.processors import processors_of
from meshport_registry.products import (
    DefaultCluster,
    bindings_of,
    choose_binding,
    descriptor_of,
    require_address,
    require_guid,
)
from meshport_registry.read_ports import read_port

MOST_PRODUCTS: Final = 100
"""Products of one lineage. More would not be legible, and each takes a millisecond."""
_INFLUENCE: Final = ""
Mesh = Mapping[Address, "_Product"]


def field_flows(
    connection: Connection, address: Address, *, field: str | None = None, today: date | None = None
) -> FieldFlows:
    """Return where the fields of a product come from, and which fields are made from them.

    Args:
        connection: to the database.
        address: of the product.
        field: only what this field, or a field within it, is made from, and what is made from it.
        today: the day (UTC) that decides which major is live; by default the current one.

    Raises:
        NotInMesh: the mesh has no such product, or its default port no such field.
    """
    start = require_address(connection, address)
    distances, complete = _reached(connection, start.guid)
    products = {guid: _Product.of(connection, guid, today or utc_today()) for guid in distances}
    asked = products[start.guid]
    if field is not None and field.partition(".")[0] not in asked.schema.field_names:
        near = nearest(field, list(asked.schema.field_names))
        raise NotInMesh(f"{asked.address} has no field {field!r}", hint=f"did you mean {near!r}?" if near else None)
    mesh = {each.address.of_product: each for each in products.values()}
    beside = [_Product.of(connection, guid, asked.today) for guid in _other_sources(connection, distances)]
    known = mesh | {each.address.of_product: each for each in beside}
    lineages = {guid: each.lineage(known) for guid, each in products.items()}
    flows = [flow for guid, each in products.items() for flow in each.flows(lineages[guid], mesh)]
    if field is not None:
        flows = _connected(flows, asked.address, field)
    processors = processors_of(
        connection, {guid: each.address for guid, each in products.items() if each.product.process is not None}
    )
    through = {each.of_product for flow in flows for each in (flow.source, flow.reader)} | {asked.address.of_product}
    shown = {guid: each for guid, each in products.items() if field is None or each.address.of_product in through}
    return FieldFlows(
        address=asked.address.of_product,
        field=field,
        products=tuple(
            products[guid].node(distance, lineages[guid], processors.get(guid))
            for guid, distance in sorted(distances.items(), key=lambda item: (item[1], products[item[0]].address))
            if guid in shown
        ),
        flows=tuple(flows),
        reads=tuple(_reads(connection, shown)),
        complete=complete,
    )


def flows_into(connection: Connection, guid: str, *, today: date | None = None) -> tuple[FieldFlow, ...]:
    """Return which fields of a product's default port are made from which fields of the products that it reads.

    Args:
        connection: to the database.
        guid: of the product.
        today: the day (UTC) that decides which major is live; by default the current one.

    Raises:
        NotInMesh: the mesh has no such product.
    """
    product = _Product.of(connection, guid, today or utc_today())
    sources = [_Product.of(connection, each, product.today) for each in _other_sources(connection, [guid])]
    mesh = {each.address.of_product: each for each in sources}
    return tuple(product.flows(product.lineage(mesh), mesh))


def _reached(connection: Connection, start: str) -> tuple[dict[str, int], bool]:
    """Return the distance of each product upstream and downstream, the nearest first, and whether these are all."""
    own = tables.input_port.c
    distances = {start: 0}
    for step in (-1, 1):
        column, other = (own.guid, own.source_guid) if step < 0 else (own.source_guid, own.guid)
        reached, distance = [start], 0
        while reached:
            distance += step
            found = connection.execute(select(other).where(column.in_(reached)).distinct().order_by(other)).scalars()
            reached = [each for each in found if each not in distances]
            if len(distances) + len(reached) > MOST_PRODUCTS:
                return distances | dict.fromkeys(reached[: MOST_PRODUCTS - len(distances)], distance), False
            distances |= dict.fromkeys(reached, distance)
    return distances, True


def _other_sources(connection: Connection, guids: Collection[str]) -> list[str]:
    """Return what some products read beside each other: their steps cannot be followed without its contracts."""
    own = tables.input_port.c
    query = select(own.source_guid).where(own.guid.in_(guids), own.source_guid.not_in(guids)).distinct()
    return list(connection.execute(query).scalars())


def _reads(connection: Connection, products: Mapping[str, _Product]) -> Iterator[ProductRead]:
    """Yield which of some products read which."""
    own = tables.input_port.c
    rows = connection.execute(
        select(own.source_guid, own.guid)
        .where(own.guid.in_(products), own.source_guid.in_(products))
        .distinct()
        .order_by(own.source_guid, own.guid)
    )
    for row in rows:
        source, reader = products[row.source_guid], products[row.guid]
        yield ProductRead(source=source.address.of_product, reader=reader.address.of_product)


@dataclass(frozen=True)
class _Product:
    """A product with the ports that it has."""

    product: Product
    bindings: tuple[Binding, ...]
    bound: Binding
    today: date

    @classmethod
    def of(cls, connection: Connection, guid: str, today: date) -> _Product:
        row: Row[Any] = require_guid(connection, guid)
        bindings, product = bindings_of(connection, row, DefaultCluster()), descriptor_of(row)
        return cls(product, bindings, choose_binding(bindings, product.address, today=today), today)

    @property
    def address(self) -> Address:
        """Of the default port, at its live major."""
        return self.bound.address

    @property
    def schema(self) -> Schema:
        return Schema(self.bound.schema_text)

    def port(self, address: Address) -> ReadPort | None:
        """Return the port that an address leads to today; None where the product does not have it."""
        try:
            return read_port(choose_binding(self.bindings, address, today=self.today), self.bindings)
        except MeshError:
            return None

    def lineage(self, mesh: Mesh) -> FieldLineage | None:
        """Return the origins of the fields of the default port; None where the product does not declare them."""
        process = self.product.process
        if process is None:
            return None
        addresses = [*process.addresses, *(each.address for each in self.product.input_ports)]
        sources = ((each, mesh.get(each.of_product)) for each in addresses)
        ports = [port for each, source in sources if source is not None and (port := source.port(each)) is not None]
        try:
            return declared_lineage(self.product, ports, self.schema.field_names)
        except ProcessError:
            return None  # steps that cannot be understood may do anything

    def flows(self, lineage: FieldLineage | None, mesh: Mesh) -> Iterator[FieldFlow]:
        """Yield what the fields of the default port are made from, where the source is in this part of the mesh."""
        if lineage is not None:
            for name, origins in lineage.fields.items():
                yield from self._flows(name, origins, mesh)
            yield from self._flows(_INFLUENCE, lineage.influences, mesh)

    def _flows(self, name: str, origins: Iterable[FieldOrigin], mesh: Mesh) -> Iterator[FieldFlow]:
        for each in origins:
            source = mesh.get(each.address.of_product)
            port = None if source is None else source.port(each.address)
            if port is not None:
                yield FieldFlow(
                    source=port.address,
                    source_field=each.path,
                    reader=self.address,
                    field=name,
                    how=each.how,
                    by=each.by,
                )

    def node(self, distance: int, lineage: FieldLineage | None, processor: ProcessorStatus | None) -> FlowProduct:
        """Return the product as the lineage shows it."""
        names = self.schema.field_names
        derived, levels, now = bool(self.product.input_ports), self.bound.service_levels, datetime.now(UTC)
        report = None if processor is None else processor.report
        return FlowProduct(
            address=self.address,
            archetype=self.product.archetype,
            owner=self.product.owner,
            status=self.product.status,
            state=None if levels is None else levels.state_at(now),
            processor=None if report is None else ProcessorSummary.of(report, now),
            distance=distance,
            fields=names,
            unknown=() if not derived else names if lineage is None else lineage.unknown,
        )


def _connected(flows: Sequence[FieldFlow], address: Address, field: str) -> list[FieldFlow]:
    """Return the flows that lead to a field, and those that lead from it, in the order given."""
    kept: set[int] = set()
    for upstream in (True, False):
        by_port: dict[Address, list[tuple[int, str, tuple[Address, str]]]] = {}
        for index, each in enumerate(flows):
            ends = (each.source, each.source_field), (each.reader, each.field)
            (port, path), there = reversed(ends) if upstream else ends
            by_port.setdefault(port, []).append((index, path, there))
        wanted, seen = [(address, field)], {(address, field)}
        while wanted:
            port, path = wanted.pop()
            for index, here, there in by_port.get(port, ()):
                if not (within(here, path) or within(path, here)):
                    continue
                kept.add(index)
                if there[1] != _INFLUENCE and there not in seen:
                    seen.add(there)
                    wanted.append(there)
    return [each for index, each in enumerate(flows) if index in kept]
