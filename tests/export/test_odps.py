"""ODPS documents, validated by Bitol's own JSON Schema."""

from __future__ import annotations

from typing import Any, Final

from meshport.registry import Registry
from tests.export.conftest import Mutation, mutated
from tests.export.standard import broken, standard

REFUSED: Final[dict[str, Mutation]] = {
    "no status": lambda d: d.pop("status"),
    "another kind": lambda d: d.update(kind="DataContract"),
    "an unknown version of the standard": lambda d: d.update(apiVersion="v2.0.0"),
    "an unknown key": lambda d: d.update(owner="a"),
    "an output port without a version": lambda d: d["outputPorts"][0].pop("version"),
    "an output port with an unknown key": lambda d: d["outputPorts"][0].update(topic="t"),
    "an input port without a contract": lambda d: d["inputPorts"][0].pop("contractId"),
    "a time that is none": lambda d: d.update(productCreatedTs=20260101),
    "tags that are no list": lambda d: d.update(tags="a"),
    "a custom property without a value": lambda d: d["customProperties"][0].pop("value"),
}


def test_the_schema_takes_the_documents_and_refuses_each_mutation(mesh_registry: Registry) -> None:
    """Each product is a valid document; each change that makes one wrong is refused."""
    schema = standard("odps-1.0.0.schema.json")
    documents = mesh_registry.export("odps")
    assert [broken(schema, each) for each in documents] == [[], []]
    assert [name for name, each in REFUSED.items() if not broken(schema, mutated(documents[0], each))] == []


def test_ports_name_the_contracts_that_are_exported(mesh_registry: Registry) -> None:
    """Each port's contract is one of the ODCS contracts; the contracts that an output is made of are those of the input ports."""
    delays, departures = mesh_registry.export("odps")
    contracts = {each["id"]: each for each in mesh_registry.export("odcs")}
    ports: list[Any] = [*delays["inputPorts"], *delays["outputPorts"], *departures["outputPorts"]]
    assert {each["contractId"] for each in ports} == set(contracts)
    assert all(each["version"] == contracts[each["contractId"]]["version"] for each in ports)
    assert delays["outputPorts"][0]["inputContracts"] == [
        {"id": "mesh://operations/departures/events@2", "version": "2"}
    ]
    assert departures["productCreatedTs"].endswith("Z")
    assert departures["support"][0]["url"] == "mailto:operations@example.com"
