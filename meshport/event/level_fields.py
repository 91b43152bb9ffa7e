"""Whether the fields by which service levels are measured are in the contract, before an observer finds nothing to measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from meshport.address import nearest
from meshport.compat.service_levels import property_of
from meshport.event.port_fields import article, kinds_of
from meshport.product import OutputPort, Product
from meshport.schema import Schema

__all__ = ["LevelMisfit", "level_misfits"]

_NUMBERS: Final = frozenset({"int", "long"})
_VALUES: Final = frozenset(
    {"int", "long", "float", "double", "bytes-decimal", "fixed-decimal", "string", "enum", "boolean"}
)
_HOLDS: Final = {
    "completeness": (_NUMBERS, "numbers of facts", "name an int or long that grows by one with each fact"),
    "drift": (_VALUES, "numbers, words or flags", "name a field of numbers, text, an enum or a boolean"),
}
"""By property: the kinds that it can be measured by, what they hold, and what would be right."""


@dataclass(frozen=True, slots=True)
class LevelMisfit:
    """A field of a service level by which nothing can be measured.

    Attributes:
        index: of the level in `slaProperties`.
        message: what is wrong, in one sentence.
        hint: what would be right.
    """

    index: int
    message: str
    hint: str


def level_misfits(product: Product, port: OutputPort, schema: Schema) -> Iterator[LevelMisfit]:
    """Yield the service levels of a port whose `element` its contract lacks, or holds as a type that does not fit.

    A port is looked at in its newest major: an older one may lack what came later.

    Args:
        product: that declares the levels.
        port: one of its output ports.
        schema: the contract of the port.
    """
    if any(each.name == port.name and each.major > port.major for each in product.output_ports):
        return
    types = {field["name"]: field["type"] for field in schema.fields}
    for index, level in enumerate(product.sla_properties):
        if level.element is None or level.port not in {None, port.name}:
            continue
        for name in (each.strip() for each in level.element.split(",")):
            said = f"the element {name!r} of {level.property}"
            if name not in types:
                near = nearest(name, list(types))
                hint = f"did you mean {near!r}?" if near else f"its fields: {', '.join(types)}"
                if level.port is None and len({each.name for each in product.output_ports}) > 1:
                    hint += " For one port alone, the level names it as its `port`"
                yield LevelMisfit(index, f"{said} is not in {schema.name}", hint)
                continue
            kinds = kinds_of(types[name], schema)
            held = _HOLDS.get(property_of(level))
            if held is not None and not held[0].intersection(kinds):
                yield LevelMisfit(index, f"{said} is {article(kinds)}, which holds no {held[1]}", held[2])
