"""Routes of the readers that were seen: who reads a product, declared or not, and what an observer reports of groups."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection

from meshport.address import Address
from meshport.seen_readers import GroupReports, LineReaders
from meshport_registry.mesh_api import PROBLEMS, Line, Segment, as_json
from meshport_registry.negotiation import MESH_CHECKS
from meshport_registry.products import DefaultCluster, require_address, resolve
from meshport_registry.seen_readers import rows
from meshport_registry.seen_readers.known import readers_of_line, readers_seen
from meshport_registry.state import Database, UnauditedDatabase
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute,
    dependencies=MESH_CHECKS,
    prefix="/api/v1/seen-readers",
    tags=["Readers that were seen"],
    responses=PROBLEMS,
)


@router.get("/{domain}/{product}", response_model=list[LineReaders])
async def readers_of_product(store: Database, domain: Segment, product: Segment) -> Any:
    """Who reads each line of a product, declared or not, and when it was seen last."""
    address = Address(domain, product)
    return await store.read(lambda c: list(readers_seen(c, address)))


@router.get("/{domain}/{product}/{port}", response_model=list[LineReaders])
async def readers_of_port(store: Database, line: Line) -> Any:
    """The same of one line: of the live one, or of that of a major."""
    return await store.read(lambda c: list(readers_seen(c, line)))


@router.put("/{domain}/{product}/{port}", response_model=LineReaders)
async def report_groups(store: UnauditedDatabase, line: Line, body: GroupReports) -> Any:
    """Report all consumer groups that read a line. A report that is older than the last one changes nothing."""

    def work(connection: Connection) -> LineReaders:
        guid, binding = require_address(connection, line).guid, resolve(connection, line, DefaultCluster())
        rows.keep_groups(connection, rows.ReadLine.of(guid, binding), body)
        return readers_of_line(connection, guid, binding)

    return as_json(await store.write(work))
