"""Open Data Contract Standard 3.1: a contract for each line of a port.

Source: ODCS 3.1.0. What a product declares and ODCS has no key for is in one custom property, `meshport`, which `meshport import`
reads; see `meshport.export.odcs_import`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from meshport.export.extract import Extract, PortLine, plain
from meshport.export.odcs_property import Named, property_of
from meshport.product import OutputPort, Product, ServiceLevel
from meshport.schema import Schema

VERSION: Final = "v3.1.0"
MESHPORT: Final = "meshport"
"""The custom property of a contract with what Meshport declares beside it."""
RETENTION: Final = "retention"
"""The property of `slaProperties` with how long events are kept."""
_DAY: Final = timedelta(days=1)


def odcs(extract: Extract) -> list[dict[str, Any]]:
    """Return the contracts of products, one for each line of a port. A contract's id is the line's address."""
    return [_contract(each) for each in extract.lines()]


def _contract(line: PortLine) -> dict[str, Any]:
    product, binding = line.product, line.binding
    described = plain({
        "version": str(line.port.major),
        "apiVersion": VERSION,
        "kind": "DataContract",
        "id": str(binding.address),
        "name": line.title,
        "status": str(binding.status),
        "domain": product.address.domain,
        "dataProduct": product.address.product,
        "tags": list(product.tags),
        "description": {"purpose": product.description},
        "team": {"name": product.owner},
        "support": [{"channel": product.contact}] if product.contact else None,
        "roles": [{"role": product.required_security_group, "access": "read"}] if product.required_security_group else None,
        "authoritativeDefinitions": _definitions(product),
        "servers": _servers(line),
        "slaProperties": _levels(line),
    })  # fmt: skip
    return described | {
        "schema": [_schema(line)],
        "customProperties": [{"property": MESHPORT, "value": _beside(line)}],
    }


def _schema(line: PortLine) -> dict[str, Any]:
    schema = Schema(line.binding.schema_text)
    form = schema.form
    if not schema.fields:
        custom = [{"property": "avroType", "value": form}]
        return {
            "name": line.port.name,
            "physicalName": line.binding.topic,
            "physicalType": "topic",
            "customProperties": custom,
        }
    named: Named = {}
    if isinstance(form, dict):
        named[form["name"]] = form
    properties = [property_of(each, named) for each in schema.fields]
    for position, path in enumerate(line.port.key_fields, 1):
        _mark_key(properties, path.split("."), position, unique=line.port.cleanup == "compact")
    own = {key: value for key, value in form.items() if key != "fields"}
    found = {
        "name": line.port.name,
        "physicalName": line.binding.topic,
        "physicalType": "topic",
        "logicalType": "object",
        "properties": properties,
        "customProperties": [{"property": "avroType", "value": own}],
    }
    return found | ({"description": form["doc"]} if isinstance(form.get("doc"), str) else {})


def _mark_key(properties: list[dict[str, Any]], path: list[str], position: int, *, unique: bool) -> None:
    """Mark a field of the record key, which partitions the events; in a compacted port the last event of each key is kept."""
    found = next((each for each in properties if each["name"] == path[0]), None)
    if found is None:
        return
    if path[1:]:
        _mark_key(found.get("properties", []), path[1:], position, unique=unique)
        return
    found |= {"partitioned": True, "partitionKeyPosition": position}
    if unique:
        found |= {"primaryKey": True, "primaryKeyPosition": position}


def _definitions(product: Product) -> list[dict[str, Any]] | None:
    location = product.source_code_location
    return [{"type": "implementation", "url": location}] if location else None


def _servers(line: PortLine) -> list[dict[str, Any]] | None:
    binding = line.binding
    if not binding.bootstrap_servers:
        return None
    return [{
        "server": binding.cluster or "kafka",
        "type": "kafka",
        "host": binding.bootstrap_servers,
        "format": "avro",
        "customProperties": [{"property": "topic", "value": binding.topic}],
    }]  # fmt: skip


def _element(level: ServiceLevel) -> str | None:
    """Return what a level is about, as ODCS names it: a port, or fields of the contract (`port.field` for one of a port)."""
    if level.element is None:
        return level.port
    names = [each.strip() for each in level.element.split(",")]
    return ", ".join(f"{level.port}.{each}" if level.port else each for each in names)


def _levels(line: PortLine) -> list[dict[str, Any]]:
    """Return the objectives of a line, and its retention in days or seconds; none for events that are kept forever."""
    found = [
        {"property": each.property, "value": each.value, "unit": each.unit, "element": _element(each)}
        for each in line.product.sla_properties
        if each.port in {None, line.port.name}
    ]
    retention = line.port.retention
    if retention is not None:
        whole = retention % _DAY == timedelta(0)
        value = retention // _DAY if whole else retention.total_seconds()
        found.append({"property": RETENTION, "value": value, "unit": "d" if whole else "s"})
    return found


def _beside(line: PortLine) -> dict[str, Any]:
    """Return what a product and a port declare that ODCS has no key for, by the keys of product.yaml."""
    product = line.product.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    keys = (
        "address",
        "id",
        "archetype",
        "displayName",
        "classification",
        "status",
        "deprecatedOn",
        "successor",
        "inputPorts",
    )
    return {key: product[key] for key in keys if key in product} | {"port": port_entry(line.port)}


def port_entry(port: OutputPort) -> dict[str, Any]:
    """Return the entry of a port in product.yaml, without what a contract has other keys for."""
    entry = port.model_dump(
        mode="json",
        by_alias=True,
        exclude_defaults=True,
        exclude_none=True,
        exclude={"key", "retention", "schema_file"},
    )
    return {"name": port.name, "major": port.major} | entry
