"""What a port promises, in the form in which it is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from meshport.compat.service_levels import delay_ms, promised, property_of
from meshport.observe.levels.volumes import span_of
from meshport.product import OutputPort, Product, ServiceLevel

__all__ = ["COMPLETENESS", "DELAYS", "DRIFT", "INTERVALS", "Promises"]

DELAYS: Final = frozenset({"timeliness", "latency"})
"""Promises of the time from the fact to its event."""
INTERVALS: Final = frozenset({"intervalofchange", "frequency", "freshness"})
"""Promises of the time since something came."""
COMPLETENESS: Final = "completeness"
DRIFT: Final = "drift"


@dataclass(frozen=True)
class Promises:
    """The promises of one port.

    Attributes:
        levels: the promises, in the order of the descriptor; one of the port overrides one of all ports.
        moving_fields: the fields whose values always move on, so that no drift is seen in them: of the key, the time and the
            numbers of facts.
    """

    levels: tuple[ServiceLevel, ...] = ()
    moving_fields: tuple[str, ...] = ()

    @classmethod
    def of(cls, product: Product, port: OutputPort) -> Self:
        """Return what a product promises of one of its ports."""
        levels = tuple(each for found in promised(product, port.name).values() for each in found)
        numbers = tuple(each.element for each in levels if property_of(each) == COMPLETENESS and each.element)
        return cls(levels, (*port.key_fields, *([port.time] if port.time else []), *numbers))

    @property
    def delays_ms(self) -> tuple[float, ...]:
        """The promised delays, in milliseconds."""
        found = (delay_ms(each) for each in self.levels if property_of(each) in DELAYS)
        return tuple(dict.fromkeys(each for each in found if each is not None))

    @property
    def number_field(self) -> str | None:
        """The field that numbers the facts; None where none is named."""
        return next((each.element for each in self.levels if property_of(each) == COMPLETENESS and each.element), None)

    @property
    def counts_facts(self) -> bool:
        """Whether completeness is promised, which the source's own count can show."""
        return any(property_of(each) == COMPLETENESS for each in self.levels)

    @property
    def volume_spans_ms(self) -> tuple[int, ...]:
        """The spans of time over which promised volumes are measured, in milliseconds."""
        found = (span_of(each) for each in self.levels)
        return tuple(dict.fromkeys(each for each in found if each is not None))

    @property
    def watches_values(self) -> bool:
        """Whether a drift of values is promised."""
        return any(property_of(each) == DRIFT for each in self.levels)

    @property
    def drift_fields(self) -> tuple[str, ...]:
        """The fields whose drift is promised; none for all."""
        named = (each.element for each in self.levels if property_of(each) == DRIFT and each.element)
        return tuple(field.strip() for each in named for field in each.split(",") if field.strip())
