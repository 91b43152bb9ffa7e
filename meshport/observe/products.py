"""The products of a whole mesh, as its registry has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from meshport.address import Address
from meshport.binding import RegisteredProduct
from meshport.catalog import ProductPage
from meshport.errors import NotRegistered
from meshport.product import Status

__all__ = ["RegisteredProducts", "registered_products"]

_PAGE: Final = 1000


class RegisteredProducts(Protocol):
    """Where products are found: `meshport.Registry`."""

    def search(self, text: str | None = None, *, offset: int = 0, limit: int = 50) -> ProductPage:
        """Return a page of the products; see `meshport.Registry.search`."""

    def product(self, which: Address) -> RegisteredProduct:
        """Return a product; see `meshport.Registry.product`."""


def registered_products(registry: RegisteredProducts) -> Iterator[RegisteredProduct]:
    """Yield the products of the mesh that are not retired, by address.

    Raises:
        RegistryUnavailable: the registry did not answer.
    """
    seen = 0
    while (page := registry.search(offset=seen, limit=_PAGE)).items:
        seen += len(page.items)
        for each in page.items:
            if each.status is Status.RETIRED:
                continue
            try:
                yield registry.product(each.address)
            except NotRegistered:
                continue  # it was dropped meanwhile
