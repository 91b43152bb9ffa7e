"""A small mesh with all that documents tell: majors, a deprecated line, an adopted topic, two clusters, every kind of type."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

from meshport.address import Address
from meshport.binding import Binding, RegisteredProduct
from meshport.catalog import ProductRegistration
from meshport.export.extract import Extract
from meshport.product import Product
from meshport.registry import Registry
from meshport.schema import Schema, parse_schema

DEPARTURES: Final = Address("operations", "departures")
DELAYS: Final = Address("network", "delays-by-airport")
_SPACE: Final = UUID("0a3f8c86-6d0f-4c2b-8f0b-5b9f0d5f4f1e")

_DEPARTURE: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Departure",
    "namespace": "operations",
    "doc": "One departure of one flight.",
    "fields": [
        {"name": "flight_id", "type": {"type": "string", "polyseme": "flight_id"}, "doc": "The flight."},
        {"name": "airport", "type": "string", "doc": "IATA code.", "classification": "public"},
        {"name": "scheduled_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "delay_s", "type": ["null", "int"], "default": None, "doc": "Seconds; null while not known."},
        {"name": "fare", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["OTHER", "LEFT"], "default": "OTHER"}},
        {
            "name": "gate",
            "type": {
                "type": "record",
                "name": "Gate",
                "doc": "Where it stands.",
                "fields": [{"name": "terminal", "type": "string"}, {"name": "number", "type": "long", "default": 0}],
            },
        },
        {"name": "stops", "type": {"type": "array", "items": "operations.Gate"}, "default": []},
        {"name": "counts", "type": {"type": "map", "values": "double"}, "default": {}},
        {"name": "remark", "type": ["null", "string", "operations.Gate"], "default": None},
        {"name": "checksum", "type": {"type": "fixed", "name": "Checksum", "size": 4}},
        {"name": "on_time", "type": "boolean", "default": True},
    ],
}
_DELAY: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Delay",
    "namespace": "network",
    "fields": [
        {"name": "airport", "type": "string"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "departures", "type": "long"},
    ],
}


_PROCESS: Final[dict[str, Any]] = {
    "steps": [
        {"filter": "delay_s > 0"},
        {"derive": {"day": "date(scheduled_at)"}},
        {"aggregate": {"by": ["airport", "day"], "values": {"departures": "count()"}, "emit": "update"}},
    ]
}


def departures() -> ProductRegistration:
    """Return a source-aligned product: two majors of one port, the first deprecated, and an adopted topic without CloudEvents."""
    product = _product(
        DEPARTURES,
        archetype="source-aligned",
        displayName="Departures",
        contact="operations@example.com",
        sourceCodeLocation="https://git.example.com/operations/departures",
        requiredSecurityGroup="operations-readers",
        tags=["flights", "core"],
        classification="confidential",
        outputPorts=[
            {"name": "events", "key": "flight_id", "time": "scheduled_at", "deprecatedOn": "2999-01-01"},
            {
                "name": "events",
                "major": 2,
                "key": ["airport", "flight_id"],
                "time": "scheduled_at",
                "retention": "365d",
                "replicationFactor": 3,
                "config": {"max.message.bytes": 100_000},
            },
            {"name": "raw", "topic": "OPS.DEPARTURES", "envelope": "none", "cluster": "legacy", "cleanup": "delete"},
        ],
        slaProperties=[
            {"property": "timeliness", "value": 30, "unit": "s", "port": "events"},
            {"property": "completeness", "value": 99.5, "unit": "percent"},
            {"property": "drift", "value": 20, "unit": "percent", "port": "events", "element": "delay_s, airport"},
            {"property": "drift", "value": 30, "unit": "percent", "element": "airport"},
        ],
    )
    text = _text(_DEPARTURE)
    return ProductRegistration(
        descriptor=product,
        schemas={"events@1": text, "events@2": text, "raw@1": text},
        bootstrap_servers="kafka-a:9092,kafka-b:9092",
        clusters={"legacy": "legacy:9093"},
    )


def delays() -> ProductRegistration:
    """Return an aggregate of the departures."""
    product = _product(
        DELAYS,
        archetype="aggregate",
        inputPorts=[{"address": "mesh://operations/departures", "fields": ["airport", "scheduled_at", "delay_s"]}],
        outputPorts=[{"key": ["airport", "day"], "time": "day", "cleanup": "compact"}],
        process=_PROCESS,
    )
    return ProductRegistration(
        descriptor=product, schemas={"events@1": _text(_DELAY)}, bootstrap_servers="kafka-a:9092,kafka-b:9092"
    )


def register(registry: Registry, wanted: ProductRegistration) -> RegisteredProduct:
    """Register a product of this mesh."""
    schemas = {name: parse_schema(text) for name, text in wanted.schemas.items()}
    return registry.register(
        wanted.descriptor, schemas, bootstrap_servers=wanted.bootstrap_servers, clusters=wanted.clusters
    ).product


def contract(record: dict[str, Any] | None = None) -> Schema:
    """Return a contract as a schema; by default that of the departures."""
    return parse_schema(_text(record or _DEPARTURE))


def _product(address: Address, **more: Any) -> Product:
    document = {
        "address": str(address),
        "id": str(uuid5(_SPACE, str(address))),
        "description": f"The {address.product} of {address.domain}.",
        "owner": address.domain,
    }
    return Product.model_validate(document | more)


def _text(record: dict[str, Any]) -> str:
    return json.dumps(record)


def extract_of(registration: ProductRegistration) -> Extract:
    """Return what a registry would export of one product, made without a registry."""
    product = registration.descriptor
    bindings = tuple(
        Binding(
            address=product.port_address(port),
            bootstrap_servers=registration.bootstrap_servers or "",
            topic=product.topic(port),
            partitions=port.partitions,
            key=port.key_fields,
            time=port.time,
            type=product.event_type(port),
            envelope=port.envelope or "cloudevents",
            subject=product.subject(port),
            schema_id=1,
            fingerprint=schema.fingerprint,
            schema_text=schema.text,
            owner=product.owner,
        )
        for port in product.output_ports
        for schema in (parse_schema(registration.schemas[f"{port.name}@{port.major}"]),)
    )
    now = datetime(2026, 1, 1, tzinfo=UTC)
    registered = RegisteredProduct(
        guid=str(product.id),
        create_date=now,
        update_date=now,
        owner=product.owner,
        display_name=product.display_name or product.address.key,
        source_code_location=product.source_code_location,
        description=product.description,
        readable_key=product.address.key,
        required_security_group=product.required_security_group,
        descriptor=product,
        bindings=bindings,
    )
    return Extract((registered,), "http://registry.example.com")
