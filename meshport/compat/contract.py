"""What the gate compares: an output port with its schema and everything that is promised around it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from meshport.address import Address
from meshport.compat.finding import Part, RollOut
from meshport.product import OutputPort, Product
from meshport.schema import Schema


@dataclass(frozen=True)
class Contract:
    """One output port as its readers know it.

    Attributes:
        product: the descriptor that declares it.
        port: its entry in the descriptor.
        schema: of the events' values.
        migrated: the contract of the line whose events are read as events of this one; None where there is none, or where it is
            not known.
    """

    product: Product
    port: OutputPort
    schema: Schema
    migrated: Contract | None = None

    @property
    def address(self) -> Address:
        """The port's full address."""
        return self.product.port_address(self.port)


@dataclass(frozen=True)
class Version:
    """One schema of a port's history.

    Attributes:
        number: as the registry or the git history counts it.
        schema: the schema.
    """

    number: int
    schema: Schema


@dataclass(frozen=True)
class Change:
    """A port before and after a change, as the rules of scope CHANGE receive it.

    Attributes:
        before: the port as its readers know it.
        after: the port after the change; None if the product or the port is removed.
        product: the product after the change, which may lack the port; None if it is removed.
        today: the day of the judgement (UTC).
        versions: of the port's schema, oldest first.
    """

    before: Contract
    after: Contract | None
    product: Product | None
    today: date
    versions: tuple[Version, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule's handler yields; the judge makes a finding of it.

    Attributes:
        path: the field or key that it is about; "" for the whole part.
        message: what was found, in one sentence, with quoted names.
        before: the value before the change, as JSON data.
        after: the value after the change, as JSON data.
        advice: how to make the change pass, concrete enough to be typed.
        roll_out: which side deploys first then.
        part: the part of the contract that it is about.
    """

    path: str
    message: str
    before: Any = None
    after: Any = None
    advice: str = ""
    roll_out: RollOut | None = None
    part: Part = Part.SCHEMA
