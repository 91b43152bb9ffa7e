"""The protocol by which ports and processors resolve addresses."""

from __future__ import annotations

from typing import Protocol

from meshport.address import Address
from meshport.binding import Binding


class Resolver(Protocol):
    """Resolves addresses to bindings; `meshport.registry.Registry` is the one that asks the registry service."""

    def resolve(self, address: Address) -> Binding:
        """Return the present binding of the address.

        Raises:
            NotRegistered: no product is registered at the address.
            RegistryUnavailable: the registry did not answer.
        """
        ...
