"""The protocol by which ports and processors find what stands behind an address."""

from __future__ import annotations

from typing import Protocol

from meshport.address import Address
from meshport.binding import Binding


class Resolver(Protocol):
    """Resolves addresses to bindings; `meshport.registry.Registry` is the one that asks the registry service."""

    def resolve(self, address: Address) -> Binding:
        """Return the binding that stands behind the address now.

        Raises:
            NotRegistered: no product is registered at the address.
            RegistryUnavailable: the registry did not answer.
        """
        ...
