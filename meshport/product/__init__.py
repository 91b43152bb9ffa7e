"""A data product's descriptor: its ports, how it is built, and the state that building it keeps."""

from meshport.product.aggregation import Aggregation, AggregationKind
from meshport.product.declared_state import declared_state
from meshport.product.descriptor import (
    Archetype,
    Compatibility,
    OutputPort,
    Product,
    Protection,
    ServiceLevel,
    Status,
)
from meshport.product.input_port import InputPort
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
from meshport.product.state import StateShape

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
