"""xRegistry 1.0-rc4: endpoints, message definitions and schemas of the products' ports.

Sources: the xRegistry specifications of endpoints, messages and schemas, 1.0-rc4.
"""

from __future__ import annotations

from typing import Any, Final

from meshport.event.attributes import AVRO
from meshport.export.extract import Extract, PortLine, plain
from meshport.product import Status

VERSION: Final = "1.0-rc4"
FORMAT: Final = "Avro/1.12.0"
_ENVELOPE: Final = "CloudEvents/1.0"
_PROTOCOL: Final = "KAFKA"


def xregistry(extract: Extract) -> dict[str, Any]:
    """Return the xRegistry document of products.

    A line of a port is an endpoint, a group with one message, and a schema, all `<domain>.<product>.<port>.v<major>`; the schemas
    of a product are a group, `<domain>.<product>`. The version of a schema is its id in the registry.
    """
    lines = list(extract.lines())
    schemas: dict[str, Any] = {}
    for each in lines:
        group = {"schemagroupid": _group(each), "description": each.product.description, "schemas": {}}
        schemas.setdefault(_group(each), group)["schemas"][each.id] = _schema(each)
    return {
        "specversion": VERSION,
        "endpoints": {each.id: _endpoint(each) for each in lines},
        "messagegroups": {each.id: _message_group(each) for each in lines},
        "schemagroups": schemas,
    }


def _group(line: PortLine) -> str:
    address = line.product.address
    return f"{address.domain}.{address.product}"


def _endpoint(line: PortLine) -> dict[str, Any]:
    binding = line.binding
    servers = [each.strip() for each in binding.bootstrap_servers.split(",") if each.strip()]
    return plain({
        "endpointid": line.id,
        "name": line.title,
        "description": line.product.description,
        "labels": _labels(line),
        # A reader makes a consumer group of its own; the product's own team is the producer.
        "usage": ["subscriber", "producer"],
        "channel": line.id,
        "deprecated": _deprecated(line),
        "envelope": _ENVELOPE if line.has_envelope else None,
        "envelopeoptions": {"mode": "binary"} if line.has_envelope else None,
        "protocol": _PROTOCOL,
        "protocoloptions": {
            "endpoints": [{"bootstrap.servers": servers}] if servers else None,
            "topic": binding.topic,
        },
        "messagegroups": [f"/messagegroups/{line.id}"],
    })  # fmt: skip


def _message_group(line: PortLine) -> dict[str, Any]:
    return plain({
        "messagegroupid": line.id,
        "name": line.title,
        "description": line.product.description,
        "envelope": _ENVELOPE if line.has_envelope else None,
        "protocol": _PROTOCOL,
        "messages": {line.id: _message(line)},
    })  # fmt: skip


def _message(line: PortLine) -> dict[str, Any]:
    binding = line.binding
    return {
        "messageid": line.id,
        "name": binding.type,
        "description": f"One event of {binding.address}",
        "envelope": _ENVELOPE if line.has_envelope else None,
        "envelopeoptions": {"mode": "binary"} if line.has_envelope else None,
        "envelopemetadata": _attributes(line) if line.has_envelope else None,
        "protocol": _PROTOCOL,
        "protocoloptions": {
            "topic": binding.topic,
            # A template of RFC 6570 has no vertical bar, which joins the values of a composite key.
            "key": f"{{{binding.key[0]}}}" if len(binding.key) == 1 else None,
        },
        "datacontenttype": AVRO,
        "dataschemaformat": FORMAT,
        "dataschemauri": f"/schemagroups/{_group(line)}/schemas/{line.id}",
    }


def _attributes(line: PortLine) -> dict[str, Any]:
    return {
        "id": {"type": "string", "required": True},
        "source": {"type": "uritemplate", "value": str(line.binding.address), "required": True},
        "type": {"type": "string", "value": line.binding.type, "required": True},
        "time": {"type": "timestamp", "required": True},
        "recordedtime": {"type": "timestamp", "required": True},
    }


def _schema(line: PortLine) -> dict[str, Any]:
    version = str(line.binding.schema_id)
    return {
        "schemaid": line.id,
        "name": line.title,
        "format": FORMAT,
        "defaultversionid": version,
        "versions": {
            version: {
                "schemaid": line.id,
                "versionid": version,
                "labels": {"fingerprint": line.binding.fingerprint},
                "format": FORMAT,
                "schema": line.schema,
            }
        },
    }


def _labels(line: PortLine) -> dict[str, Any]:
    """Return what the mesh knows beyond xRegistry's own attributes; the values of labels are text."""
    product = line.product
    return {
        "address": str(line.binding.address),
        "archetype": str(product.archetype),
        "classification": product.classification,
        "owner": product.owner,
        "contact": product.contact,
        "status": str(line.binding.status),
    }


def _deprecated(line: PortLine) -> dict[str, Any] | None:
    binding = line.binding
    if binding.status != Status.DEPRECATED:
        return None
    removal = None if binding.deprecated_on is None else f"{binding.deprecated_on.isoformat()}T00:00:00Z"
    return {"removal": removal, "labels": {"successor": str(binding.successor)} if binding.successor else None}
