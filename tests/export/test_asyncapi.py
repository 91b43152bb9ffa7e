"""AsyncAPI documents, validated by AsyncAPI's own parser with its Kafka bindings and its parser of Avro."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any, Final

import pytest

from meshport.registry import Registry
from meshport.schema import parse_schema
from tests.export.conftest import Mutation, mutated
from tests.export.mesh import DELAYS, DEPARTURES
from tests.interop.packages import HERE, installed

LINE: Final = "operations.departures.events.v2"
Validate = Callable[[list[Any]], list[list[str]]]


@pytest.fixture(scope="module")
def validate(tool: Callable[[str], str]) -> Validate:
    """Return a function that gives, for each document, the errors that the parser finds."""
    node = tool("node")
    installed(tool("npm"), "asyncapi")

    def errors(documents: list[Any]) -> list[list[str]]:
        command = [node, str(HERE / "asyncapi/validate.mjs")]
        done = subprocess.run(command, input=json.dumps(documents), capture_output=True, text=True, check=True)
        found: list[list[str]] = json.loads(done.stdout)
        return found

    return errors


def _message(document: Any) -> Any:
    return document["components"]["messages"][LINE]


def _kafka(document: Any) -> Any:
    return document["channels"][LINE]["bindings"]["kafka"]


REFUSED: Final[dict[str, Mutation]] = {
    "a version that is none": lambda d: d.update(asyncapi="3.9.0"),
    "no title": lambda d: d["info"].pop("title"),
    "an unknown key": lambda d: d.update(servers2={}),
    "no partition": lambda d: _kafka(d).update(partitions=0),
    "a number of replicas that is text": lambda d: _kafka(d).update(replicas="three"),
    "a cleanup that Kafka does not have": lambda d: _kafka(d)["topicConfiguration"].update(
        {"cleanup.policy": ["shrink"]}
    ),
    "no such Avro type": lambda d: _message(d)["payload"]["schema"]["fields"][0].update(type="text"),
    "a record without a name": lambda d: _message(d)["payload"]["schema"].pop("name"),
    "no such action": lambda d: d["operations"][f"{LINE}.send"].update(action="publish"),
    "a channel that is not there": lambda d: d["operations"][f"{LINE}.send"].update(
        channel={"$ref": "#/channels/none"}
    ),
    "no protocol": lambda d: d["servers"]["kafka"].pop("protocol"),
}


def test_the_parser_takes_the_documents_and_refuses_each_mutation(mesh_registry: Registry, validate: Validate) -> None:
    """The mesh, and each product, is a valid document; each change that makes it wrong is refused."""
    mesh = mesh_registry.export("asyncapi")
    valid = [mesh, mesh_registry.export("asyncapi", DEPARTURES), mesh_registry.export("asyncapi", DELAYS)]
    found = validate(valid + [mutated(mesh, each) for each in REFUSED.values()])
    assert found[: len(valid)] == [[], [], []]
    assert [name for name, errors in zip(REFUSED, found[len(valid) :], strict=True) if not errors] == []


def test_a_channel_says_how_its_topic_is_read(mesh_registry: Registry) -> None:
    """Topic, partitions, settings, key, headers and contract of a line are those of its binding and its descriptor."""
    document = mesh_registry.export("asyncapi", DEPARTURES)
    binding = mesh_registry.resolve("mesh://operations/departures/events@2")
    channel, message = document["channels"][LINE], document["components"]["messages"][LINE]
    assert channel["address"] == channel["bindings"]["kafka"]["topic"] == binding.topic
    assert channel["x-meshport-address"] == str(binding.address)
    assert channel["servers"] == [{"$ref": "#/servers/kafka"}, {"$ref": "#/servers/kafka-2"}]
    assert channel["bindings"]["kafka"]["topicConfiguration"] == {
        "cleanup.policy": ["delete"], "retention.ms": 365 * 86_400_000, "max.message.bytes": 100_000,
    }  # fmt: skip
    assert document["servers"]["kafka-2"]["host"] == "kafka-b:9092"
    assert document["servers"]["legacy"]["host"] == "legacy:9093"
    assert document["servers"]["kafka"]["bindings"]["kafka"]["schemaRegistryUrl"].startswith("http://")
    assert message["payload"]["schema"]["namespace"] == "operations"
    assert parse_schema(json.dumps(message["payload"]["schema"])).fingerprint == binding.fingerprint
    assert message["headers"]["properties"]["ce_type"]["const"] == binding.type
    assert "airport, flight_id" in message["bindings"]["kafka"]["key"]["description"]
    assert "headers" not in document["components"]["messages"]["operations.departures.raw.v1"]


def test_a_product_receives_what_it_reads(mesh_registry: Registry) -> None:
    """The live line of an input port is a channel that the product receives from, though another product sends to it."""
    document = mesh_registry.export("asyncapi", DELAYS)
    actions = {(each["action"], each["channel"]["$ref"].rpartition("/")[2]) for each in document["operations"].values()}
    assert actions == {("receive", LINE), ("send", "network.delays-by-airport.events.v1")}
