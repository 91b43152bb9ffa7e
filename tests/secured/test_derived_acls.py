"""The ACLs that products derive, on a real broker: each principal may do what it has to, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import product as pairs
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from meshport.access import (
    BoundPort,
    ClusterAcls,
    MeshPorts,
    Principals,
    caller_name,
    combined,
    login,
    product_rights,
    reader_rights,
)
from meshport.address import Address, repartition_name, retry_name
from meshport.cli.acls import MeshAcls
from meshport.errors import KafkaError, MeshError
from meshport.kafka.admin import Admin
from meshport.kafka.clusters import KafkaClusters
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import WITHOUT_GROUP, Consumer
from meshport.kafka.record_deletion import RecordDeletion
from meshport.kafka.topic_partition import TopicPartition
from meshport.local.cluster import Cluster
from meshport.process.runtime.repartition_purge import RepartitionPurge
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.schema import parse_schema
from tests.connections import read_properties
from tests.kafka.test_secured import create, join, transact, write
from tests.kafka.test_secured import read as read_blindly
from tests.mesh_session import Mesh
from tests.process.processor import mesh as processor_mesh
from tests.waiting import PATIENCE_S

READINGS = """{"type": "record", "name": "Reading", "fields": [
  {"name": "sensor", "type": "string"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}"""
READ, WRITE, CREATE, ALTER = AclOperation.READ, AclOperation.WRITE, AclOperation.CREATE, AclOperation.ALTER
DELETE, DESCRIBE, CONFIGS = AclOperation.DELETE, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS
Ops = frozenset[AclOperation]
NOTHING: Ops = frozenset()


class Scene:
    """A source, a processor that reads it, another reader of it, and a stranger; each has a login.

    Attributes:
        logins: the connection of each, by its role.
        topics, groups, ids: names by what they are.
    """

    def __init__(self, mesh: Mesh, cluster: Cluster, folder: Path) -> None:
        tail = uuid4().hex[:8]
        source = product(f"d{tail}/source", "source-aligned")
        made = product(f"d{tail}/made", "aggregate", inputPorts=[{"address": str(source.address)}], process=PROCESS)
        report = product(f"d{tail}/report", "consumer-aligned", inputPorts=[{"address": str(source.address)}])
        self.source = source.address
        contract = parse_schema(READINGS)
        for each in (source, made, report):
            mesh.apply(ProjectProduct(each, folder, {("events", 1): contract}))
        given, built = (mesh.registry.resolve(each.address).topic for each in (source, made))
        reads = login(caller_name(report.address))
        self.topics = {
            "input": given,
            "input's own": f"{given}.changelog",
            "output": built,
            "own": f"{built}.changelog",
            "repartition": repartition_name(built),
            "generation": f"{built}.g2",
            "alike": f"{built}0",
            "reader's own": retry_name(f"{reads}.dashboard", given),
            "alike reader's": retry_name(f"{reads}s", given),
        }
        self.groups = {
            "processor": f"meshport.process.{built}",
            "next processor": f"meshport.process.{built}.g2",
            "alike processor": f"meshport.process.{built}0",
            "reader": reads,
            "reader's second": f"{reads}.dashboard",
            "alike reader": f"{reads}s",
            "none": WITHOUT_GROUP,
        }
        self.ids = {
            "processor": f"meshport.process.{built}.member",
            "next processor": f"meshport.process.{built}.g2.member",
            "redrive": f"meshport.redrive.{built}",
            "alike processor": f"meshport.process.{built}0",
            "other": f"other-{tail}",
        }
        admin = Admin(cluster.config)
        for topic in self.topics.values():
            admin.ensure_topic(topic, 1)
        for group in self.groups.values():
            with Consumer(cluster.config, group=group) as consumer:
                consumer.commit(given, {0: 0})
        ports, principals = MeshPorts(mesh.registry), Principals()
        rights = combined(product_rights(each, ports, principals, lambda *_: True) for each in (source, made, report))
        ClusterAcls(cluster.config).create(rights[None])
        assert cluster.embedded is not None
        names = {
            "writer": login(caller_name(source.address)),
            "processor": login(caller_name(made.address)),
            "reader": reads,
            "stranger": f"stranger-{tail}",
        }
        self.names = names
        self.logins: dict[str, KafkaConfig] = {}
        for role, name in names.items():
            file = cluster.embedded.let_in(name)
            assert file is not None
            self.logins[role] = read_properties(file)


PROCESS = {"steps": [{"filter": "sensor != ''"}]}


def product(key: str, archetype: str, **more: object) -> Product:
    """A product with one port."""
    return Product.model_validate(
        {
            "address": f"mesh://{key}",
            "id": str(uuid4()),
            "archetype": archetype,
            "description": "made by a test",
            "owner": "tests",
            "outputPorts": [{"name": "events", "key": "sensor", "time": "at", "partitions": 1}],
            **more,
        }
    )


@pytest.fixture(scope="module")
def scene(mesh: Mesh, secured: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The products with their ACLs."""
    return Scene(mesh, secured, tmp_path_factory.mktemp("products"))


TOPICS: dict[tuple[str, str], Ops] = {
    ("writer", "input"): frozenset({WRITE, DESCRIBE, CONFIGS}),
    ("processor", "input"): frozenset({READ, DESCRIBE, CONFIGS}),
    ("processor", "output"): frozenset({READ, WRITE, DESCRIBE, CONFIGS}),
    ("processor", "own"): frozenset({READ, WRITE, CREATE, ALTER, DESCRIBE, CONFIGS}),
    ("processor", "repartition"): frozenset({READ, WRITE, CREATE, ALTER, DELETE, DESCRIBE, CONFIGS}),
    ("processor", "generation"): frozenset({READ, WRITE, CREATE, ALTER, DESCRIBE, CONFIGS}),
    ("reader", "input"): frozenset({READ, DESCRIBE, CONFIGS}),
    ("reader", "reader's own"): frozenset({READ, WRITE, CREATE, ALTER, DESCRIBE, CONFIGS}),
}
GROUPS: dict[tuple[str, str], Ops] = {
    ("processor", "processor"): frozenset({READ, DESCRIBE}),
    ("processor", "next processor"): frozenset({READ, DESCRIBE}),
    ("reader", "reader"): frozenset({READ, DESCRIBE}),
    ("reader", "reader's second"): frozenset({READ, DESCRIBE}),
    **{(role, "none"): frozenset({DESCRIBE}) for role in ("writer", "processor", "reader")},
}
IDS = {("processor", "processor"), ("processor", "next processor"), ("processor", "redrive")}


def read(kafka: KafkaConfig, topic: str) -> None:
    """Read an event as a replay does; raises where that is refused."""
    with Consumer(kafka) as consumer:
        consumer.bounds(topic)  # librdkafka waits forever for a topic that its principal may not even see
    read_blindly(kafka, topic)


ROLES = ("writer", "processor", "reader", "stranger")


def authorized(found: object) -> Ops:
    """The operations that a broker says its caller may do with a resource; none where it may not even see it."""
    return frozenset(getattr(found, "authorized_operations", None) or ())


@pytest.mark.parametrize("role", ROLES)
def test_each_operation_on_each_topic_group_and_the_cluster(scene: Scene, role: str) -> None:
    """The broker's own answer (KIP-430) for every operation is the table's: nothing more is allowed, nothing less."""
    client = AdminClient(scene.logins[role].client_properties({}))
    found: dict[tuple[str, str], Ops] = {}
    for what, name in scene.topics.items():
        asked = client.describe_topics(TopicCollection([name]), include_authorized_operations=True)
        with suppress(KafkaException):
            found["topic", what] = authorized(asked[name].result(PATIENCE_S))
    for what, name in scene.groups.items():
        described = client.describe_consumer_groups([name], include_authorized_operations=True)
        with suppress(KafkaException):
            found["group", what] = authorized(described[name].result(PATIENCE_S))
    cluster = client.describe_cluster(include_authorized_operations=True).result(PATIENCE_S)
    wanted = {
        **{("topic", what): TOPICS.get((role, what), NOTHING) for what in scene.topics},
        **{("group", what): GROUPS.get((role, what), NOTHING) for what in scene.groups},
    }
    assert {cell: found.get(cell, NOTHING) for cell in wanted} == wanted
    assert authorized(cluster) == NOTHING


def test_each_transactional_id(scene: Scene) -> None:
    """A processor takes ids of its own, and of its redrive; nobody takes another's."""
    taken = set()
    for role, (what, name) in pairs(ROLES, scene.ids.items()):
        with suppress(MeshError):
            transact(scene.logins[role], name)
            taken.add((role, what))
    assert taken == IDS


def test_what_is_allowed_is_done_and_what_is_not_is_refused(scene: Scene) -> None:
    """Events are written and read, and groups joined, by those alone whom the table allows it."""
    output, given, group = scene.topics["output"], scene.topics["input"], scene.groups["reader"]
    attempts: dict[str, Callable[[KafkaConfig], None]] = {
        "write": lambda kafka: write(kafka, given),
        "write output": lambda kafka: write(kafka, output),
        "read": lambda kafka: read(kafka, given),
        "join": lambda kafka: join(kafka, given, group),
        "create": lambda kafka: create(kafka, f"{output}.more"),
        "create elsewhere": lambda kafka: create(kafka, f"elsewhere-{output}"),
    }
    done = set()
    for role, (name, attempt) in pairs(ROLES, attempts.items()):
        with suppress(MeshError):
            attempt(scene.logins[role])
            done.add((role, name))
    assert done == {
        ("writer", "write"),
        ("processor", "write output"),
        ("processor", "read"),
        ("processor", "create"),
        ("reader", "read"),
        ("reader", "join"),
    }


def test_a_processor_deletes_records_of_its_repartition_topic_alone(scene: Scene) -> None:
    """It deletes what it has processed there; records of its changelogs and its quarantine stay, as for everybody else."""
    outcomes = {}
    for role, what in pairs(ROLES, ("repartition", "own", "output", "input")):
        partition = TopicPartition(scene.topics[what], 0)
        deletion = RecordDeletion(scene.logins[role])
        deletion.start({partition: 0})
        deletion.wait(PATIENCE_S)
        outcomes[role, what] = deletion.outcome()
    done = {cell for cell, outcome in outcomes.items() if outcome.begins}
    assert done == {("processor", "repartition")}
    # Of a topic that a principal may not even see, a broker does not say why.
    assert all(outcome.refused or outcome.failed for cell, outcome in outcomes.items() if cell not in done)
    assert all(outcomes["processor", what].refused for what in ("own", "output", "input"))


def test_without_the_right_a_processor_warns_once_and_loses_nothing(
    scene: Scene, secured: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """A processor whose ACLs are from an earlier version leaves the records where they are, and logs that once."""
    plan, _ = processor_mesh(secured.bootstrap_servers, "")
    output = plan.output.model_copy(update={"topic": scene.topics["generation"]})  # of which no ACL was derived yet
    plan = replace(plan, output=output, kafka=scene.logins["processor"])
    assert plan.repartition is not None
    name = plan.repartition.topic
    Admin(secured.config).ensure_topic(name, 1)
    write(secured.config, name)
    purge = RepartitionPurge(plan)
    for _ in range(2):
        purge.end({TopicPartition(name, 0): 1}, {TopicPartition(name, 0): 1})
    (warning,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert "may not `delete` the topic. Nothing is lost" in warning.getMessage()
    with Consumer(secured.config) as consumer:
        assert consumer.bounds(name)[0][0] == 0


def test_who_may_not_see_acls_is_told_so(scene: Scene, secured: Cluster) -> None:
    """The client takes a refused question for an empty answer; Meshport does not."""
    with pytest.raises(KafkaError, match="this login may not") as refused:
        ClusterAcls(scene.logins["reader"]).all()
    assert refused.value.code == "CLUSTER_AUTHORIZATION_FAILED"
    assert ClusterAcls(secured.config).all()


def test_a_revoked_right_ends_at_once(scene: Scene, secured: Cluster) -> None:
    """A reader that was let in reads, and no longer once its ACLs are deleted; ACLs of others stay."""
    acls = ClusterAcls(secured.config)
    port = BoundPort(Address.parse("mesh://tests/x/events@1"), None, scene.topics["output"], (scene.topics["output"],))
    rights = reader_rights(scene.names["stranger"], port, Principals())[None]
    kafka, before = scene.logins["stranger"], acls.all()
    write(secured.config, port.topic)
    acls.create(rights)
    read(kafka, port.topic)
    acls.delete(rights)
    with pytest.raises(KafkaError):
        read(kafka, port.topic)
    assert acls.all() == before


def test_a_new_generation_is_read_by_those_who_read_the_live_one(
    scene: Scene, mesh: Mesh, secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before an address is bound to a new generation, its readers are let into the topic; nobody else is."""
    monkeypatch.chdir(tmp_path)
    source = mesh.registry.resolve(scene.source).address
    acls, before = ClusterAcls(secured.config), ClusterAcls(secured.config).all()
    assert before is not None
    mesh.registry.generations(source).open(holder="test", seconds=PATIENCE_S, made_by="test")
    topic = f"{scene.topics['input']}.g2"
    said = MeshAcls(mesh.registry, KafkaClusters(secured.config)).admit(source)
    assert f"let User:{scene.names['reader']} describe-configs, read topic {topic}" in said
    after = acls.all()
    assert after is not None
    assert {(each.principal, each.operation) for each in after - before if each.name == topic} == {
        *((f"User:{scene.names['reader']}", each) for each in ("read", "describe-configs")),
        *((f"User:{scene.names['processor']}", each) for each in ("read", "describe-configs")),
        *((f"User:{scene.names['writer']}", each) for each in ("write", "describe-configs")),
    }
    assert {each.name for each in after - before} == {topic}
