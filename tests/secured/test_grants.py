"""A grant at a Kafka that enforces ACLs: it lets its reader read, ends by itself, and leaves every other ACL as it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from meshport.access import Acl, ClusterAcls
from meshport.address import readers_prefix
from meshport.binding import Binding
from meshport.cli.acls import MeshAcls
from meshport.errors import KafkaError
from meshport.grants import AccessRequest, GrantApproval
from meshport.kafka.clusters import KafkaClusters
from meshport.kafka.config import KafkaConfig
from meshport.local.cluster import Cluster
from tests.connections import read_properties
from tests.kafka.test_secured import join, write
from tests.mesh_session import Mesh
from tests.waiting import wait_for

Reader = tuple[str, KafkaConfig]


@pytest.fixture
def reader(secured: Cluster) -> Reader:
    """A name that nothing knows yet, and its login."""
    name = f"reader-{uuid4().hex[:8]}"
    assert secured.embedded is not None
    file = secured.embedded.let_in(name)
    assert file is not None
    return name, read_properties(file)


@pytest.fixture
def port(mesh: Mesh, secured: Cluster) -> Binding:
    """A port with one event."""
    binding = mesh.product()
    write(secured.config, binding.topic)
    return binding


@pytest.fixture
def reconcile(mesh: Mesh, secured: Cluster) -> Callable[[], None]:
    """Look at the grants, and do what they ask for."""
    first = MeshAcls(mesh.registry, KafkaClusters(secured.config))

    def look() -> None:
        done = first.again().reconcile()
        assert not done.failed

    return look


def may_read(reader: Reader, port: Binding) -> bool:
    """Return whether a reader gets an event of a port, in a group that begins with its name."""
    name, kafka = reader
    try:
        join(kafka, port.topic, f"{name}.dashboard")
    except KafkaError:
        return False
    return True


def acls_of(secured: Cluster, name: str) -> set[Acl]:
    """Return the ACLs of a principal."""
    return {each for each in ClusterAcls(secured.config).all() or () if each.principal == f"User:{name}"}


def granted(mesh: Mesh, reader: Reader, port: Binding, until: datetime) -> int:
    """Ask for a port, have that granted, and return its number."""
    asked = mesh.registry.access.request(AccessRequest(address=port.address, reader=reader[0], purpose="a dashboard"))
    return mesh.registry.access.grant(asked.id, GrantApproval(until=until)).id


def test_a_grant_lets_its_reader_read_until_it_ends(
    mesh: Mesh, secured: Cluster, reader: Reader, port: Binding, reconcile: Callable[[], None]
) -> None:
    """A reader is refused, reads once it is granted that, and is refused again when the grant has ended by itself."""
    assert not may_read(reader, port)
    end = datetime.now(UTC) + timedelta(days=1)
    number = granted(mesh, reader, port, end)
    reconcile()
    assert may_read(reader, port)
    reconcile()
    assert may_read(reader, port)
    mesh.registry.access.revoke(number, "a day is too long")
    reconcile()
    assert not may_read(reader, port)
    soon = datetime.now(UTC) + timedelta(seconds=1)
    granted(mesh, reader, port, soon)
    wait_for(lambda: datetime.now(UTC) > soon)
    reconcile()
    assert not may_read(reader, port)
    assert acls_of(secured, reader[0]) == set()
    assert not [each for each in mesh.registry.access.acls() if each.principal == f"User:{reader[0]}"]


def test_what_no_grant_gave_stays(
    mesh: Mesh, secured: Cluster, reader: Reader, port: Binding, reconcile: Callable[[], None]
) -> None:
    """An ACL that was there before the grant, and one for another grant, outlive it."""
    admin = ClusterAcls(secured.config)
    by_hand = Acl(f"User:{reader[0]}", "read", "topic", port.topic)
    admin.create([by_hand])
    other = mesh.product()
    end = datetime.now(UTC) + timedelta(days=1)
    first, second = granted(mesh, reader, port, end), granted(mesh, reader, other, end)
    reconcile()
    mesh.registry.access.revoke(first, "enough")
    reconcile()
    topics = {each.name for each in acls_of(secured, reader[0]) if each.resource == "topic"}
    own = readers_prefix(reader[0])  # for what its handlers fail on
    assert topics == {port.topic, other.topic, own}
    assert may_read(reader, port)
    mesh.registry.access.revoke(second, "enough")
    reconcile()
    assert acls_of(secured, reader[0]) == {by_hand}
    admin.delete([by_hand])
