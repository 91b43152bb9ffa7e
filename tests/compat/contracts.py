"""Contracts to change: the corpus' product, with other keys laid over it."""

from __future__ import annotations

from typing import Any, Final

from meshport.compat import Contract
from meshport.compat.corpus import Fixture, contract_of

CLASSES: Final = ("public", "internal", "confidential", "restricted")


def contract(
    *,
    port: dict[str, Any] | None = None,
    product: dict[str, Any] | None = None,
    fields: dict[str, Any] | None = None,
) -> Contract:
    """The port `events@1` of `mesh://shop/orders`; a None takes a key away, `fields` gives types of the schema's fields."""
    descriptor, schema = Fixture("", "", {"before": {"port": port or {}, "product": product or {}}}).before
    kinds = fields or {}
    typed = [each | {"type": kinds.get(each["name"], each["type"])} for each in schema["fields"]]
    return contract_of((descriptor, schema | {"fields": typed}))


def ports(**given: Any) -> list[dict[str, Any]]:
    """The only output port of that product, with other keys laid over it."""
    descriptor, _ = Fixture("", "", {"before": {"port": given}}).before
    return list(descriptor["outputPorts"])


def retentions(days: int | None) -> str:
    """A retention as a descriptor writes it."""
    return "forever" if days is None else f"{days}d"
