"""What an exported document is made of, read from the database."""

from __future__ import annotations

from sqlalchemy import Connection, select

from meshport.address import Address
from meshport.export.extract import Extract
from meshport.product import Status
from meshport_registry import tables
from meshport_registry.products import DefaultCluster, find_address, registered_product, require_address


def product_extract(connection: Connection, address: Address, cluster: DefaultCluster, registry_url: str) -> Extract:
    """Return one product, with the products that it reads.

    Raises:
        NotInMesh: no product has the address.
    """
    product = registered_product(connection, require_address(connection, address), cluster)
    read = dict.fromkeys(each.address.of_product for each in product.descriptor.input_ports)
    rows = (find_address(connection, each) for each in read)
    upstream = tuple(registered_product(connection, row, cluster) for row in rows if row is not None)
    return Extract((product,), registry_url, upstream)


def mesh_extract(connection: Connection, cluster: DefaultCluster, registry_url: str) -> Extract:
    """Return every product that is not retired, ordered by address."""
    own = tables.product.c
    rows = connection.execute(
        select(tables.product).where(own.status != Status.RETIRED).order_by(own.domain, own.name)
    ).all()
    return Extract(tuple(registered_product(connection, row, cluster) for row in rows), registry_url)
