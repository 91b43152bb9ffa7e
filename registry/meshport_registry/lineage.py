"""Readers and lineage: which products read which, and which fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, select

from meshport.address import Address
from meshport.binding import Binding
from meshport.catalog import Lineage, LineageEdge, LineageNode, Reader
from meshport.process.logic.declared_reads import addresses_read, fields_of_reader
from meshport.product import Product, Status
from meshport.product.lines import utc_today
from meshport_registry import tables
from meshport_registry.products import (
    DefaultCluster,
    bindings_of,
    choose_binding,
    descriptor_of,
    lines_of,
    live_line,
    require_address,
)
from meshport_registry.read_ports import read_port, read_ports

_PER_QUERY = 500  # SQLite and PostgreSQL both take far more parameters; this keeps the result of one query small


def readers(connection: Connection, address: Address, *, today: date | None = None) -> tuple[Reader, ...]:
    """Return the products that read a product, a port, or a line of a port. Retired products are omitted.

    A reader that names a major reads that line. A reader that names none reads the live line now, and each later line
    from the day on which that becomes live. It is a reader of all of these lines, because the gate judges a change of a
    later line before that day and not again on it. It is not a reader of an earlier line.

    Args:
        connection: to the database.
        address: of the product, of a port, or of a line of a port.
        today: the day (UTC) that decides which major is live; by default the current one.

    Raises:
        NotInMesh: the mesh has no such product or port.
    """
    row = require_address(connection, address)
    bindings = bindings_of(connection, row, DefaultCluster())
    if address.port is not None:
        choose_binding(bindings, address)
    unpinned = address.major is None or address.major in _live_now_or_later(bindings, address, today or utc_today())
    own = tables.input_port.c
    rows = connection.execute(
        select(own.port, own.major, tables.product)
        .join(tables.product, tables.product.c.guid == own.guid)
        .where(own.source_guid == row.guid, tables.product.c.status != Status.RETIRED)
        .order_by(tables.product.c.domain, tables.product.c.name, own.position)
    ).all()
    source = bindings[0].address.of_product
    declared = [
        (each, replace(source, port=each.port, major=each.major))
        for each in rows
        if address.port in {None, each.port}
        and (unpinned if each.major is None else address.major in {None, each.major})
    ]
    known = {each.guid for each, _ in declared}
    others = {each.guid: each for each in rows if each.guid not in known}
    processed = [
        (each, read) for each in others.values() if (read := _processed(descriptor_of(each), address, bindings))
    ]
    return tuple(_reader(each, reads, address, bindings, today) for each, reads in (*declared, *processed))


def _processed(product: Product, address: Address, bindings: Sequence[Binding]) -> Address | None:
    """Return the port and major of an address as a product's process names it, though none of its `inputPorts` does."""
    ports = [read_port(each, bindings) for each in bindings if each.address.port == address.port or not address.port]
    for port in ports:
        found = next(filter(port.is_at, addresses_read(product)), None)
        if found is not None and address.major in {None, port.address.major}:
            return replace(port.address, major=found.major)
    return None


def _live_now_or_later(bindings: Sequence[Binding], address: Address, today: date) -> set[int]:
    """Return the majors to which an address without one resolves on that day or a later day."""
    lines = lines_of(bindings, address)
    live = live_line(lines, today)
    retired = {major for major, each in lines.items() if each.status is Status.RETIRED}
    return set() if live is None else {major for major in lines.keys() - retired if major >= live}


def _reader(row: Row[Any], reads: Address, address: Address, bindings: Sequence[Binding], today: date | None) -> Reader:
    """Return a reader as its stored descriptor shows it, whatever the registry knew of it when it was registered."""
    product = descriptor_of(row)
    # A reader of every major line is judged by the line that is asked for.
    line = replace(reads, major=reads.major or address.major)
    port = read_port(choose_binding(bindings, line, today=today), bindings)
    return Reader(
        address=product.address,
        reads=reads,
        fields=fields_of_reader(product, [each for each in product.input_ports if port.is_at(each.address)], port),
        archetype=product.archetype,
        owner=product.owner,
        contact=product.contact,
        status=product.status,
    )


def lineage(connection: Connection, address: Address) -> Lineage:
    """Return every product upstream and downstream of a product, with the fields that each reads.

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
    """Return the fields read, by (source, reader), of the direct neighbours of these products.

    The value is None if a reader reads all fields.
    """
    own = tables.input_port.c
    column = own.guid if upstream else own.source_guid
    edges: dict[tuple[str, str], set[str] | None] = {}
    query = select(own.source_guid, own.guid, own.port, own.major, tables.product.c.descriptor).join(
        tables.product, tables.product.c.guid == own.guid
    )
    for some in _batches(guids):
        rows = connection.execute(query.where(column.in_(some))).all()
        ports = read_ports(connection, {row.source_guid for row in rows})
        for row in rows:
            product, pair = Product.model_validate_json(row.descriptor), (row.source_guid, row.guid)
            for port in ports[row.source_guid]:
                if port.address.port != row.port or row.major not in {None, port.address.major}:
                    continue
                entries = [each for each in product.input_ports if port.is_at(each.address)]
                fields = set(fields_of_reader(product, entries, port))
                before = edges.get(pair, fields)
                edges[pair] = None if not fields or before is None else before | fields
    return edges


def _products(connection: Connection, guids: Iterable[str]) -> Iterable[Row[Any]]:
    for some in _batches(guids):
        yield from connection.execute(select(tables.product).where(tables.product.c.guid.in_(some)))


def _batches(guids: Iterable[str]) -> Iterable[list[str]]:
    every = list(guids)
    for start in range(0, len(every), _PER_QUERY):
        yield every[start : start + _PER_QUERY]
