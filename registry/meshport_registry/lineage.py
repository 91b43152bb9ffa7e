"""Who reads whom."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, select

from meshport.address import Address
from meshport.binding import Binding
from meshport.catalog import Lineage, LineageEdge, LineageNode, Reader
from meshport.product import Status
from meshport.product.lines import utc_today
from meshport_registry import tables
from meshport_registry.products import (
    Cluster,
    bindings_of,
    choose,
    descriptor_of,
    lines_of,
    live_line,
    require_address,
)

_IN_ONE_QUERY = 500  # SQLite and PostgreSQL both take far more; the answer of one query stays small


def readers(connection: Connection, address: Address, *, today: date | None = None) -> tuple[Reader, ...]:
    """The products that read a product, one of its ports, or one major of it; retired ones do not count.

    A reader that names a major reads that line. One that names none reads the live line, and will read every later one
    once its day has come: it counts for all of these, since a change of a line that is not live yet reaches it too, and
    nobody asks it again on the day. It does not count for an earlier line, which it has left.

    Args:
        connection: to the database.
        address: of the product, of a port or of one of its lines.
        today: the day (UTC) that decides which major is live; by default the current one.

    Raises:
        NotInMesh: the mesh has no such product or port.
    """
    row = require_address(connection, address)
    bindings = bindings_of(connection, row, Cluster())
    if address.port is not None:
        choose(bindings, address)
    unpinned = address.major is None or address.major in _reached(bindings, address, today or utc_today())
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
        if address.port in {None, each.port}
        and (unpinned if each.major is None else address.major in {None, each.major})
    )


def _reached(bindings: Sequence[Binding], address: Address, today: date) -> set[int]:
    """The majors to which an address without one leads, on that day or a later one."""
    lines = lines_of(bindings, address)
    live = live_line(lines, today)
    ended = {major for major, each in lines.items() if each.status is Status.RETIRED}
    return set() if live is None else {major for major in lines.keys() - ended if major >= live}


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
