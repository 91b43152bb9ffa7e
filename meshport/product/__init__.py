"""The words of a data product: its descriptor, its ports, and how it is built."""

from meshport.product.aggregation import Aggregation, AggregationKind
from meshport.product.descriptor import (
    Archetype,
    Compatibility,
    InputPort,
    OutputPort,
    Product,
    Protection,
    ServiceLevel,
    Status,
)
from meshport.product.load import line_of, load_product, parse_product
from meshport.product.processing import (
    AggregateStep,
    ApplyStep,
    DeclaredWindow,
    DeduplicateStep,
    JoinStep,
    Processing,
    Step,
)
from meshport.product.state import StateShape, declared_state

__all__ = [
    "AggregateStep",
    "Aggregation",
    "AggregationKind",
    "ApplyStep",
    "Archetype",
    "Compatibility",
    "DeduplicateStep",
    "InputPort",
    "JoinStep",
    "OutputPort",
    "Processing",
    "Product",
    "Protection",
    "ServiceLevel",
    "StateShape",
    "Status",
    "Step",
    "DeclaredWindow",
    "declared_state",
    "line_of",
    "load_product",
    "parse_product",
]
