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
    "Status",
    "Step",
    "Window",
    "line_of",
    "load_product",
    "parse_product",
]
