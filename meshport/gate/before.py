"""The past in a comparison: what the readers of products rely on, and the protocol of its sources."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from meshport.address import Address
from meshport.catalog import Reader
from meshport.compat.contract import Contract
from meshport.compat.judge import Past
from meshport.gate.touched import Reading, readers_of
from meshport.product import Product

Line = tuple[str, int]
"""A port by its name and major."""


@dataclass(frozen=True)
class Before:
    """A product as its readers know it.

    Attributes:
        pasts: what the readers of each port rely on.
        retired: the retired ports, which a descriptor may drop.
        registered: the descriptor in a registry, whose lifecycle a declaration cannot take back; None for other sources.
    """

    pasts: Mapping[Line, Past]
    retired: frozenset[Line] = frozenset()
    registered: Product | None = None

    @property
    def id(self) -> UUID | None:
        """The product's id; None for a product without a port."""
        return next((past.contract.product.id for past in self.pasts.values()), None)


class PastSource(Protocol):
    """A state of the mesh that candidates are compared with."""

    @property
    def notes(self) -> Sequence[str]:
        """What limits the comparison, once it was made."""

    def describe(self) -> str:
        """Return the source in words: `git main (3f2c1ab)`."""

    def known(self) -> Collection[str]:
        """Return the products that it has, `<domain>/<product>`, as far as it can list them."""

    def differing(self) -> Collection[str] | None:
        """Return the products that may differ from the project's; None if only a comparison of each product shows it."""

    def product_with_id(self, id_: UUID) -> str | None:
        """Return the product, `<domain>/<product>`, that has an id; None if there is none."""

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """Return what the readers of some products rely on, by `<domain>/<product>`; unknown products are left out.

        Args:
            addresses: of products or their ports.

        Raises:
            ProjectError: the source has the product, but it cannot be read.
            RegistryUnavailable: the registry did not answer, which must never count as a pass.
        """


def grouped(pasts: Iterable[Past]) -> dict[str, Before]:
    """Return the pasts of ports grouped by product, `<domain>/<product>`."""
    found: dict[str, dict[Line, Past]] = {}
    for past in pasts:
        port = past.contract.port
        found.setdefault(past.contract.product.address.key, {})[port.name, port.major] = past
    return {key: Before(each) for key, each in found.items()}


def known_readers(contract: Contract, read: Mapping[str, Iterable[Reading]]) -> tuple[Reader, ...]:
    """Return the readers of a contract, from the readings of its product."""
    return readers_of(contract, read[contract.product.address.key])


def keys_of(addresses: Iterable[Address]) -> set[str]:
    """Return the products, `<domain>/<product>`, that addresses belong to."""
    return {address.of_product.key for address in addresses}
