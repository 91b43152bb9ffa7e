"""DataHub files, checked by `datahub check metadata-file`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from meshport.registry import Registry
from tests.export.conftest import Mutation, mutated
from tests.interop.environments import environment

_CHECK: Final = Path(__file__).parents[1] / "interop/python/check_datahub.py"
_KAFKA: Final = "urn:li:dataset:(urn:li:dataPlatform:kafka"
DELAYS: Final = f"{_KAFKA},network.delays-by-airport.events.v1,PROD)"
DEPARTURES: Final = f"{_KAFKA},operations.departures.events.v2,PROD)"


def _aspect(proposals: Any, name: str, urn: str | None = None) -> Any:
    return next(
        each["aspect"]["json"] for each in proposals if each["aspectName"] == name and urn in {None, each["entityUrn"]}
    )


REFUSED: Final[dict[str, Mutation]] = {
    "a schema without its hash": lambda d: _aspect(d, "schemaMetadata").pop("hash"),
    "a field without a path": lambda d: _aspect(d, "schemaMetadata")["fields"][0].pop("fieldPath"),
    "a field of no type": lambda d: _aspect(d, "schemaMetadata")["fields"][0].update(type={"type": "text"}),
    "a schema without its platform": lambda d: _aspect(d, "schemaMetadata").pop("platform"),
    "an upstream without a dataset": lambda d: _aspect(d, "upstreamLineage")["upstreams"][0].pop("dataset"),
    "an owner without a type": lambda d: _aspect(d, "ownership")["owners"][0].pop("type"),
    "an asset without a URN": lambda d: _aspect(d, "dataProductProperties")["assets"][0].pop("destinationUrn"),
    "a status that is text": lambda d: _aspect(d, "status").update(removed="no"),
}


def test_datahub_takes_the_file_and_refuses_each_mutation(mesh_registry: Registry) -> None:
    """The mesh, and a product, is a valid file; each change that makes one wrong is refused."""
    mesh, product = mesh_registry.export("datahub"), mesh_registry.export("datahub", "network/delays-by-airport")
    documents = [mesh, product, *(mutated(mesh, each) for each in REFUSED.values())]
    command = [str(environment("acryl-datahub") / "python"), str(_CHECK)]
    done = subprocess.run(command, input=json.dumps(documents), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found[:2] == [None, None]
    assert [name for name, error in zip(REFUSED, found[2:], strict=True) if error is None] == []


def test_a_topic_has_its_schema_lineage_and_product(mesh_registry: Registry) -> None:
    """Fields with those of nested records, upstream topics and fields, the deprecation, and the product's topics."""
    proposals = mesh_registry.export("datahub")
    fields = {each["fieldPath"]: each for each in _aspect(proposals, "schemaMetadata", DEPARTURES)["fields"]}
    assert fields["delay_s"]["nullable"] is True
    assert fields["scheduled_at"]["type"] == {"type": {"com.linkedin.schema.TimeType": {}}}
    assert {"gate.terminal", "gate.number"} <= set(fields)
    lineage = _aspect(proposals, "upstreamLineage", DELAYS)
    assert [each["dataset"] for each in lineage["upstreams"]] == [DEPARTURES]
    assert {
        (each["upstreams"][0], each["downstreams"][0], each["transformOperation"])
        for each in lineage["fineGrainedLineages"]
    } == {
        (f"urn:li:schemaField:({DEPARTURES},airport)", f"urn:li:schemaField:({DELAYS},airport)", "copied"),
        (f"urn:li:schemaField:({DEPARTURES},scheduled_at)", f"urn:li:schemaField:({DELAYS},day)", "date(scheduled_at)"),
    }
    deprecation = _aspect(proposals, "deprecation")
    assert deprecation["note"] == "use mesh://operations/departures/events@2"
    (product,) = (
        each["aspect"]["json"]
        for each in proposals
        if each["aspectName"] == "dataProductProperties" and each["aspect"]["json"]["name"] == "Departures"
    )
    assert [each["destinationUrn"] for each in product["assets"]] == [
        f"{_KAFKA},operations.departures.events.v1,PROD)", DEPARTURES, f"{_KAFKA},legacy.OPS.DEPARTURES,PROD)",
    ]  # fmt: skip
