"""Schemas and products that the tests register."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from meshport.address import Address
from meshport.catalog import WaiverRequest
from meshport.product import Product
from meshport.product.lines import utc_today
from meshport.schema import Schema, parse_schema

_SPACE = UUID("6f0c2f4e-93a1-4a39-8e0c-2f6a1d7f1c55")


def record(*fields: str | dict[str, Any], name: str = "mesh.Play") -> str:
    """Return a record as JSON text; a field is a dict, or `name` (string) or `name?` (optional, null by default)."""
    return json.dumps({"type": "record", "name": name, "fields": [_field(each) for each in fields]})


def _field(field: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(field, dict):
        return field
    if field.endswith("?"):
        return {"name": field[:-1], "type": ["null", "string"], "default": None}
    return {"name": field, "type": "string"}


def schema(*fields: str | dict[str, Any], name: str = "mesh.Play") -> Schema:
    """Return the same as a schema."""
    return parse_schema(record(*fields, name=name))


def product(address: str = "mesh://player/plays", *inputs: str, **more: Any) -> Product:
    """Return a product whose id follows from its address; `inputs` are `address` or `address:field,field`."""
    ports = []
    for each in inputs:
        source, _, fields = each.removeprefix("mesh://").partition(":")
        ports.append({"address": source, "fields": fields.split(",") if fields else []})
    document = {
        "address": address,
        "id": str(uuid5(_SPACE, address)),
        "archetype": "aggregate" if inputs else "source-aligned",
        "description": f"The {Address.parse(address).product}.",
        "owner": "team-player",
        "outputPorts": [{"key": "user"}],
        "inputPorts": ports,
    }
    return Product.model_validate(document | more)


def plays(**more: Any) -> tuple[Product, dict[str, Schema]]:
    """Return the product `player/plays` with one port, and its schema."""
    return product(**more), {"events@1": schema("user", "track")}


def waiver_of_track(**other: Any) -> WaiverRequest:
    """Return a waiver of the removal of the field `track` of the plays, for a month."""
    given = {
        "address": "player/plays/events@1",
        "rule": "READER_FIELD_MISSING_DEFAULT_VALUE",
        "path": "track",
        "approver": "Ada",
        "reason": "nobody reads it, says the survey",
        "until": utc_today() + timedelta(days=30),
    }
    return WaiverRequest.model_validate(given | other)
