"""xRegistry documents, validated by `xrcg`, the code generator of xRegistry."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from meshport.registry import Registry
from meshport.schema import parse_schema
from tests.export.conftest import Mutation, mutated
from tests.export.mesh import DELAYS, DEPARTURES
from tests.interop.environments import environment

LINE: Final = "operations.departures.events.v2"


def _endpoint(document: Any) -> Any:
    return document["endpoints"][LINE]


def _message(document: Any) -> Any:
    return document["messagegroups"][LINE]["messages"][LINE]


def _schema(document: Any) -> Any:
    return document["schemagroups"]["operations.departures"]["schemas"][LINE]


REFUSED: Final[dict[str, Mutation]] = {
    "a topic that is a number": lambda d: _endpoint(d)["protocoloptions"].update(topic=7),
    "servers as one text": lambda d: _endpoint(d)["protocoloptions"]["endpoints"][0].update(
        {"bootstrap.servers": "a:1"}
    ),
    "a key that is a list": lambda d: _message(d)["protocoloptions"].update(key=["flight_id"]),
    "a type that is no object": lambda d: _message(d)["envelopemetadata"].update(type=LINE),
    "a mode that is a list": lambda d: _message(d)["envelopeoptions"].update(mode=["binary"]),
    "a group that is a list": lambda d: d["schemagroups"].update({"operations.departures": []}),
    "a version without a schema": lambda d: next(iter(_schema(d)["versions"].values())).pop("schema"),
    "messages as a list": lambda d: d["messagegroups"][LINE].update(messages=[]),
}


def _refusal(document: Any, file: Path) -> str | None:
    """Return what the peer says against a document, or None. It exits with 0 whatever it finds."""
    file.write_text(json.dumps(document), encoding="utf-8")
    command = [str(environment("xrcg") / "xrcg"), "validate", "--definitions", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    text = done.stdout + done.stderr
    return None if text.startswith("OK:") else text


def test_the_peer_takes_the_documents_and_refuses_each_mutation(mesh_registry: Registry, tmp_path: Path) -> None:
    """The mesh, and each product, is a valid document; each change that makes it wrong is refused."""
    mesh = mesh_registry.export("xregistry")
    for document in (mesh, mesh_registry.export("xregistry", DEPARTURES), mesh_registry.export("xregistry", DELAYS)):
        assert _refusal(document, tmp_path / "valid.xreg.json") is None
    taken = [name for name, each in REFUSED.items() if _refusal(mutated(mesh, each), tmp_path / "x.xreg.json") is None]
    assert taken == []


def test_an_endpoint_a_message_and_a_schema_are_those_of_the_binding(mesh_registry: Registry) -> None:
    """They refer to each other, and hold the topic, the servers, the CloudEvents attributes and the contract of the line."""
    document = mesh_registry.export("xregistry", DEPARTURES)
    binding = mesh_registry.resolve("mesh://operations/departures/events@2")
    endpoint, message, schema = _endpoint(document), _message(document), _schema(document)
    assert endpoint["protocoloptions"] == {
        "endpoints": [{"bootstrap.servers": ["kafka-a:9092", "kafka-b:9092"]}], "topic": binding.topic,
    }  # fmt: skip
    assert endpoint["messagegroups"] == [f"/messagegroups/{LINE}"]
    assert message["dataschemauri"] == f"/schemagroups/operations.departures/schemas/{LINE}"
    assert message["envelopemetadata"]["type"]["value"] == binding.type
    assert message["envelopemetadata"]["source"]["value"] == str(binding.address)
    (version,) = schema["versions"].values()
    assert schema["defaultversionid"] == version["versionid"] == str(binding.schema_id)
    assert parse_schema(json.dumps(version["schema"])).fingerprint == binding.fingerprint


def test_a_deprecated_line_says_when_it_goes_and_a_topic_without_envelope_that_it_has_none(
    mesh_registry: Registry,
) -> None:
    """Readers see the day of the removal and the successor; events that are no CloudEvents are not said to be some."""
    document = mesh_registry.export("xregistry", DEPARTURES)
    deprecated = document["endpoints"]["operations.departures.events.v1"]["deprecated"]
    assert deprecated["removal"] == "2999-01-01T00:00:00Z"
    assert deprecated["labels"] == {"successor": "mesh://operations/departures/events@2"}
    raw = document["endpoints"]["operations.departures.raw.v1"]
    assert "envelope" not in raw
    assert raw["protocoloptions"]["topic"] == "OPS.DEPARTURES"
