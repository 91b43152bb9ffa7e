"""A file of DataHub's metadata change proposals, as its `file` source reads it: products, their ports, schemas and lineage.

Source: DataHub's metadata model (`MetadataChangeProposal`, and the aspects that are named in it).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshport.binding import Binding, RegisteredProduct
from meshport.export.extract import Extract, PortLine, lines_of, plain
from meshport.field_flows import FieldFlow, How
from meshport.schema import Schema
from meshport.schema.logical import logical_type

_PLATFORM: Final = "urn:li:dataPlatform:kafka"
_ENVIRONMENT: Final = "PROD"
_ACTOR: Final = "urn:li:corpuser:meshport"
_TYPES: Final = {
    "string": "StringType", "bytes": "BytesType", "fixed": "FixedType", "boolean": "BooleanType", "int": "NumberType",
    "long": "NumberType", "float": "NumberType", "double": "NumberType", "enum": "EnumType", "record": "RecordType",
    "error": "RecordType", "array": "ArrayType", "map": "MapType", "null": "NullType", "union": "UnionType",
}  # fmt: skip
_LOGICAL: Final = {"date": "DateType", "decimal": "NumberType", "uuid": "StringType"}


def datahub(extract: Extract) -> list[dict[str, Any]]:
    """Return the proposals of products: each line of a port is a dataset of the platform kafka, each product a data product."""
    domains = dict.fromkeys(each.descriptor.address.domain for each in extract.products)
    found = [
        _proposal("domain", _domain(each), "domainProperties", {"name": each, "customProperties": {}})
        for each in domains
    ]
    for product in extract.products:
        for line in lines_of(product):
            found += _dataset(line, extract)
        found += _data_product(product)
    return found


def _dataset(line: PortLine, extract: Extract) -> Iterator[dict[str, Any]]:
    product, binding, urn = line.product, line.binding, _dataset_urn(line.binding)
    facts = {
        "address": str(binding.address),
        "archetype": str(product.archetype),
        "classification": product.classification,
        "key": ", ".join(binding.key),
        "partitions": str(binding.partitions),
        "fingerprint": binding.fingerprint,
        "cluster": binding.cluster or "",
    }
    properties = {
        "name": binding.topic,
        "qualifiedName": str(binding.address),
        "description": product.description,
        "customProperties": {key: value for key, value in facts.items() if value},
        "tags": [],
    }
    yield _proposal("dataset", urn, "datasetProperties", properties)
    yield _proposal("dataset", urn, "schemaMetadata", _schema_metadata(line))
    yield _proposal("dataset", urn, "subTypes", {"typeNames": ["Topic"]})
    yield _proposal("dataset", urn, "status", {"removed": False})
    yield _proposal("dataset", urn, "ownership", _ownership(product.owner))
    yield _proposal("dataset", urn, "domains", {"domains": [_domain(product.address.domain)]})
    if binding.status == "deprecated":
        yield _proposal("dataset", urn, "deprecation", _deprecation(binding))
    upstream = [each for port in product.input_ports if (each := extract.line(port.address)) is not None]
    if upstream:
        yield _proposal("dataset", urn, "upstreamLineage", _lineage(line, upstream, extract))


def _data_product(registered: RegisteredProduct) -> Iterator[dict[str, Any]]:
    product = registered.descriptor
    urn = f"urn:li:dataProduct:{product.id}"
    facts = {"address": str(product.address), "archetype": str(product.archetype), "status": str(product.status)}
    properties = plain({
        "name": product.display_name or product.address.key,
        "description": product.description,
        "externalUrl": product.source_code_location,
        "customProperties": facts,
        "assets": [{"destinationUrn": _dataset_urn(each.binding)} for each in lines_of(registered)],
    })  # fmt: skip
    yield _proposal("dataProduct", urn, "dataProductProperties", properties)
    yield _proposal("dataProduct", urn, "ownership", _ownership(product.owner))
    yield _proposal("dataProduct", urn, "domains", {"domains": [_domain(product.address.domain)]})


def _schema_metadata(line: PortLine) -> dict[str, Any]:
    binding = line.binding
    schema = Schema(binding.schema_text)
    return {
        "schemaName": binding.subject,
        "platform": _PLATFORM,
        "version": 0,
        "hash": hashlib.md5(schema.text.encode(), usedforsecurity=False).hexdigest(),
        "platformSchema": {
            "com.linkedin.schema.KafkaSchema": {
                "documentSchema": json.dumps(line.schema, ensure_ascii=False),
                "documentSchemaType": "AVRO",
            }
        },
        "fields": list(_fields(schema.fields, "", frozenset())),
    }


def _fields(fields: Any, within: str, records: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Yield each field with those of its records after it; a record within itself is not gone into again."""
    for field in fields:
        path = f"{within}{field['name']}"
        branches = field["type"] if isinstance(field["type"], list) else [field["type"]]
        kinds = [each for each in branches if each != "null"]
        form = kinds[0] if len(kinds) == 1 else {"type": "union"} if kinds else "null"
        doc = field.get("doc")
        found = {
            "fieldPath": path,
            "nullable": "null" in branches,
            "type": {"type": {f"com.linkedin.schema.{_type(form)}": {}}},
            "nativeDataType": _native(form),
            "recursive": False,
            "isPartOfKey": False,
        }
        yield found | ({"description": doc} if isinstance(doc, str) else {})
        inner = form.get("items", form) if isinstance(form, Mapping) else form
        if isinstance(inner, Mapping) and "fields" in inner and inner["name"] not in records:
            yield from _fields(inner["fields"], f"{path}.", records | {inner["name"]})


def _type(form: Any) -> str:
    if isinstance(form, str):
        return _TYPES.get(form, "RecordType")
    annotated = logical_type(form) or ""
    if "time" in annotated:
        return "TimeType"
    return _LOGICAL.get(annotated) or _TYPES.get(form["type"], "RecordType")


def _native(form: Any) -> str:
    return form if isinstance(form, str) else str(form.get("logicalType") or form.get("name") or form["type"])


def _lineage(line: PortLine, upstream: list[PortLine], extract: Extract) -> dict[str, Any]:
    stamp = {"time": 0, "actor": _ACTOR}
    sources = dict.fromkeys(_dataset_urn(each.binding) for each in upstream)
    found: dict[str, Any] = {
        "upstreams": [{"auditStamp": stamp, "dataset": each, "type": "TRANSFORMED"} for each in sources]
    }
    fine = [each for each in extract.flows if each.reader == line.binding.address and each.field]
    if fine:
        found["fineGrainedLineages"] = [each for flow in fine for each in _fine(flow, line, extract)]
    return found


def _fine(flow: FieldFlow, line: PortLine, extract: Extract) -> Iterator[dict[str, Any]]:
    source = extract.line(flow.source)
    if source is not None:
        yield {
            "upstreamType": "FIELD_SET",
            "upstreams": [f"urn:li:schemaField:({_dataset_urn(source.binding)},{flow.source_field})"],
            "downstreamType": "FIELD",
            "downstreams": [f"urn:li:schemaField:({_dataset_urn(line.binding)},{flow.field})"],
            "transformOperation": flow.by or str(flow.how),
            "confidenceScore": 1.0 if flow.how in set(How) else 0.5,
        }


def _deprecation(binding: Binding) -> dict[str, Any]:
    note = f"use {binding.successor}" if binding.successor else "it has no successor"
    return {"deprecated": True, "note": note, "actor": _ACTOR}


def _ownership(team: str) -> dict[str, Any]:
    stamp = {"time": 0, "actor": _ACTOR}
    return {"owners": [{"owner": f"urn:li:corpGroup:{team}", "type": "TECHNICAL_OWNER"}], "lastModified": stamp}


def _domain(name: str) -> str:
    return f"urn:li:domain:{name}"


def _dataset_urn(binding: Binding) -> str:
    """Return the URN of a topic; where a mesh has named clusters, the cluster is the platform instance in the name."""
    name = f"{binding.cluster}.{binding.topic}" if binding.cluster else binding.topic
    return f"urn:li:dataset:({_PLATFORM},{name},{_ENVIRONMENT})"


def _proposal(entity: str, urn: str, aspect: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "entityType": entity,
        "entityUrn": urn,
        "changeType": "UPSERT",
        "aspectName": aspect,
        "aspect": {"json": value},
    }
