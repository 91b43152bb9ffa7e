"""Contracts to change, the corpus' product with other keys laid over it, and the verdict on a change on a fixed day."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from meshport.compat import Contract, Past, Verdict, judge_port
from meshport.compat.corpus import Fixture, contract_of
from meshport.compat.judge import refused_schema
from meshport.errors import SchemaError

CLASSES: Final = ("public", "internal", "confidential", "restricted")
TODAY: Final = date(2026, 3, 1)


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


def judge_change(past: Past, candidate: tuple[dict[str, Any], Any], gone: str | None) -> Verdict:
    """Return the engine's verdict on a candidate, as the gate asks for it.

    Args:
        past: the port as its readers know it.
        candidate: descriptor and schema, as JSON data; the schema need not be a valid one.
        gone: `port` or `product` where the candidate lacks it, else None.
    """
    before = past.contract
    if gone is not None:
        return judge_port(past, None, None if gone == "product" else contract_of(candidate).product, today=TODAY)
    try:
        after = contract_of(candidate)
    except SchemaError as error:
        return refused_schema(before.address, before.product.compatibility(before.port), error, today=TODAY)
    return judge_port(past, after, after.product, today=TODAY)
