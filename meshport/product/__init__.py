"""The words of a data product: its descriptor, its ports, and how it is built."""

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
from meshport.product.processing import Aggregate, Apply, Deduplicate, Join, Processing, Step, Window
from meshport.product.state import StateShape, declared_state

__all__ = [
    "Aggregate",
    "Apply",
    "Archetype",
    "Compatibility",
    "Deduplicate",
    "InputPort",
    "Join",
    "OutputPort",
    "Processing",
    "Product",
    "Protection",
    "ServiceLevel",
    "StateShape",
    "Status",
    "Step",
    "Window",
    "declared_state",
    "line_of",
    "load_product",
    "parse_product",
]
