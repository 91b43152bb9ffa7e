"""`meshport adopt`: a topic that is there already becomes a product, and nothing of it is touched."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka.schema_registry import Schema as PeerSchema
from confluent_kafka.schema_registry import SchemaReference, SchemaRegistryClient

from meshport.kafka.admin import Admin
from meshport.ports.replay import Replay
from meshport.process import make_plan
from meshport.process.engines import batch, faust
from meshport.process.logic.load import load_pipeline
from meshport.project.project import Project
from meshport_registry import Settings, running
from tests.cli.running import Run
from tests.connections import CONNECTIONS
from tests.mesh_session import READING, Mesh
from tests.ports.adopted import foreign_topic, schema_id, write
from tests.ports.readings import reading

ENGINES = {"batch": batch.run_processor, "faust": faust.run_processor}


def descriptor(address: str) -> dict[str, Any]:
    """Return the port's entry in a product.yaml of the present folder."""
    document = yaml.safe_load(Path("producers", address, "product.yaml").read_text(encoding="utf-8"))
    (port,) = document["outputPorts"]
    return dict(port)


def test_a_topic_becomes_a_product_and_stays_as_it_is(on_mesh: Run, mesh: Mesh) -> None:
    """Name, partitions, retention, schema, level and key are read; `apply` registers them, and changes nothing of the topic."""
    topic = foreign_topic(mesh, partitions=3, config={"retention.ms": "864000000", "segment.ms": "999999"})
    write(mesh, topic, [reading(number) for number in range(50)])
    with SchemaRegistryClient({"url": mesh.url}) as registry:
        registry.set_compatibility(f"{topic}-value", "FORWARD")
    name = topic.lower().replace("_", "-")
    kafka = {"MESHPORT_KAFKA": mesh.bootstrap_servers}
    before = Admin(mesh.kafka).topic(topic)
    assert on_mesh("init").code == 0
    ended = on_mesh("adopt", topic, "--as", f"foreign/{name}", "--time", "at", "--json", **kafka)
    assert ended.code == 0, ended.err
    assert descriptor(f"foreign/{name}") == {
        "name": "events",
        "topic": topic,
        "envelope": "none",
        "time": "at",
        "key": "sensor",
        "compatibility": "FORWARD",
        "partitions": 3,
        "retention": "10d",
    }
    facts = json.loads(ended.out)
    assert (facts["notes"], facts["sampled"], facts["port"]["topic"]) == ([], 50, topic)
    plan = on_mesh("apply", "--plan", **kafka)
    assert "make topic" not in plan.err
    assert "change topic" not in plan.err
    assert on_mesh("apply", **kafka).code == 0
    assert on_mesh("apply", **kafka).err.endswith("0 of 1 product changed\n")
    assert Admin(mesh.kafka).topic(topic) == before
    binding = mesh.registry.resolve(f"foreign/{name}")
    assert (binding.topic, binding.envelope, binding.subject) == (topic, "none", f"{topic}-value")
    told = on_mesh("replay", f"foreign/{name}", "--json")
    events = [json.loads(line) for line in told.out.splitlines()]
    assert {each["id"] for each in events} == {
        f"{topic}-{each['kafkapartition']}-{each['kafkaoffset']}" for each in events
    }
    assert len(events) == 50
    again = on_mesh("adopt", topic, "--as", f"foreign/{name}", **kafka)
    assert again.code != 0
    assert "exists already" in again.err


@pytest.mark.parametrize("engine", ENGINES)
def test_a_processor_reads_an_adopted_topic(on_mesh: Run, mesh: Mesh, engine: str) -> None:
    """A derived product on an adopted topic counts every record once, on each engine, also after it is started again."""
    topic = foreign_topic(mesh)
    write(mesh, topic, [reading(number) for number in range(60)])
    name = topic.lower().replace("_", "-")
    kafka = {"MESHPORT_KAFKA": mesh.bootstrap_servers}
    on_mesh("init")
    on_mesh("adopt", topic, "--as", f"foreign/{name}", "--time", "at", **kafka)
    made = on_mesh(
        *("new", f"foreign/{name}-hours", "--from", f"foreign/{name}", "--by", "sensor"),
        *("--value", "readings=count()", "--value", "most=max(celsius)"),
    )
    assert made.code == 0, made.err
    applied = on_mesh("apply", **kafka)
    assert applied.code == 0, applied.err
    product = next(each for each in Project.find(Path()).products if each.product.process)
    address = product.product.port_address(product.product.default_port)
    plan = make_plan(load_pipeline(product.product, product.folder), address, mesh.registry, kafka=CONNECTIONS)
    ENGINES[engine](plan, mesh.registry, until_end=True)
    write(mesh, topic, [reading(number) for number in range(60, 90)])
    ENGINES[engine](plan, mesh.registry, until_end=True)
    with Replay(address, mesh.registry, kafka=CONNECTIONS) as job:
        rows = {each.data["sensor"]: each.data for each in job.events()}
    counted = Counter(reading(number)["sensor"] for number in range(90))
    assert {sensor: each["readings"] for sensor, each in rows.items()} == counted
    assert {each["most"] for each in rows.values()} == {float(number) for number in range(80, 90)}


def test_what_was_adopted_outlives_its_product(on_mesh: Run, mesh: Mesh) -> None:
    """A dropped product leaves the topic with its records, and the subject with its versions, to the other writers."""
    topic = foreign_topic(mesh)
    write(mesh, topic, [reading(number) for number in range(5)])
    name = topic.lower().replace("_", "-")
    kafka = {"MESHPORT_KAFKA": mesh.bootstrap_servers}
    on_mesh("init")
    on_mesh("adopt", topic, "--as", f"foreign/{name}", **kafka)
    on_mesh("apply", **kafka)
    admin = Admin(mesh.kafka)
    before = (admin.topic(topic), admin.records(topic), schema_id(mesh, topic))
    assert on_mesh("drop", f"foreign/{name}", "--yes", **kafka).code == 1  # it holds events
    on_mesh("deprecate", f"foreign/{name}", "--on", "2020-01-01", **kafka)
    assert on_mesh("retire", f"foreign/{name}", "--yes", **kafka).code == 0
    ended = on_mesh("drop", f"foreign/{name}", "--yes", **kafka)
    assert ended.code == 0, ended.err
    assert f"topic {topic} stays" in ended.err
    assert (admin.topic(topic), admin.records(topic), schema_id(mesh, topic)) == before
    assert on_mesh("apply", **kafka).code == 0  # and it can be adopted again


def test_the_next_major_has_a_topic_of_its_own(on_mesh: Run, mesh: Mesh) -> None:
    """`new --major` takes neither the adopted topic nor its lack of an envelope over: the mesh makes the new line's topic."""
    topic = foreign_topic(mesh)
    write(mesh, topic, [reading(1)])
    on_mesh("init")
    on_mesh("adopt", topic, "--as", "foreign/majors", MESHPORT_KAFKA=mesh.bootstrap_servers)
    ended = on_mesh("new", "foreign/majors", "--major")
    assert ended.code == 0, ended.err
    first, second = (product := Project.find(Path()).products[0].product).output_ports
    assert (product.topic(first), product.topic(second)) == (topic, "foreign.majors.events.v2")
    assert (first.envelope, second.envelope, second.key) == ("none", None, "sensor")


def test_the_registry_of_its_writers_may_be_another(on_mesh: Run, mesh: Mesh, tmp_path: Path) -> None:
    """Schemas are read where the writers have them, references included; ids that the mesh's registry lacks are named."""
    topic = foreign_topic(mesh)
    place = {"type": "record", "name": "tests.Place", "fields": [{"name": "town", "type": "string"}]}
    form = READING | {"fields": [*READING["fields"], {"name": "place", "type": "tests.Place"}]}
    spelled = READING | {"fields": [*READING["fields"], {"name": "place", "type": place}]}
    settings = Settings(database=f"sqlite:///{tmp_path / 'peer.db'}", port=0)
    with running(settings) as url, SchemaRegistryClient({"url": url}) as peer:
        for number in range(3):  # so that ids differ
            peer.register_schema(f"other-{number}", PeerSchema(json.dumps(place | {"name": f"tests.Other{number}"})))
        peer.register_schema("places", PeerSchema(json.dumps(place)))
        reference = SchemaReference("tests.Place", "places", 1)
        peer.register_schema(f"{topic}-value", PeerSchema(json.dumps(form), references=[reference]))
        other = Mesh(mesh.registry, url, mesh.kafka, mesh.folder)
        write(other, topic, [reading(1) | {"place": {"town": "Ulm"}}], form=spelled)
        on_mesh("init")
        ended = on_mesh(
            *("adopt", topic, "--as", "foreign/places", "--from-registry", url, "--json"),
            MESHPORT_KAFKA=mesh.bootstrap_servers,
        )
    assert ended.code == 0, ended.err
    (note,) = json.loads(ended.out)["notes"]
    assert "registry import" in note or "other schemas" in note
    contract = json.loads(Path("schemas/foreign/places.events.avsc").read_text(encoding="utf-8"))
    assert contract["fields"][-1]["type"]["fields"] == [{"name": "town", "type": "string"}]


def test_what_a_reader_may_not_expect_is_said(on_mesh: Run, mesh: Mesh) -> None:
    """Keys of no field, keys placed by another partitioner, a limit of bytes and records that cannot be read are notes."""
    topic = foreign_topic(mesh, config={"retention.bytes": "1000000"})
    write(mesh, topic, [reading(number) for number in range(20)], partitioner="consistent_random")
    on_mesh("init")
    kafka = {"MESHPORT_KAFKA": mesh.bootstrap_servers}
    ended = on_mesh("adopt", topic, "--as", "foreign/crc", **kafka)
    assert ended.code == 0, ended.err
    assert "repartition: always" in ended.err
    assert "retention.bytes=1000000" in ended.err
    unkeyed = foreign_topic(mesh)
    write(mesh, unkeyed, [{**reading(number), "sensor": f"x{number}"} for number in range(5)], key="at")
    ended = on_mesh("adopt", unkeyed, "--as", "foreign/unkeyed", **kafka)
    assert "key" not in descriptor("foreign/unkeyed")
    assert "the keys are not the text of one field" in ended.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("{topic}x", "--as", "foreign/no"), "did you mean {topic}?"),
        (("{topic}", "--as", "foreign/no", "--key", "note"), "is not the text of note"),
        (("{topic}", "--as", "foreign/no", "--time", "att"), "did you mean 'at'?"),
        (("{topic}", "--as", "foreign/no", "--subject", "{topic}"), "did you mean --subject {topic}-value?"),
        (("{topic}", "--as", "foreign/no/events@2"), "names a major"),
    ],
)
def test_a_mistake_writes_nothing(on_mesh: Run, mesh: Mesh, arguments: tuple[str, ...], says: str) -> None:
    """A topic, a key, a time or a subject that is not there is refused with what may be meant."""
    topic = foreign_topic(mesh)
    write(mesh, topic, [reading(1)])
    on_mesh("init")
    ended = on_mesh("adopt", *(each.format(topic=topic) for each in arguments), MESHPORT_KAFKA=mesh.bootstrap_servers)
    assert ended.code != 0
    assert says.format(topic=topic) in ended.err.replace("\n", " ")
    assert not [*Path("producers").rglob("product.yaml")]
