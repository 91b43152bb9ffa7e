"""AsyncAPI 3.1: the products as an application that sends to its output ports and receives from its input ports.

Sources: AsyncAPI 3.1.0; its Kafka bindings, version 0.5.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from meshport.binding import Binding
from meshport.event.attributes import AVRO, CONTENT_TYPE, DATA_SCHEMA, ID, PREFIX, RECORDED_TIME, SPEC_VERSION, TIME
from meshport.export.extract import Extract, PortLine, plain
from meshport.product.topic_settings import topic_settings

VERSION: Final = "3.1.0"
SCHEMA_FORMAT: Final = "application/vnd.apache.avro+json;version=1.9.0"
"""The name under which AsyncAPI's parser has Avro schemas; what later versions of Avro added is attributes to it."""
_BINDING_VERSION: Final = "0.5.0"
_DEFAULT_CLUSTER: Final = "kafka"
_WHOLE: Final = {"retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes"}
# The broker itself takes more settings; the binding names these, and the three booleans of Confluent's schema validation.
_SETTINGS: Final = {"cleanup.policy", *_WHOLE}


def asyncapi(extract: Extract) -> dict[str, Any]:
    """Return the AsyncAPI document of products.

    A channel is a topic, and its name is the port's: `<domain>.<product>.<port>.v<major>`. The address of the port is the
    channel's `x-meshport-address`. A port that is read and is no product's of the document is a channel as well.
    """
    own = list(extract.lines())
    received = [
        (product.descriptor.address, line)
        for product in extract.products
        for each in product.descriptor.input_ports
        if (line := extract.line(each.address)) is not None
    ]
    lines = {each.id: each for each in (*own, *(line for _, line in received))}
    operations = {f"{each.id}.send": _operation("send", each) for each in own}
    for reader, line in received:
        name = f"{reader.domain}.{reader.product}.receive.{line.id}"
        operations[name] = _operation("receive", line) | {"title": f"{reader.key} reads {line.binding.address.key}"}
    return plain({
        "asyncapi": VERSION,
        "info": _info(extract),
        "defaultContentType": AVRO,
        "servers": _servers([each.binding for each in lines.values()], extract.registry_url),
    }) | {
        "channels": {name: _channel(each) for name, each in lines.items()},
        "operations": operations,
        "components": {"messages": {name: _message(each) for name, each in lines.items()}},
    }  # fmt: skip


def _info(extract: Extract) -> dict[str, Any]:
    if len(extract.products) != 1:
        text = f"The data products of the mesh whose registry is {extract.registry_url}."
        return {"title": "Data mesh", "version": "1", "description": text}
    descriptor = extract.products[0].descriptor
    contact = descriptor.contact or ""
    location = descriptor.source_code_location or ""
    return {
        "title": descriptor.display_name or descriptor.address.key,
        "version": str(max(each.major for each in descriptor.output_ports)),
        "description": descriptor.description,
        "contact": {
            "name": descriptor.owner,
            "email": contact if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", contact) else None,
        },
        "tags": [{"name": each} for each in dict.fromkeys(descriptor.tags)],
        "externalDocs": {"url": location} if re.match(r"https?://", location) else None,
        "x-meshport-address": str(descriptor.address),
        "x-meshport-status": str(descriptor.status),
        "x-meshport-classification": descriptor.classification,
    }


def _servers(bindings: Iterable[Binding], registry_url: str) -> dict[str, Any]:
    found = {}
    for binding in bindings:
        for name, host in _brokers(binding):
            found[name] = {
                "host": host,
                "protocol": "kafka",
                "description": f"The Kafka cluster {binding.cluster}" if binding.cluster else None,
                "bindings": {
                    "kafka": {
                        "schemaRegistryUrl": registry_url,
                        "schemaRegistryVendor": "confluent",
                        "bindingVersion": _BINDING_VERSION,
                    }
                },
            }
    return found


def _brokers(binding: Binding) -> list[tuple[str, str]]:
    """Return a name and `host:port` of each bootstrap server of a binding."""
    cluster = binding.cluster or _DEFAULT_CLUSTER
    hosts = [each.strip() for each in binding.bootstrap_servers.split(",") if each.strip()]
    return [(cluster if at == 0 else f"{cluster}-{at + 1}", host) for at, host in enumerate(hosts)]


def _channel(line: PortLine) -> dict[str, Any]:
    binding = line.binding
    return plain({
        "address": binding.topic,
        "title": line.title,
        "description": line.product.description,
        "servers": [{"$ref": f"#/servers/{name}"} for name, _ in _brokers(binding)],
        "messages": {"event": {"$ref": f"#/components/messages/{line.id}"}},
        "bindings": {
            "kafka": {
                "topic": binding.topic,
                "partitions": binding.partitions,
                "replicas": line.port.replication_factor,
                "topicConfiguration": _topic_configuration(line),
                "bindingVersion": _BINDING_VERSION,
            }
        },
        "x-meshport-address": str(binding.address),
        "x-meshport-status": str(binding.status),
    })  # fmt: skip


def _topic_configuration(line: PortLine) -> dict[str, Any]:
    settings = {name: value for name, value in topic_settings(line.port).items() if name in _SETTINGS}
    return {
        name: value.split(",") if name == "cleanup.policy" else int(value) if name in _WHOLE else value
        for name, value in settings.items()
    }


def _operation(action: str, line: PortLine) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{line.id}"},
        "messages": [{"$ref": f"#/channels/{line.id}/messages/event"}],
    }


def _message(line: PortLine) -> dict[str, Any]:
    binding = line.binding
    described = plain({
        "name": binding.type,
        "title": line.title,
        "summary": f"One event of {binding.address}",
        "contentType": AVRO,
        "bindings": {
            "kafka": {
                "key": _key(binding),
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicIdStrategy",
                "bindingVersion": _BINDING_VERSION,
            }
        },
        "headers": _headers(binding) if line.has_envelope else None,
    })  # fmt: skip
    # An Avro schema is given as it is: an empty list of fields, and a default of null, mean something.
    return {**described, "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": line.schema}}


def _key(binding: Binding) -> dict[str, Any] | None:
    if not binding.key:
        return None
    values = "the value" if len(binding.key) == 1 else "the values, joined by |,"
    return {"type": "string", "description": f"{values} of {', '.join(binding.key)}"}


def _headers(binding: Binding) -> dict[str, Any]:
    moment = {"type": "string", "format": "date-time"}
    properties = {
        f"{PREFIX}specversion": {"type": "string", "const": SPEC_VERSION},
        ID: {"type": "string"},
        f"{PREFIX}source": {"type": "string", "const": str(binding.address)},
        f"{PREFIX}type": {"type": "string", "const": binding.type},
        TIME: {**moment, "description": "when the fact happened"},
        RECORDED_TIME: {**moment, "description": "when it was recorded"},
        f"{PREFIX}dataschema": {"type": "string", "description": f"{DATA_SCHEMA}<SHA-256 of the schema>"},
        CONTENT_TYPE: {"type": "string", "const": AVRO},
    }
    required = [f"{PREFIX}specversion", ID, f"{PREFIX}source", f"{PREFIX}type"]
    return {"type": "object", "properties": properties, "required": required}
