"""What every page about one product begins with: the product in a line, and the tabs to its other pages."""

from __future__ import annotations

from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from meshport.address import Address
from meshport.product import Product
from meshport.product.input_port import AddressText
from meshport_registry.products import descriptor_of, require_address


class Tab(NamedTuple):
    """A page about a product.

    Attributes:
        page: its path is `/catalog/<page>/<domain>/<product>`.
        name: what the tab says.
    """

    page: str
    name: str


TABS: Final = (
    Tab("products", "Product"),
    Tab("versions", "Versions"),
    Tab("lineage", "Lineage"),
    Tab("data", "Data"),
    Tab("problems", "Problems"),
    Tab("activity", "Activity"),
)
"""The pages about a product, in the order of their tabs."""


class ProductHeading(BaseModel):
    """A product in a line."""

    model_config = ConfigDict(frozen=True)

    address: AddressText
    guid: str
    display_name: str
    archetype: str
    status: str
    classification: str
    owner: str

    @classmethod
    def of(cls, product: Product) -> ProductHeading:
        """Return the heading of a product."""
        return cls(
            address=product.address,
            guid=str(product.id),
            display_name=product.display_name or product.address.key,
            archetype=product.archetype,
            status=product.status,
            classification=product.classification,
            owner=product.owner,
        )


def product_at(connection: Connection, domain: str, name: str) -> tuple[ProductHeading, Product]:
    """Return the heading and the descriptor of a product.

    Raises:
        AddressError: the words are no address.
        NotInMesh: the mesh has no such product.
    """
    product = descriptor_of(require_address(connection, Address(domain, name)))
    return ProductHeading.of(product), product
