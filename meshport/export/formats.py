"""The formats that a mesh is written in, by the word that commands and routes have for each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from meshport.address import Address
from meshport.export.asyncapi import asyncapi
from meshport.export.datahub import datahub
from meshport.export.extract import Extract, line_id
from meshport.export.odcs import odcs
from meshport.export.odcs_property import custom_properties
from meshport.export.odps import ADDRESS, odps
from meshport.export.openlineage import openlineage
from meshport.export.xregistry import xregistry
from meshport.product.yaml_file import dump


class ProductFormat(StrEnum):
    """The formats that describe products, one or all of a mesh."""

    ASYNCAPI = "asyncapi"
    ODCS = "odcs"
    ODPS = "odps"
    XREGISTRY = "xregistry"
    OPENLINEAGE = "openlineage"
    DATAHUB = "datahub"

    @property
    def has_field_lineage(self) -> bool:
        """Whether its documents hold which field is made from which."""
        return self in {ProductFormat.OPENLINEAGE, ProductFormat.DATAHUB}


class ExportFormat(StrEnum):
    """Every format: those of products, and those of what every mesh has, the descriptor and the registry's API."""

    ASYNCAPI = "asyncapi"
    ODCS = "odcs"
    ODPS = "odps"
    XREGISTRY = "xregistry"
    OPENLINEAGE = "openlineage"
    DATAHUB = "datahub"
    JSON_SCHEMA = "jsonschema"
    OPENAPI = "openapi"

    @property
    def of_products(self) -> ProductFormat | None:
        """The format as one of products; None for one that describes no product."""
        return ProductFormat(self.value) if self.value in set(ProductFormat) else None


_WRITERS: Final[Mapping[ProductFormat, Callable[[Extract], Any]]] = {
    ProductFormat.ASYNCAPI: asyncapi,
    ProductFormat.ODCS: odcs,
    ProductFormat.ODPS: odps,
    ProductFormat.XREGISTRY: xregistry,
    ProductFormat.OPENLINEAGE: openlineage,
    ProductFormat.DATAHUB: datahub,
}


def document(form: ProductFormat, extract: Extract) -> Any:
    """Return the products of an extract in a format, as JSON data."""
    return _WRITERS[form](extract)


def files(form: ExportFormat, written: Any, name: str = "mesh") -> dict[str, str]:
    """Return the files that hold an exported document, by their path, `/` between its parts.

    Args:
        form: its format.
        written: the document, as JSON data.
        name: of the file, without the ending of its format.
    """
    if form is ExportFormat.ODCS:
        return {f"{line_id(Address.parse(each['id']))}.odcs.yaml": dump(each) for each in written}
    if form is ExportFormat.ODPS:
        addresses = (Address.parse(custom_properties(each)[ADDRESS]) for each in written)
        return {f"{at.domain}.{at.product}.odps.yaml": dump(each) for at, each in zip(addresses, written, strict=True)}
    if form is ExportFormat.OPENLINEAGE:
        lines = (json.dumps(each, ensure_ascii=False) + "\n" for each in written)
        return {f"{name}.openlineage.ndjson": "".join(lines)}  # as OpenLineage's file transport writes events
    return {f"{name}.{form}.json": _json(written)}


def _json(written: Any) -> str:
    return json.dumps(written, indent=2, ensure_ascii=False) + "\n"
