"""The Kafka principals of a mesh: one for each data product's process, and for each person who reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from meshport.address import Address

__all__ = ["Principals", "caller_name", "login"]

_USER: Final = "User:"


def caller_name(product: Address) -> str:
    """Return the name under which a product's process is known to the registry: `billing/invoices`."""
    return product.of_product.key


def login(caller: str) -> str:
    """Return the login of a caller at Kafka: `billing.invoices` for the product `billing/invoices`, a person's own name.

    The consumer groups of a reader begin with it too.
    """
    return caller.replace("/", ".")


@dataclass(frozen=True, slots=True)
class Principals:
    """The principals by which a cluster knows callers.

    Attributes:
        other: the principals, `User:...`, of callers whose login is not their name, such as those with a certificate:
            `[principals]` of `meshport.toml`, by `domain/product` or a person's name.
    """

    other: Mapping[str, str] = field(default_factory=dict, hash=False)

    def of(self, caller: str) -> str:
        """Return the principal of a caller, `User:NAME`.

        Args:
            caller: `domain/product`, or a person's name.
        """
        return self.other.get(caller, f"{_USER}{login(caller)}")
