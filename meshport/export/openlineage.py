"""OpenLineage events without runs: each line of a port is a dataset, each product that reads others is a streaming job.

Sources: OpenLineage 2-0-2 and its facets; its naming of Kafka's datasets: namespace `kafka://<host>:<port>`, name the topic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshport.binding import Binding, RegisteredProduct
from meshport.export.extract import Extract, PortLine, lines_of, plain
from meshport.field_flows import FieldFlow, How
from meshport.schema import Schema
from meshport.version import __version__

PRODUCER: Final = f"urn:meshport:{__version__}"
SPEC: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
_FACETS: Final = "https://openlineage.io/spec/facets"
_VERSIONS: Final = {
    "ColumnLineageDatasetFacet": "1-2-0",
    "DatasetVersionDatasetFacet": "1-0-1",
    "DatasourceDatasetFacet": "1-0-1",
    "DocumentationDatasetFacet": "1-1-0",
    "DocumentationJobFacet": "1-1-0",
    "JobTypeJobFacet": "2-0-4",
    "OwnershipDatasetFacet": "1-0-1",
    "OwnershipJobFacet": "1-0-1",
    "SchemaDatasetFacet": "1-2-0",
    "SourceCodeLocationJobFacet": "1-1-0",
    "TagsDatasetFacet": "1-0-0",
}
# A field that decides about whole events is an indirect source of every field; the words are those of the facet's specification.
_TRANSFORMATIONS: Final[Mapping[How, tuple[str, str]]] = {
    How.COPIED: ("DIRECT", "IDENTITY"),
    How.DERIVED: ("DIRECT", "TRANSFORMATION"),
    How.AGGREGATED: ("DIRECT", "AGGREGATION"),
    How.FILTERS: ("INDIRECT", "FILTER"),
    How.JOINS: ("INDIRECT", "JOIN"),
    How.GROUPS: ("INDIRECT", "GROUP_BY"),
}


def openlineage(extract: Extract) -> list[dict[str, Any]]:
    """Return the events of products: one for each line of a port, and one for each product that reads others.

    The time of an event is that of the product's last registration, so that an unchanged product gives the same events.
    """
    events: list[dict[str, Any]] = []
    for product in extract.products:
        events += (_event("DatasetEvent", product, {"dataset": _dataset(each)}) for each in lines_of(product))
        if product.descriptor.input_ports:
            events.append(_event("JobEvent", product, _job(product, extract)))
    return events


def _event(kind: str, product: RegisteredProduct, content: dict[str, Any]) -> dict[str, Any]:
    moment = product.update_date.isoformat().replace("+00:00", "Z")
    return {"eventTime": moment, "producer": PRODUCER, "schemaURL": f"{SPEC}#/$defs/{kind}", **content}


def _dataset(line: PortLine) -> dict[str, Any]:
    product, binding = line.product, line.binding
    facts = {
        "mesh.address": str(binding.address),
        "mesh.status": str(binding.status),
        "mesh.archetype": str(product.archetype),
        "mesh.classification": product.classification,
    }
    tags = [{"key": key, "value": value, "source": "MESHPORT"} for key, value in facts.items()]
    tags += [{"key": each, "value": "true", "source": "USER"} for each in product.tags]
    facets = {
        "schema": _facet("SchemaDatasetFacet", {"fields": _fields(binding)}),
        "documentation": _facet("DocumentationDatasetFacet", {"description": product.description}),
        "ownership": _facet("OwnershipDatasetFacet", _owners(line.product.owner)),
        "dataSource": _facet("DatasourceDatasetFacet", {"name": _namespace(binding), "uri": _namespace(binding)}),
        "version": _facet("DatasetVersionDatasetFacet", {"datasetVersion": binding.fingerprint}),
        "tags": _facet("TagsDatasetFacet", {"tags": tags}),
    }
    return {**_name(binding), "facets": facets}


def _job(registered: RegisteredProduct, extract: Extract) -> dict[str, Any]:
    product = registered.descriptor
    location = product.source_code_location or ""
    facets = {
        "jobType": _facet(
            "JobTypeJobFacet", {"processingType": "STREAMING", "integration": "MESHPORT", "jobType": "PROCESSOR"}
        ),
        "documentation": _facet("DocumentationJobFacet", {"description": product.description}),
        "ownership": _facet("OwnershipJobFacet", _owners(product.owner)),
    }
    if re.match(r"https?://", location):
        facets["sourceCodeLocation"] = _facet("SourceCodeLocationJobFacet", {"type": "git", "url": location})
    read = (extract.line(each.address) for each in product.input_ports)
    inputs = list({each.id: _name(each.binding) for each in read if each is not None}.values())
    outputs = [_output(each, extract) for each in lines_of(registered)]
    job = {"namespace": f"mesh://{product.address.domain}", "name": product.address.product, "facets": facets}
    return {"job": job, "inputs": inputs, "outputs": outputs}


def _output(line: PortLine, extract: Extract) -> dict[str, Any]:
    flows = [each for each in extract.flows if each.reader == line.binding.address]
    if not flows:
        return _name(line.binding)
    fields: dict[str, Any] = {}
    decisive: list[dict[str, Any]] = []
    for flow in flows:
        for found in _input_field(flow, extract):
            if flow.field:
                fields.setdefault(flow.field, {"inputFields": []})["inputFields"].append(found)
            else:
                decisive.append(found)
    content = {"fields": fields} | ({"dataset": decisive} if decisive else {})
    return {**_name(line.binding), "facets": {"columnLineage": _facet("ColumnLineageDatasetFacet", content)}}


def _input_field(flow: FieldFlow, extract: Extract) -> Iterator[dict[str, Any]]:
    source = extract.line(flow.source)
    if source is not None:
        kind, subtype = _TRANSFORMATIONS.get(flow.how, ("INDIRECT", str(flow.how)))
        transformation = {"type": kind, "subtype": subtype} | ({"description": flow.by} if flow.by else {})
        yield {**_name(source.binding), "field": flow.source_field, "transformations": [transformation]}


def _fields(binding: Binding) -> list[dict[str, Any]]:
    return [_field(each, frozenset()) for each in Schema(binding.schema_text).fields]


def _field(field: Mapping[str, Any], within: frozenset[str]) -> dict[str, Any]:
    """Return a field with the fields of its records; a record within itself is given by its name."""
    form = field["type"]
    branches = form if isinstance(form, list) else [form]
    inner = next((each for each in branches if isinstance(each, dict) and each["type"] == "record"), None)
    found = {"name": field["name"], "type": _type_name(form)}
    doc = field.get("doc")
    if inner is not None and inner["name"] not in within:
        found["fields"] = [_field(each, within | {inner["name"]}) for each in inner["fields"]]
    return plain({**found, "description": doc if isinstance(doc, str) else None})


def _type_name(form: Any) -> str:
    """Return a type as one word: `long`, `timestamp-millis`, `array<string>`, `null|string`."""
    if isinstance(form, list):
        return "|".join(map(_type_name, form))
    if isinstance(form, str):
        return form
    kind = form["type"]
    inner = form.get("items", form.get("values"))
    if inner is not None:
        return f"{kind}<{_type_name(inner)}>"
    return str(form.get("logicalType") or form.get("name") or kind)


def _name(binding: Binding) -> dict[str, Any]:
    return {"namespace": _namespace(binding), "name": binding.topic}


def _namespace(binding: Binding) -> str:
    """Return `kafka://<host>:<port>` of the first bootstrap server; `kafka://<cluster>` where none is known."""
    first = binding.bootstrap_servers.partition(",")[0].strip()
    return f"kafka://{first or binding.cluster or 'unknown'}"


def _owners(team: str) -> dict[str, Any]:
    return {"owners": [{"name": f"team:{team}", "type": "OWNER"}]}


def _facet(name: str, content: dict[str, Any]) -> dict[str, Any]:
    schema = f"{_FACETS}/{_VERSIONS[name]}/{name}.json"
    return {"_producer": PRODUCER, "_schemaURL": f"{schema}#/$defs/{name}", **content}
