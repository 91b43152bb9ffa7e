"""OpenLineage events, validated by the JSON Schemas of the specification: the events', and each facet's own."""

from __future__ import annotations

from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]  # no stubs
import pytest
import referencing
from referencing.jsonschema import DRAFT202012

from meshport.registry import Registry
from tests.export.conftest import Mutation, mutated
from tests.export.standard import standard

LINE: Final = "operations.departures.events.v2"
_FACETS: Final = (
    "ColumnLineageDatasetFacet",
    "DatasetVersionDatasetFacet",
    "DatasourceDatasetFacet",
    "DocumentationDatasetFacet",
    "DocumentationJobFacet",
    "JobTypeJobFacet",
    "OwnershipDatasetFacet",
    "OwnershipJobFacet",
    "SchemaDatasetFacet",
    "SourceCodeLocationJobFacet",
    "TagsDatasetFacet",
)


@pytest.fixture(scope="module")
def specification() -> Any:
    """The specification's schemas, by their URLs."""
    schemas = [standard(f"openlineage/{name}.json") for name in ("OpenLineage", *_FACETS)]
    resources = [(each["$id"], referencing.Resource.from_contents(each, DRAFT202012)) for each in schemas]
    return referencing.Registry().with_resources(resources)


def _broken(event: Any, specification: Any) -> list[str]:
    """Return what an event breaks of the schema that it names, and each of its facets of its own."""
    found = _errors(event, event["schemaURL"], specification)
    parts = [event.get("dataset"), event.get("job"), *event.get("inputs", ()), *event.get("outputs", ())]
    for part in parts:
        for facet in (part or {}).get("facets", {}).values():
            found += _errors(facet, facet["_schemaURL"], specification)
    return found


def _errors(value: Any, url: str, specification: Any) -> list[str]:
    formats = jsonschema.FormatChecker()
    validator = jsonschema.Draft202012Validator({"$ref": url}, registry=specification, format_checker=formats)
    return [each.message for each in validator.iter_errors(value)]


def _job(events: Any) -> Any:
    return next(each for each in events if "job" in each)


def _facets(events: Any) -> Any:
    return next(each for each in events if "dataset" in each and each["dataset"]["name"] == LINE)["dataset"]["facets"]


REFUSED: Final[dict[str, Mutation]] = {
    "a job without a name": lambda e: _job(e)["job"].pop("name"),
    "an event without a time": lambda e: _job(e).pop("eventTime"),
    "a job event with a run": lambda e: _job(e).update(run={"runId": "0a3f8c86-6d0f-4c2b-8f0b-5b9f0d5f4f1e"}),
    "an input without a name": lambda e: _job(e)["inputs"][0].pop("name"),
    "a facet without a producer": lambda e: _facets(e)["schema"].pop("_producer"),
    "a field without a name": lambda e: _facets(e)["schema"]["fields"][0].pop("name"),
    "an owner without a name": lambda e: _facets(e)["ownership"]["owners"][0].pop("name"),
    "a tag without a value": lambda e: _facets(e)["tags"]["tags"][0].pop("value"),
    "a version that is a number": lambda e: _facets(e)["version"].update(datasetVersion=2),
    "an input field without its dataset": lambda e: _job(e)["outputs"][0]["facets"]["columnLineage"]["fields"]["day"][
        "inputFields"
    ][0].pop("name"),
}


def test_the_schemas_take_the_events_and_refuse_each_mutation(mesh_registry: Registry, specification: Any) -> None:
    """Every event of the mesh is valid, with all of its facets; each change that makes one wrong is refused."""
    events = mesh_registry.export("openlineage")
    assert [error for each in events for error in _broken(each, specification)] == []
    taken = [
        name
        for name, change in REFUSED.items()
        if not any(_broken(each, specification) for each in mutated(events, change))
    ]
    assert taken == []


def test_datasets_are_named_as_openlineage_names_those_of_kafka(mesh_registry: Registry) -> None:
    """The namespace is the first broker, the name the topic; fields, version and address of the line are in facets."""
    facets = _facets(mesh_registry.export("openlineage", "operations/departures"))
    binding = mesh_registry.resolve("mesh://operations/departures/events@2")
    assert facets["dataSource"]["uri"] == "kafka://kafka-a:9092"
    assert facets["version"]["datasetVersion"] == binding.fingerprint
    assert {"key": "mesh.address", "value": str(binding.address), "source": "MESHPORT"} in facets["tags"]["tags"]
    fields = {each["name"]: each for each in facets["schema"]["fields"]}
    assert fields["scheduled_at"]["type"] == "timestamp-millis"
    assert fields["delay_s"] == {"name": "delay_s", "type": "null|int", "description": "Seconds; null while not known."}
    assert [each["name"] for each in fields["gate"]["fields"]] == ["terminal", "number"]


def test_a_job_has_the_lineage_of_fields(mesh_registry: Registry) -> None:
    """What a process declares: copies, derived fields, and the fields that decide about whole events."""
    (job,) = (each for each in mesh_registry.export("openlineage", "network/delays-by-airport") if "job" in each)
    assert (job["job"]["namespace"], job["job"]["name"]) == ("mesh://network", "delays-by-airport")
    assert [each["name"] for each in job["inputs"]] == [LINE]
    lineage = job["outputs"][0]["facets"]["columnLineage"]
    (day,) = lineage["fields"]["day"]["inputFields"]
    assert (day["name"], day["field"]) == (LINE, "scheduled_at")
    assert day["transformations"] == [
        {"type": "DIRECT", "subtype": "TRANSFORMATION", "description": "date(scheduled_at)"}
    ]
    decisive = {(each["field"], each["transformations"][0]["subtype"]) for each in lineage["dataset"]}
    assert decisive == {("delay_s", "FILTER"), ("airport", "GROUP_BY"), ("scheduled_at", "GROUP_BY")}
