"""What an exported document is made of, read from the database."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from meshport.address import Address
from meshport.export.extract import Extract
from meshport.export.formats import ProductFormat
from meshport.product import Status
from meshport_registry import tables
from meshport_registry.field_flows import flows_into
from meshport_registry.products import DefaultCluster, find_address, registered_product, require_address


@dataclass(frozen=True)
class Extracts:
    """Reads what the documents of a format are made of.

    Attributes:
        form: the format.
        cluster: the registry's default cluster.
        registry_url: of this registry, as documents name it.
    """

    form: ProductFormat
    cluster: DefaultCluster
    registry_url: str

    def of_product(self, connection: Connection, address: Address) -> Extract:
        """Return one product, with the products that it reads.

        Raises:
            NotInMesh: no product has the address.
        """
        product = registered_product(connection, require_address(connection, address), self.cluster)
        read = dict.fromkeys(each.address.of_product for each in product.descriptor.input_ports)
        rows = (find_address(connection, each) for each in read)
        upstream = tuple(registered_product(connection, row, self.cluster) for row in rows if row is not None)
        return self._with_flows(connection, Extract((product,), self.registry_url, upstream))

    def of_mesh(self, connection: Connection, seen: Set[str] | None = None) -> Extract:
        """Return every product that is not retired, ordered by address.

        Args:
            connection: to the database.
            seen: only these products, each as `<domain>/<product>`; None for all.
        """
        own = tables.product.c
        query = select(tables.product).where(own.status != Status.RETIRED).order_by(own.domain, own.name)
        rows = connection.execute(query).all()
        products = tuple(
            registered_product(connection, row, self.cluster)
            for row in rows
            if seen is None or f"{row.domain}/{row.name}" in seen
        )
        return self._with_flows(connection, Extract(products, self.registry_url))

    def _with_flows(self, connection: Connection, extract: Extract) -> Extract:
        if not self.form.has_field_lineage:
            return extract
        derived = (each for each in extract.products if each.descriptor.process is not None)
        return replace(extract, flows=tuple(flow for each in derived for flow in flows_into(connection, each.guid)))
