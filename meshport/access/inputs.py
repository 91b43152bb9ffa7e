"""What the policies let products read, as the registry decides it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from meshport.access.principals import caller_name
from meshport.address import Address
from meshport.grants import PortReader
from meshport.product import Product

__all__ = ["PermittedInputs", "ReadingsClient"]


class ReadingsClient(Protocol):
    """Where it is decided: `meshport.registry.RegistryGrants`."""

    def readers(self) -> tuple[PortReader, ...]:
        """Return the input ports of every registered product; see `RegistryGrants.readers`."""

    def readings_of(self, product: Product, beside: Sequence[Product] = ()) -> tuple[PortReader, ...]:
        """Return the input ports of a product that is about to be registered; see `RegistryGrants.readings_of`."""


class PermittedInputs:
    """Decides which input ports products may read by the policies: a `MayRead`. The registry is asked once, for all of them.

    What a grant alone lets a product read is not among them: it has ACLs of its own, which end with it.

    Args:
        readings: of the registry.
        planned: the products that are about to be registered.
    """

    def __init__(self, readings: ReadingsClient, planned: Iterable[Product] = ()) -> None:
        self._readings = readings
        self._planned = {each.address: each for each in planned}
        self._known: dict[str, dict[Address, PortReader]] | None = None

    def __call__(self, reader: Product, address: Address) -> bool:
        """Return whether the policies let a product read a port.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        if self._known is None:
            self._known = self._ask()
        reading = self._known.get(caller_name(reader.address), {}).get(address)
        return reading is not None and reading.allowed and not reading.by_grant

    def _ask(self) -> dict[str, dict[Address, PortReader]]:
        known: dict[str, dict[Address, PortReader]] = {}
        for each in self._readings.readers():
            known.setdefault(each.reader, {})[each.address] = each
        for product in self._planned.values():
            inputs = dict.fromkeys(each.address.of_product for each in product.input_ports)
            beside = [self._planned[of] for of in inputs if of in self._planned]
            found = self._readings.readings_of(product, beside)
            known[caller_name(product.address)] = {each.address: each for each in found}
        return known
