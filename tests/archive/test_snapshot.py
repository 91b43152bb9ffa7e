"""The state of a compacted port at one boundary, and a subscriber that goes on behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshport import Snapshot, Subscriber
from meshport.binding import Binding
from meshport.errors import ReplayError
from meshport.ports.publisher import Publisher
from tests.archive.archives import archived
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.readings import fill, numbers, take
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.kafka


def compacted(mesh: Mesh, folder: Path | None, **port: Any) -> Binding:
    """A compacted port of two partitions, archived where there is a folder."""
    archive: dict[str, Any] = {} if folder is None else {"archive": {"store": folder.as_uri()}}
    return mesh.product(cleanup="compact", partitions=2, **archive, **port)


def retract(mesh: Mesh, binding: Binding, sensor: str) -> None:
    """Take the row of a sensor back."""
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.submit_retraction({"sensor": sensor}).result(PATIENCE_S)


@pytest.mark.parametrize("where", ["topic", "archive and topic", "archive"])
def test_each_key_comes_once_and_a_subscriber_goes_on(mesh: Mesh, tmp_path: Path, where: str) -> None:
    """The latest reading of each sensor, none that was retracted; behind the boundary each later event, once."""
    binding = compacted(mesh, None if where == "topic" else tmp_path)
    fill(mesh, binding.address, range(100))
    retract(mesh, binding, "s3")
    retract(mesh, binding, "s4")
    if where == "archive and topic":
        archived(mesh, binding, tmp_path)
    fill(mesh, binding.address, [104, 105, 106])
    retract(mesh, binding, "s6")
    if where == "archive":
        archived(mesh, binding, tmp_path)
    snapshot = Snapshot(binding.address, mesh.registry, kafka=CONNECTIONS)
    fill(mesh, binding.address, range(110, 120))
    assert sorted(numbers(snapshot)) == [90, 91, 92, 97, 98, 99, 104, 105]
    with Subscriber(binding.address, mesh.registry, start=snapshot.boundary, kafka=CONNECTIONS) as subscriber:
        assert sorted(numbers(take(subscriber, 10))) == [*range(110, 120)]


def test_a_port_that_keeps_every_event_has_no_snapshot(mesh: Mesh) -> None:
    """The error says what a snapshot is of."""
    with pytest.raises(ReplayError, match="keeps every event"):
        Snapshot(mesh.product().address, mesh.registry, kafka=CONNECTIONS)


def test_a_start_by_offsets(mesh: Mesh) -> None:
    """A group begins at them where it has committed nothing; one after the end of a partition is refused."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(10))
    for given in ({"group": "g"}, {}):
        with Subscriber(binding.address, mesh.registry, start={0: 7}, kafka=CONNECTIONS, **given) as subscriber:  # type: ignore[arg-type]
            assert numbers(take(subscriber, 3)) == [7, 8, 9]
    with pytest.raises(ReplayError, match="the partition ends at 10"):
        Subscriber(binding.address, mesh.registry, start={0: 11}, kafka=CONNECTIONS)
    with pytest.raises(ReplayError, match="-1 is no offset"):
        Subscriber(binding.address, mesh.registry, start={0: -1}, kafka=CONNECTIONS)
