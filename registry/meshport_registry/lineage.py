"""Who reads whom."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, select

from meshport.address import Address
from meshport.catalog import Lineage, LineageEdge, LineageNode, Reader
from meshport.product import Status
from meshport_registry import tables
from meshport_registry.products import Cluster, bindings_of, choose, descriptor_of, require_address

_IN_ONE_QUERY = 500  # SQLite and PostgreSQL both take far more; the answer of one query stays small


def readers(connection: Connection, address: Address) -> tuple[Reader, ...]:
    """The products that read a product, one of its ports, or one major of it; retired ones do not count.

    A reader that names no major reads whichever is live, so it counts for every major.

    Raises:
        NotInMesh: the mesh has no such product or port.
    """
    row = require_address(connection, address)
    bindings = bindings_of(connection, row, Cluster())
    if address.port is not None:
        choose(bindings, address)
    source = descriptor_of(row).address
    own = tables.input_port.c
    rows = connection.execute(
        select(tables.input_port, tables.product)
        .join(tables.product, tables.product.c.guid == own.guid)
        .where(own.source_guid == row.guid, tables.product.c.status != Status.RETIRED)
        .order_by(tables.product.c.domain, tables.product.c.name, own.position)
    )
    return tuple(
        _reader(each, source)
        for each in rows
        if address.port in {None, each.port} and (address.major is None or each.major in {None, address.major})
    )


def _reader(row: Row[Any], source: Address) -> Reader:
    product = descriptor_of(row)
    return Reader(
        address=product.address,
        reads=Address(source.domain, source.product, row.port, row.major),
        fields=tuple(json.loads(row.fields)),
        archetype=product.archetype,
        owner=product.owner,
        contact=product.contact,
        status=product.status,
    )


def lineage(connection: Connection, address: Address) -> Lineage:
    """Everything upstream and downstream of a product.

    Raises:
        NotInMesh: the mesh has no such product.
    """
    start = require_address(connection, address).guid
    edges: dict[tuple[str, str], set[str] | None] = {}
    distances = {start: 0}
    for step in (-1, 1):
        reached, distance = [start], 0
        while reached:
            distance += step
            found = _edges(connection, reached, upstream=step < 0)
            edges |= found
            ends = {source if step < 0 else reader for source, reader in found}
            reached = sorted(ends - distances.keys())
            distances |= dict.fromkeys(reached, distance)
    rows = {row.guid: row for row in _products(connection, distances)}
    named = {guid: Address(row.domain, row.name) for guid, row in rows.items()}
    return Lineage(
        address=named[start],
        nodes=tuple(
            LineageNode(
                address=named[guid],
                archetype=rows[guid].archetype,
                owner=rows[guid].owner,
                status=rows[guid].status,
                distance=distance,
            )
            for guid, distance in sorted(distances.items(), key=lambda item: (item[1], named[item[0]]))
        ),
        edges=tuple(
            LineageEdge(source=named[source], reader=named[reader], fields=tuple(sorted(fields or ())))
            for (source, reader), fields in sorted(
                edges.items(), key=lambda item: tuple(map(named.__getitem__, item[0]))
            )
        ),
    )


def _edges(connection: Connection, guids: Iterable[str], *, upstream: bool) -> dict[tuple[str, str], set[str] | None]:
    """Fields per (source, reader) next to these products; None where a reader takes all fields."""
    own = tables.input_port.c
    column = own.guid if upstream else own.source_guid
    edges: dict[tuple[str, str], set[str] | None] = {}
    for some in _in_parts(guids):
        for row in connection.execute(select(own.source_guid, own.guid, own.fields).where(column.in_(some))):
            pair, fields = (row.source_guid, row.guid), set(json.loads(row.fields))
            before = edges.get(pair, fields)
            edges[pair] = None if not fields or before is None else before | fields
    return edges


def _products(connection: Connection, guids: Iterable[str]) -> Iterable[Row[Any]]:
    for some in _in_parts(guids):
        yield from connection.execute(select(tables.product).where(tables.product.c.guid.in_(some)))


def _in_parts(guids: Iterable[str]) -> Iterable[list[str]]:
    every = list(guids)
    for start in range(0, len(every), _IN_ONE_QUERY):
        yield every[start : start + _IN_ONE_QUERY]
