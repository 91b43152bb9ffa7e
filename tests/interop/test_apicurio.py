"""A move from another registry, Apicurio: its subjects, the gate before anything has moved, and a topic with its readers.

It is fetched from Maven Central as the bench does, once; `MESHPORT_REQUIRE_INTEROP=1` makes its absence a failure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import platformdirs
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from meshport.address import Address
from meshport.ports.replay import Replay
from meshport.process import make_plan
from meshport.process.engines.batch import run_processor
from meshport.process.logic.load import load_pipeline
from meshport.project.project import Project
from meshport.registry import ConfluentSubjects, Registry
from meshport.registry.importer import import_snapshot
from meshport.schema import Schema
from meshport_registry import Settings, running
from tests.bench.apicurio import NoPeer, apicurio
from tests.cli.conftest import cli as cli  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.running import Run, on
from tests.connections import CONNECTIONS
from tests.interop.plain import read_all
from tests.interop.tools import do_without
from tests.mesh_session import READING, Mesh
from tests.plain_http import plain_http
from tests.ports.adopted import foreign_topic, write
from tests.ports.readings import reading
from tests.repeats import repeated, repeats
from tests.waiting import PATIENCE_S

SUBJECTS = repeats(suite=100, campaign=1000)
TYPES = 50
WRITERS = 8
FOREIGN = """\
address: mesh://foreign/readings
id: 0d1c7f6e-6a3a-4f0e-9d57-6f1f7d9b4a11
archetype: source-aligned
description: Readings of sensors.
owner: foreign
outputPorts:
  - name: events
    key: sensor
    time: at
    envelope: none
    compatibility: FULL
"""


@pytest.fixture(scope="module")
def peer() -> Iterator[httpx2.Client]:
    """Yield a plain HTTP client of the Confluent API of an Apicurio in memory."""
    cache = platformdirs.user_cache_path("meshport") / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with apicurio(cache) as (url, _), plain_http(url) as client:
            yield client
    except NoPeer as reason:
        do_without(f"Apicurio {reason}")


def record(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    """Return a record of the namespace `move`."""
    return {"type": "record", "name": name, "namespace": "move", "fields": list(fields)}


def register(
    peer: httpx2.Client, subject: str, schema: dict[str, Any], *referred: tuple[str, str], indent: int | None = None
) -> int:
    """Register a schema, with references to the first versions of subjects, and return its id."""
    references = [{"name": name, "subject": subject, "version": 1} for name, subject in referred]
    body = {"schema": json.dumps(schema, indent=indent), "references": references}
    answer = peer.post(f"/subjects/{subject}/versions", json=body)
    assert answer.is_success, answer.text
    return int(answer.json()["id"])


def shared(number: int) -> tuple[str, str]:
    """Return the name of a shared type, and its subject."""
    return f"move.T{number % TYPES}", f"type-{number % TYPES}"


@pytest.fixture(scope="module")
def filled(peer: httpx2.Client) -> httpx2.Client:
    """Return a client of the peer with a thousand subjects: types, types of types, values of one or two versions."""
    for number in range(TYPES):
        name, subject = shared(number)
        inner = [] if number % 5 == 0 else [{"name": "inner", "type": shared(number - 1)[0]}]
        chain = [shared(each) for each in range(number - number % 5, number)]
        register(
            peer, subject, record(name.removeprefix("move."), {"name": "code", "type": "int"}, *inner), *chain[::-1]
        )

    def write(number: int) -> None:
        name, _ = shared(number)
        chain = [shared(each) for each in range(number % TYPES - number % 5, number % TYPES + 1)]
        first = record(f"V{number}", {"name": "at", "type": "long"}, {"name": "what", "type": name})
        register(peer, f"t{number}-value", first, *chain[::-1], indent=number % 3 or None)
        if number % 4 == 0:
            second = record(f"V{number}", *first["fields"], {"name": "note", "type": "string", "default": ""})
            register(peer, f"t{number}-value", second, *chain[::-1])

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(TYPES, SUBJECTS)))
    assert peer.put("/config/t50-value", json={"compatibility": "FULL"}).is_success
    for path in ("/subjects/t60-value/versions/1", "/subjects/t99-value"):
        assert peer.delete(path).is_success
    return peer


@repeated
def test_a_thousand_subjects_with_references_arrive(filled: httpx2.Client, tmp_path: Path) -> None:
    """Every id, version, reference, deletion and level is the peer's, every schema reads the same, and a repetition is idle."""
    with (
        ConfluentSubjects.at(str(filled.base_url)) as subjects,
        running(Settings(database=f"sqlite:///{tmp_path / 'own.db'}", port=0)) as url,
        Registry(url, timeout=PATIENCE_S) as registry,
        plain_http(url) as own,
    ):
        there = subjects.snapshot()
        assert len(there.subjects) == SUBJECTS - 1
        assert there.notes == ("soft-deleted versions of t99-value are listed there, but not shown: they are left out",)
        report = import_snapshot(there, registry)
        assert report.counts.versions == len(there.versions)
        here = registry.subjects.snapshot()
        assert [each.model_copy(update={"schema_text": ""}) for each in here.each_version()] == [
            each.model_copy(update={"schema_text": ""}) for each in there.each_version()
        ]
        assert [(each.name, each.level) for each in here.subjects] == [
            (each.name, each.level) for each in there.subjects
        ]
        for each in there.each_version():
            assert own.get(f"/schemas/ids/{each.id}").json()["schema"] == each.schema_text
        again = import_snapshot(subjects.snapshot(), registry)
        assert again.counts.model_dump(exclude={"unchanged"}) == dict.fromkeys(
            ("versions", "further_ids", "deletions", "settings"), 0
        )
        assert isinstance(registry.by_id(next(there.each_version()).id), Schema)


@repeated
@pytest.mark.kafka
def test_a_topic_moves_with_its_registry(
    filled: httpx2.Client, mesh: Mesh, cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate in the writers' project, the import of all subjects, then adopt: ids are equal, and both read every record.

    Confluent's serializer has filled the topic, by two versions of its schema.
    """
    topic, theirs_at = foreign_topic(mesh), str(filled.base_url)
    theirs = Mesh(mesh.registry, theirs_at, mesh.kafka, mesh.folder)
    second = READING | {"fields": [*READING["fields"], {"name": "unit", "type": "string", "default": "C"}]}
    write(theirs, topic, [reading(number) for number in range(60)])
    write(theirs, topic, [reading(number) for number in range(60, 90)], form=second)
    assert filled.put(f"/config/{topic}-value", json={"compatibility": "FULL"}).is_success
    writers, own_project = tmp_path / "writers", tmp_path / "own"
    for project in (writers, own_project):
        project.mkdir()
        monkeypatch.chdir(project)
        assert cli("init").code == 0
    monkeypatch.chdir(writers)
    _the_gate_judges_by_the_peer(cli, theirs_at, topic, second)
    monkeypatch.chdir(own_project)
    with (
        running(Settings(database=f"sqlite:///{tmp_path / 'own.db'}", port=0)) as url,
        Registry(url, keep=0, timeout=PATIENCE_S) as registry,
    ):
        own = Mesh(registry, url, mesh.kafka, mesh.folder)
        at = {"MESHPORT_KAFKA": mesh.bootstrap_servers} | on(own)
        moved = cli("registry", "import", "--from", theirs_at, **at)
        assert moved.code == 0, moved.err
        with ConfluentSubjects.at(theirs_at) as subjects:
            assert _ids(registry.subjects) == _ids(subjects)
        adopted = cli("adopt", topic, "--as", "foreign/readings", "--time", "at", "--json", **at)
        assert (adopted.code, json.loads(adopted.out)["notes"]) == (0, []), adopted.err
        assert cli("apply", **at).code == 0
        binding = registry.resolve("foreign/readings")
        versions = filled.get(f"/subjects/{topic}-value/versions/2").json()
        assert (binding.subject, binding.schema_id) == (f"{topic}-value", versions["id"])
        again = cli("registry", "import", "--from", theirs_at, "--json", **at)
        assert (again.code, json.loads(again.out)["versions"]) == (0, 0), again.err
        assert _derived(cli, registry, at) == Counter(reading(number)["sensor"] for number in range(90))
        _every_record_is_read_by_both(own, theirs, topic)


def _ids(subjects: ConfluentSubjects) -> dict[tuple[str, int], int]:
    """Return the id of each version of each subject."""
    return {each.key: each.id for each in subjects.snapshot().each_version()}


def _the_gate_judges_by_the_peer(cli: Run, peer: str, topic: str, form: dict[str, Any]) -> None:
    """Check a contract against the peer alone, then without one of its fields, in the project of a team that has not moved."""
    product, contract = Path("producers/foreign/readings/product.yaml"), Path("schemas/foreign/readings.events.avsc")
    for file in (product, contract):
        file.parent.mkdir(parents=True)
    product.write_text(f"{FOREIGN}    topic: {topic}\n", encoding="utf-8")
    contract.write_text(json.dumps(form), encoding="utf-8")
    passed = cli("gate", "check", "--against", peer)
    assert (passed.code, "1 contract passes; 1 unchanged" in passed.out) == (0, True), passed.out + passed.err
    fields = [each for each in form["fields"] if each["name"] != "celsius"]
    contract.write_text(json.dumps(form | {"fields": fields}), encoding="utf-8")
    refused = cli("gate", "check", "--against", peer, "--json")
    assert refused.code == 1
    assert {each["path"] for each in json.loads(refused.out)["verdicts"][0]["findings"]} == {"celsius"}


def _derived(cli: Run, registry: Registry, at: dict[str, str]) -> dict[str, int]:
    """Return the readings of each sensor, as a product that is derived from the adopted one counts them."""
    made = cli("new", *["foreign/counts", "--from", "foreign/readings", "--by", "sensor", "--value", "n=count()"])
    assert made.code == 0, made.err
    assert cli("apply", **at).code == 0
    product = Project.find(Path()).product(Address.parse("foreign/counts"))
    address = product.product.port_address(product.product.default_port)
    plan = make_plan(load_pipeline(product.product, product.folder), address, registry, kafka=CONNECTIONS)
    run_processor(plan, registry, until_end=True)
    with Replay(address, registry, kafka=CONNECTIONS) as job:
        return {each.data["sensor"]: each.data["n"] for each in job.events()}


def _every_record_is_read_by_both(own: Mesh, theirs: Mesh, topic: str) -> None:
    """Compare each record as Confluent's deserializer reads it with either registry, and as a replay does."""
    with Replay(Address.parse("foreign/readings"), own.registry, kafka=CONNECTIONS) as job:
        replayed = {each.id: each.data for each in job.events()}
    with SchemaRegistryClient({"url": own.url}) as ours, SchemaRegistryClient({"url": theirs.url}) as peers:
        by_ours, by_peers = AvroDeserializer(ours), AvroDeserializer(peers)
        for message in read_all(own.bootstrap_servers, topic):
            context = SerializationContext(topic, MessageField.VALUE)
            record = by_peers(message.value(), context)
            assert by_ours(message.value(), context) == record
            assert replayed.pop(f"{topic}-{message.partition()}-{message.offset()}") == record
    assert replayed == {}
