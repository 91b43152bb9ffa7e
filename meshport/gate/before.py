"""The before-side of a comparison: what the readers of products rely on, and whoever can tell."""

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
        retired: ports that are at their end; a descriptor may drop them.
        registered: the descriptor that a registry holds, whose lifecycle no declaration takes back; None elsewhere.
    """

    pasts: Mapping[Line, Past]
    retired: frozenset[Line] = frozenset()
    registered: Product | None = None

    @property
    def id(self) -> UUID | None:
        """The product's id; None of a product without a port."""
        return next((past.contract.product.id for past in self.pasts.values()), None)


class PastSource(Protocol):
    """A state of the mesh that candidates are compared with."""

    @property
    def notes(self) -> Sequence[str]:
        """What has to be said about the comparison, once it was made."""

    def describe(self) -> str:
        """The source in words, for people: `git main (3f2c1ab)`."""

    def known(self) -> Collection[str]:
        """The products that it has, `<domain>/<product>`, as far as it can list them."""

    def differing(self) -> Collection[str] | None:
        """The products that may differ from the project's; None where only a look at each can tell."""

    def holder(self, id_: UUID) -> str | None:
        """The product, `<domain>/<product>`, that has an id; None where none is known to."""

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """What the readers of some products rely on, by `<domain>/<product>`; what the source does not know is left out.

        Args:
            addresses: of products or their ports.

        Raises:
            ProjectError: the source has the product, but it cannot be read.
            RegistryUnavailable: no answer; never to be read as a pass.
        """


def grouped(pasts: Iterable[Past]) -> dict[str, Before]:
    """Pasts of ports by their products, `<domain>/<product>`."""
    found: dict[str, dict[Line, Past]] = {}
    for past in pasts:
        port = past.contract.port
        found.setdefault(past.contract.product.address.key, {})[port.name, port.major] = past
    return {key: Before(each) for key, each in found.items()}


def known_readers(contract: Contract, read: Mapping[str, Iterable[Reading]]) -> tuple[Reader, ...]:
    """Who reads a contract, by the readings of its product."""
    return readers_of(contract.product, contract.port, read[contract.product.address.key])


def keys_of(addresses: Iterable[Address]) -> set[str]:
    """The products, `<domain>/<product>`, that addresses belong to."""
    return {address.of_product.key for address in addresses}
