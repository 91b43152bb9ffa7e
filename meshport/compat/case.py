"""One output port to be judged, as every door of the gate puts it together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from meshport.address import Address
from meshport.catalog import Reader
from meshport.compat.contract import Contract
from meshport.compat.finding import Verdict
from meshport.compat.judge import Past, judge_new, judge_port, refused_schema
from meshport.errors import SchemaError
from meshport.product import Compatibility, OutputPort, Product
from meshport.product.lines import migrated_from
from meshport.schema import Schema


@dataclass(frozen=True)
class Case:
    """One port with everything that its verdict follows from, except the day.

    Attributes:
        address: of the port, its major given; of a product that has moved, the address that its readers know.
        level: the compatibility level that its schema is held to.
        past: what its readers rely on; None for a new port.
        candidate: the port after the change, or why its schema is refused; None if the port is removed.
        product: the product after the change; None if it is removed.
        readers: the readers that a new port will have.
    """

    address: Address
    level: Compatibility
    past: Past | None
    candidate: Contract | SchemaError | None
    product: Product | None
    readers: tuple[Reader, ...] = ()

    @classmethod
    def declared(
        cls,
        product: Product,
        port: OutputPort,
        schema: Schema | SchemaError,
        past: Past | None,
        readers: tuple[Reader, ...] = (),
    ) -> Case:
        """Return the case of a port that a descriptor declares.

        Args:
            product: the product after the change.
            port: its entry for the port.
            schema: the port's schema, or why it is refused.
            past: what the port's readers rely on; None for a new port.
            readers: the readers that a new port will have.
        """
        address = past.contract.address if past else product.port_address(port)
        candidate = Contract(product, port, schema) if isinstance(schema, Schema) else schema
        return cls(address, product.compatibility(port), past, candidate, product, readers)

    @classmethod
    def removed(cls, past: Past, product: Product | None) -> Case:
        """Return the case of a port that a descriptor no longer declares, or whose product is removed.

        Args:
            past: what the port's readers rely on.
            product: the product after the change; None if it is removed.
        """
        contract = past.contract
        return cls(contract.address, contract.product.compatibility(contract.port), past, None, product)

    @property
    def after(self) -> Contract | None:
        """The port after the change; None if it is removed or its schema is refused."""
        return self.candidate if isinstance(self.candidate, Contract) else None

    def verdict(self, today: date) -> Verdict:
        """Judge the port.

        Args:
            today: the day (UTC), which decides whether a waiver holds.

        Raises:
            SchemaError: the schemas cannot be compared, which must never count as compatible.
        """
        if isinstance(self.candidate, SchemaError):
            return refused_schema(self.address, self.level, self.candidate, today=today)
        if self.past is not None:
            return judge_port(self.past, self.candidate, self.product, today=today)
        if self.candidate is None:
            raise ValueError(f"{self.address} has neither a past nor a candidate")
        return judge_new(self.candidate, today=today, readers=self.readers)


def with_migrated(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Return the cases of one product, each contract with that of the line that it migrates, before and after the change."""
    found = tuple(cases)
    pasts = [each.past.contract for each in found if each.past is not None]
    candidates = [each.after for each in found if each.after is not None]
    return tuple(
        replace(
            each,
            past=each.past and replace(each.past, contract=_migrating(each.past.contract, pasts)),
            candidate=each.candidate if each.after is None else _migrating(each.after, candidates),
        )
        for each in found
    )


def _migrating(contract: Contract, lines: Iterable[Contract]) -> Contract:
    line = (contract.port.name, migrated_from(contract.port))
    earlier = next((each for each in lines if (each.port.name, each.port.major) == line), None)
    return contract if earlier is None else replace(contract, migrated=earlier)
