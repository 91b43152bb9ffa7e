"""Models of the lineage of fields, as a registry's API sends them: which field of a product is made from which of another."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from meshport.newer import OrNewer
from meshport.processor_reports import ProcessorSummary
from meshport.product.descriptor import Archetype, Status
from meshport.product.input_port import AddressText
from meshport.service_levels import LevelState


class How(StrEnum):
    """How a field of an input comes into an output."""

    COPIED = "copied"
    DERIVED = "derived"
    """It is an operand of an expression."""
    AGGREGATED = "aggregated"
    """It is aggregated over a group of events."""
    FILTERS = "filters"
    """An event appears or not by it."""
    JOINS = "joins"
    """The row or event of another product is found by it."""
    GROUPS = "groups"
    """Events are grouped by it."""


class _FlowsResponse(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class FieldFlow(_FlowsResponse):
    """One field of an output and one field of an input from which it is made.

    Attributes:
        source: the port of the input, with its major.
        source_field: the field there; within a record its path.
        reader: the port of the output, with its major.
        field: the field there; "" where the field of the input decides about whole events.
        how: how the one comes into the other.
        by: the expression, aggregation or step, as its product declares it; "" for a copy.
    """

    source: AddressText
    source_field: str
    reader: AddressText
    field: str
    how: OrNewer[How]
    by: str = ""


class FlowProduct(_FlowsResponse):
    """A product in a lineage of fields.

    Attributes:
        address: of the port that the flows name, with its major; the default port.
        archetype: of the product.
        owner: of the product.
        status: of the product.
        state: how its promises are kept, as measured; None where none is measured.
        processor: what builds it, as observed; None where no processor does, or none was observed.
        distance: the number of steps from the product that was asked for, negative upstream, positive downstream.
        fields: of the port's contract, in order.
        unknown: the fields whose origin its declaration does not say; all of them for a derived product whose steps are Python.
    """

    address: AddressText
    archetype: OrNewer[Archetype]
    owner: str
    status: OrNewer[Status]
    state: OrNewer[LevelState] | None = None
    processor: ProcessorSummary | None = None
    distance: int
    fields: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class ProductRead(_FlowsResponse):
    """One product reads another, whatever is known of the fields.

    Attributes:
        source: the product that is read.
        reader: the product that reads it.
    """

    source: AddressText
    reader: AddressText


class FieldFlows(_FlowsResponse):
    """The lineage of the fields of a product.

    Attributes:
        address: of the product.
        field: the field that was asked for; None for all of them.
        products: the products that the lineage goes through, ordered by distance.
        flows: between them.
        reads: which of them read which.
        complete: whether every product upstream and downstream was followed; False where there are too many.
    """

    address: AddressText
    field: str | None = None
    products: tuple[FlowProduct, ...]
    flows: tuple[FieldFlow, ...] = ()
    reads: tuple[ProductRead, ...] = ()
    complete: bool = True
